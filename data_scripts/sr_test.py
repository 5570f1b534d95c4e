"""Set5, Set14 and classic5, the customary test pictures of super-resolution and JPEG repair (of unclear ownership).

Three folders of pictures to restore, with a test split alone: set5/, set14/ and classic5/.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from common import DataSet, Item, Pixels, download_archive, run

from unetlift import images

COMMIT = "24cee98d9b8c6d6d35549be693314c3994ef1269"
HOME = f"https://github.com/lpj0/MWCNN/archive/{COMMIT}.zip"
SHA256 = "1cc5296cd393c6eb8da0c038d7245e382f26eeb2792bff9aef3f2a7a78e38b19"
CHANNELS = {"Set5": 3, "Set14": 3, "classic5": 1}  # one picture of Set14 is stored grey
LEFT_OUT = ("lena", "lenna")  # the scan of a magazine model: averages differ slightly from published ones


def find(source: Path) -> Iterator[Item]:
    """The pictures of a copy with Set5/x_GT.png, Set14/x.png and classic5/x.png; BMP as good as PNG."""
    for folder, channels in CHANNELS.items():
        for picture in images.picture_files(source / folder):
            name = picture.stem.removesuffix("_GT")
            if name.lower() not in LEFT_OUT:
                yield Item(f"{folder.lower()}/test", name, partial(_pixels, picture, channels))


def _pixels(picture: Path, channels: int) -> Pixels:
    return images.with_channels(images.read_picture(picture), channels, picture).squeeze()


def fetch(folder: Path) -> Path:
    """The archive holds the local form some folders down."""
    return download_archive(HOME, folder) / f"MWCNN-{COMMIT}" / "testsets"


DATA = DataSet("restore", "none stated; for reported numbers only", fetch, find, {"images": SHA256})

if __name__ == "__main__":
    run(__doc__, DATA)
