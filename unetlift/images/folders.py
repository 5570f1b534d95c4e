"""Which files below a folder are pictures or videos, by their names."""

import os
from collections.abc import Collection
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")


def picture_files(folder: Path) -> list[Path]:
    """The pictures below `folder`, sorted by path; hidden files are passed over."""
    return _files(folder, SUFFIXES)


def input_files(folder: Path) -> list[Path]:
    """The pictures and videos below `folder`, sorted by path.

    Passed over are hidden files and folders, what is no regular file (pipes, broken links), and links to folders, which could
    lead round in circles; a link to a file counts as one.
    """
    return _files(folder, SUFFIXES + VIDEO_SUFFIXES)


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):  # follows no links to folders
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(found)
