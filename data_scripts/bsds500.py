"""BSDS500, 500 photographs (free for non-commercial research and education), as a folder of pictures to restore.

Train is Berkeley's train and test (400); test is CBSD68, the 68 pictures that denoising is customarily reported on, all
of which stand in Berkeley's val; val is the 32 others of that val.
"""

from collections.abc import Iterator
from pathlib import Path

from common import DataSet, Item, download_archive, run

COMMIT = "a04b7c6c3a9f0ace74bf205c72a43d32e1c72722"
HOME = f"https://github.com/BIDS/BSDS500/archive/{COMMIT}.zip"
SHA256 = "606269991718c2890ff4355eafeffdcdbe4fbaf48a314a24474510faa57c19dd"
CBSD68 = Path(__file__).with_name("cbsd68.txt")


def find(source: Path) -> Iterator[Item]:
    """The pictures of a copy with train/x.jpg, val/x.jpg and test/x.jpg."""
    reported = set(CBSD68.read_text().split())
    for part in ("train", "val", "test"):
        for picture in sorted((source / part).glob("*.jpg")):
            split = "train" if part != "val" else "test" if picture.name in reported else "val"
            yield Item(split, picture.stem, picture)


def fetch(folder: Path) -> Path:
    """The archive holds the local form some folders down."""
    return download_archive(HOME, folder) / f"BSDS500-{COMMIT}" / "BSDS500" / "data" / "images"


DATA = DataSet("restore", "free for non-commercial research and education, with citation", fetch, find, {"images": SHA256})

if __name__ == "__main__":
    run(__doc__, DATA)
