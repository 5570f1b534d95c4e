"""A model folder out of a zip archive: these files and no others, none larger than it may be, nothing outside the folder."""

import stat
import zipfile
from pathlib import Path, PurePosixPath

from unetlift.checkpoint import CARD, CONFIG, WEIGHTS
from unetlift.errors import ModelFolderError

WANTED = (CONFIG, WEIGHTS)
LARGEST_CONFIG = 2**20
"""Bytes of config.json; the weights have what is left."""
MOST_ENTRIES = 8
CHUNK = 2**20
ONLY = f"a model folder as a zip archive holds {CONFIG} and {WEIGHTS}, and nothing but them and {CARD}"


def unzip(archive: Path, folder: Path, most: int) -> None:
    """Writes the files of a model folder, which may lie in one folder inside the archive.

    Args:
        archive: a zip file.
        folder: an empty one.
        most: bytes of all files together, unpacked.

    Raises:
        ModelFolderError: it is no archive, or holds anything else, twice, outside, locked, or too large.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for name, entry in _entries(opened.infolist()).items():
                largest = min(LARGEST_CONFIG, most) if name == CONFIG else most
                most -= _write(opened, entry, folder / name, largest)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise ModelFolderError(f"The archive cannot be unpacked ({' '.join(str(error).split())[:80]}); {ONLY}.") from error


def _entries(entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """By their names alone: where they want to lie is looked at, but never used."""
    files = [entry for entry in entries if not entry.is_dir()]
    if len(entries) > MOST_ENTRIES:
        raise ModelFolderError(f"The archive holds {len(entries)} entries; {ONLY}.")
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        # Of a plain file the upper half of the attributes is 0 or a regular file's mode; a link's target would be its content.
        kind = stat.S_IFMT(entry.external_attr >> 16)
        slips = ".." in parts or "\\" in entry.filename or ":" in entry.filename or entry.filename.startswith("/")
        if slips or kind not in (0, stat.S_IFREG, stat.S_IFDIR) or len(parts) > 2:
            raise ModelFolderError(f"The archive's entry {_shown(entry.filename)} is no plain file in one folder; {ONLY}.")
        if not entry.is_dir() and parts[-1] not in (*WANTED, CARD):
            raise ModelFolderError(f"The archive holds {_shown(entry.filename)}; {ONLY}.")
    names = [PurePosixPath(entry.filename).name for entry in files]
    folders = {str(PurePosixPath(entry.filename).parent) for entry in files}
    if sorted(set(names) - {CARD}) != sorted(WANTED) or len(names) != len(set(names)) or len(folders) != 1:
        raise ModelFolderError(f"The archive holds {', '.join(map(_shown, names)) or 'no files'}; {ONLY}, each once.")
    return {name: entry for name, entry in zip(names, files, strict=True) if name != CARD}


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most: int) -> int:
    """Unpacks a file as long as it keeps within its size, whatever it says of itself; returns that size."""
    size = entry.file_size
    with opened.open(entry) as packed, target.open("xb") as file:
        written = 0
        while size <= most and (chunk := packed.read(CHUNK)):
            written += file.write(chunk)
            size = max(size, written)
    if size > most:
        target.unlink()
        raise ModelFolderError(f"{target.name} in the archive has more than {most / 2**20:.0f} MB unpacked, the most that is taken.")
    return size


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:57]}...")
