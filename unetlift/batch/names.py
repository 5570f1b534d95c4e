"""Which files a folder's answers become: the tree is kept, and no two pictures ever have one name."""

from pathlib import Path

from unetlift import images
from unetlift.errors import UsageError

KNOWN = images.SUFFIXES + images.VIDEO_SUFFIXES
"""Endings by which a file is taken for a picture or a video."""


def answer_name(picture: Path, suffix: str) -> Path:
    """The relative path of a picture's answer, which depends on that picture alone, not on its neighbours.

    A PNG's mask keeps the PNG's name; `a.jpg` becomes `a.jpg.png`; and `a.jpg.png`, whose name that would be, becomes
    `a.jpg.png.png`. So different pictures have different answers, also where pictures are added later.
    """
    if picture.suffix == suffix and Path(picture.stem).suffix.lower() not in KNOWN:
        return picture
    return picture.with_name(picture.name + suffix)


def frame_name(picture: Path, number: int, suffix: str) -> Path:
    """The same for one page of a file: a folder of the file's name holds them all."""
    return picture / f"{number:06d}{suffix}"


def list_inputs(source: Path) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the pictures and videos in it, sorted; of a single file, that file.

    Raises:
        UsageError: there is nothing there.
    """
    if source.is_file():
        return source.parent, [source]
    if not source.is_dir():
        raise UsageError(f"{source} is no folder; --input wants a folder of pictures, or one picture.")
    return source, images.input_files(source)


def check_places(source: Path, output: Path) -> None:
    """Raises UsageError where answers would lie in or over pictures, or among files that are not of a run's making."""
    inside, outside = output.resolve(), (source.parent if source.is_file() else source).resolve()
    if inside == outside or (outside in inside.parents and source.is_dir()):
        raise UsageError(f"{output} lies in the input folder {source}; give an --output elsewhere.")
    if inside in outside.parents:
        raise UsageError(f"The input {source} lies in the output folder {output}; give an --output elsewhere.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; give a folder as --output.")
    if output.is_dir() and any(output.iterdir()) and not any(output.glob("manifest*.jsonl")):
        raise UsageError(f"{output} exists, is not empty and holds no manifest of an earlier run; give another --output.")
