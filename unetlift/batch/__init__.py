"""A folder of pictures in, a folder of masks and overlays out; one bad file stops nothing but itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unetlift import images
from unetlift.checkpoint import write_atomically
from unetlift.errors import PictureError, UsageError
from unetlift.predict import Prediction, Predictor


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: its answer's path, or why there is none; and a word on its anchor, if one was wanted."""

    picture: Path
    answer: Path | None
    error: str | None
    note: str | None = None


def list_inputs(folder: Path, output: Path) -> list[Path]:
    """The pictures below `folder`.

    Raises:
        UsageError: there are none, or the output would lie in or over the input, or holds files already.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; --input wants a folder of pictures.")
    inside = output.resolve()
    if inside == folder.resolve() or folder.resolve() in inside.parents:
        raise UsageError(f"{output} lies in the input folder {folder}; give an --output elsewhere.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists and is not empty; give another --output.")
    pictures = images.picture_files(folder)
    if not pictures:
        raise UsageError(f"{folder} has no pictures; it wants {', '.join(images.SUFFIXES)} files.")
    return pictures


def output_names(pictures: list[Path], folder: Path) -> dict[Path, Path]:
    """For each picture its mask's relative path: the tree is kept.

    Where two pictures differ in their suffix alone (a.png, a.jpg), every mask carries its picture's full name.
    """
    relative = {picture: picture.relative_to(folder) for picture in pictures}
    if len({path.with_suffix("") for path in relative.values()}) < len(relative):
        return {picture: path.with_name(path.name + ".png") for picture, path in relative.items()}
    return {picture: path.with_suffix(".png") for picture, path in relative.items()}


def predict_folder(
    predictor: Predictor, folder: Path, output: Path, overlays: bool, done: Callable[[Outcome], None], anchor: str = "none"
) -> list[Outcome]:
    """Predicts every picture below `folder`; each mask is written as soon as it is known, whole or not at all.

    Args:
        predictor: the network.
        folder: of pictures, at any depth.
        output: gets masks/ (palette PNGs of class indices) and, where asked for, overlays/; or pictures/.
        overlays: also write the pictures tinted by class.
        done: called after each picture.
        anchor: what the sampling grid is tied to; `track` and `track-subpixel` take the pictures for the frames of one sequence.

    Returns:
        One outcome a picture, in order.
    """
    outcomes, write = [], _write_labels if predictor.info.answers == "labels" else _write_picture
    names, ask = output_names(list_inputs(folder, output), folder), predictor.anchored(anchor)
    for picture, name in names.items():
        try:
            pixels = images.read_picture(picture)
            prediction = predictor.predict(pixels, picture, ask)
        except PictureError as error:
            outcomes.append(Outcome(picture, None, str(error)))
        else:
            answer = write(output, name, pixels, prediction, predictor.info.colours, overlays)
            outcomes.append(Outcome(picture, answer, None, prediction.anchoring.note))
        done(outcomes[-1])
    return outcomes


def _write_labels(
    output: Path, name: Path, pixels: images.Picture, prediction: Prediction, colours: Sequence[Sequence[int]], overlays: bool
) -> Path:
    labels = prediction.labels
    _place(output / "masks" / name, lambda part: images.write_mask(part, labels, colours))
    if overlays:
        tinted = images.overlay(pixels, labels, colours)
        _place(output / "overlays" / name, lambda part: images.write_picture(part, tinted))
    return output / "masks" / name


def _write_picture(output: Path, name: Path, pixels: images.Picture, prediction: Prediction, *_: Any) -> Path:
    """In the input's depth: PNG, or TIFF where PNG has no such pixels."""
    answer = prediction.picture(pixels.dtype)
    path = output / "pictures" / (name if images.fits_png(answer) else name.with_suffix(".tif"))
    _place(path, lambda part: images.write_any(part, answer))
    return path


def _place(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)
