"""Eleven openly licensed photographs (CC0 1.0 and CC BY 4.0) as a folder of pictures to restore, with ATTRIBUTION.md.

They are area-averaged down from 1 to 25 megapixels, so that they are free of noise and of JPEG's traces.
"""

from collections.abc import Iterator
from pathlib import Path

from common import DataError, DataSet, Item, run, table

HOMES = "Debian's lomiri-wallpapers-16.04 and lomiri-wallpapers-20.04, and https://github.com/hhoppe/data"
SHA256 = "8ef283de0487c58e231e4bd31adab6f474f43d7591d6ab3c77b6877986f35e2e"
SPLITS = {"life_by_aitzol_berasategi": "val", "burano_768x512": "test", "picosdeeuropa_by_aitzol_berasategi": "test"}
DEEDS = {
    "CC0-1.0": "[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/)",
    "CC-BY-4.0": "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)",
}


def find(source: Path) -> Iterator[Item]:
    """The pictures of a copy with index.csv."""
    for row in _rows(source):
        picture = source / row["file"]
        yield Item(SPLITS.get(picture.stem, "train"), picture.stem, picture)


def fetch(folder: Path) -> Path:
    """There is nothing to fetch: the scaled pictures have no home of their own."""
    raise DataError(f"the scaled photographs cannot be downloaded (their originals are in {HOMES}); give a copy with --from.")


def attribution(source: Path) -> str:
    """Who made what, under which licence, and what was changed."""
    lines = ["# Authors and licences", "", "The pictures were scaled down by averaging over areas.", ""]
    lines += ["| file | author | licence | source |", "|---|---|---|---|"]
    lines += [f"| {r['file']} | {r['author']} | {DEEDS[r['licence']]} | {r['source']} |" for r in _rows(source)]
    return "\n".join(lines) + "\n"


def _rows(source: Path) -> list[dict[str, str]]:
    return table(source / "index.csv", {"file", "author", "licence", "source"})


LICENCE = "CC0 1.0 and CC BY 4.0, by file in ATTRIBUTION.md, which must stay with the pictures"
DATA = DataSet("restore", LICENCE, fetch, find, {"images": SHA256}, notes={"ATTRIBUTION.md": attribution})

if __name__ == "__main__":
    run(__doc__, DATA)
