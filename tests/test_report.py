"""What a training leaves to look at: pictures whose pixels are known, a page that is whole in itself, a card that is true."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import write_split
from PIL import Image
from skimage.measure import block_reduce
from torchmetrics.functional import confusion_matrix

from unetlift import UNet, data, evaluate, from_pretrained
from unetlift.config import NetworkConfig
from unetlift.errors import ModelFolderError
from unetlift.info import TARGET_MEAN, TARGET_STD, DegradeConfig, ModelInfo
from unetlift.predict import answer, load_predictor
from unetlift.recipe import MachineConfig, TrainConfig
from unetlift.report import tiles
from unetlift.train.finish import finish

SIDE = 128  # shown as it is
CLASSES = ("ground", "<b>", 'a "&amp;| `class`</td>')
COLOURS = ((0, 0, 0), (200, 100, 0), (0, 0, 255))
INFO = ModelInfo(CLASSES, COLOURS, ignore_index=9)
MACHINE = MachineConfig(workers=0, device="cpu", precision="float32")


def _flat(*values: float) -> torch.Tensor:
    """A picture (C, SIDE, SIDE) of one colour, normalised."""
    return (torch.tensor(values)[:, None, None].expand(-1, SIDE, SIDE) - 0.5) / 0.25


def _probabilities(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1).float()


def test_labels_are_drawn_pixel_by_pixel() -> None:
    answered, target = torch.zeros(SIDE, SIDE, dtype=torch.long), torch.zeros(SIDE, SIDE, dtype=torch.long)
    answered[0, 1] = target[0, 1] = 1  # right
    answered[0, 2], target[0, 2] = 2, 1  # wrong
    answered[0, 3], target[0, 3] = 1, 9  # ignored
    drawn = tiles.draw(INFO, _flat(0.2), _probabilities(answered), target)
    assert list(drawn) == ["input", "prediction", "target", "error"]
    grey, orange, blue, dark = (51, 51, 51), (126, 76, 26), (26, 26, 153), (18, 18, 18)
    expected = {
        "input": [grey, grey, grey, grey],
        "prediction": [grey, orange, blue, orange],
        "target": [grey, orange, orange, tiles.IGNORED],
        "error": [dark, dark, tiles.WRONG, tiles.IGNORED],
    }
    for name, row in expected.items():
        assert drawn[name].dtype == np.uint8 and drawn[name].shape == (SIDE, SIDE, 3)
        assert drawn[name][0, :4].tolist() == pytest.approx(np.array(row), abs=1), name  # a half is rounded to even


@pytest.mark.parametrize(
    ("values", "shown"),
    [((0.2,), (51, 51, 51)), ((0.2, 1.0), (51, 51, 51)), ((0.2, 0.4, 0.6), (51, 102, 153))]
    + [((0.2, 0.4, 0.6, *[1.0] * more), (51, 102, 153)) for more in (1, 9)],
)
def test_inputs_of_any_number_of_channels_are_shown(values: tuple[float, ...], shown: tuple[int, ...]) -> None:
    target = torch.zeros(SIDE, SIDE, dtype=torch.long)
    assert tiles.draw(INFO, _flat(*values), _probabilities(target), target)["input"][5, 7].tolist() == list(shown)


def test_normalisation_is_undone_channel_by_channel() -> None:
    info = ModelInfo(CLASSES, COLOURS, (0.1, 0.2, 0.3), (0.5, 0.25, 0.1))
    x = torch.tensor([0.2, 0.8, 2.0])[:, None, None].expand(3, SIDE, SIDE)
    target = torch.zeros(SIDE, SIDE, dtype=torch.long)
    assert tiles.draw(info, x, _probabilities(target), target)["input"][0, 0].tolist() == [51, 102, 128]


def test_an_error_of_a_quarter_is_white_and_none_is_black() -> None:
    info = ModelInfo((), (), task="translate")
    values = torch.full((1, SIDE, SIDE), 0.5)
    target = (values - TARGET_MEAN) / TARGET_STD
    values[:, 0, 0], values[:, 0, 1] = 0.75, 7.0
    drawn = tiles.draw(info, _flat(0.1, 0.2, 0.3, 0.4), values, target)
    assert drawn["prediction"][0, :3, 0].tolist() == [191, 255, 128]
    assert (drawn["target"] == 128).all()
    assert drawn["error"][0, :3].tolist() == [[255] * 3, [255] * 3, [0] * 3] and not drawn["error"][1:].any()


def test_a_residual_network_that_adds_nothing_answers_with_its_input() -> None:
    info = ModelInfo((), (), task="restore", residual=True, degrade=DegradeConfig(noise=25.0))
    x = torch.randn(1, 3, SIDE, SIDE)
    drawn = tiles.draw(info, x[0], answer(info, x, torch.zeros_like(x))[0], torch.zeros(3, SIDE, SIDE))
    assert np.array_equal(drawn["input"], drawn["prediction"]) and drawn["error"].any()


@pytest.mark.parametrize(
    "size", [(640, 960), (321, 2), (1, 5000), (2000, 700), (320, 320), (129, 40), (128, 128), (127, 5), (1, 1), (48, 56)]
)
def test_pictures_fit_the_page(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    shown = tiles.fit(picture)
    assert tiles.LEAST <= max(shown.shape[:2]) <= tiles.MOST
    assert (tiles.fit(np.full_like(picture, 77)) == 77).all()
    whole = max(-(-side // tiles.MOST) for side in size)
    if all(side % whole == 0 for side in size):
        times = shown.shape[0] * whole // size[0]
        mean = np.rint(block_reduce(picture, (whole, whole, 1), np.mean)).astype(np.uint8)
        assert np.array_equal(shown[::times, ::times], mean)


class _Page(HTMLParser):
    """Everything that tests ask of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == name]


def _run(folder: Path, config: TrainConfig, info: ModelInfo) -> Path:
    """A run as a training leaves it, of a network that has learned nothing."""
    torch.manual_seed(0)
    run = Path(config.out)
    UNet(**vars(config.network)).save_pretrained(run / "best", info)
    score = "miou" if config.task == "segment" else "psnr"
    rows = [(1, 0.9, 0.8, 0.003, 0.25), (2, 0.7, 0.9, 0.001, 0.5), (3, 0.6, 0.7, 0.0001, 0.5)]
    head = f"epoch,train_task,val_loss,learning_rate,val_{score}\n"
    (run / "metrics.csv").write_text(head + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return run


def _network(**more) -> NetworkConfig:
    return NetworkConfig(depth=2, width=4, **more)


def _strange_config(cells: Path, run: Path) -> TrainConfig:
    return TrainConfig(str(cells), str(run), network=_network(padding_mode="circular", classes=3), machine=MACHINE)


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on data whose names want to be markup, with a circular network."""
    folder = tmp_path_factory.mktemp("strange")
    cells = folder / "a <i> | set"
    for seed, split in enumerate(("train", "val", "test")):
        write_split(cells / split, 3, seed, (64, 72))
        for kind in ("images", "masks"):
            (cells / split / kind / "cell00.png").rename(cells / split / kind / '<script>"x&.png')
    for path in (cells / "val" / "masks").iterdir():
        mask = np.array(Image.open(path))
        mask[:8, :8], mask[-8:] = 2, 9
        Image.fromarray(mask).save(path)
    described = {"classes": list(CLASSES), "colours": [list(colour) for colour in COLOURS], "ignore_index": 9}
    (cells / "dataset.yaml").write_text(yaml.safe_dump(described))
    config = _strange_config(cells, folder / "run")
    run = _run(folder, config, INFO)
    weights = {path: hashlib.sha256(path.read_bytes()).digest() for path in (run / "best").iterdir() if path.name != "README.md"}
    finish(config, run)
    assert len(weights) == 2 and all(hashlib.sha256(path.read_bytes()).digest() == known for path, known in weights.items())
    return run


def test_the_page_is_whole_in_itself_and_can_be_read_aloud(strange: Path) -> None:
    text = (strange / "report.html").read_text()
    page = _Page(text)
    assert not re.search(r"https?:|//[a-z]|url\((?!#)|@import", re.sub(r"base64,[\w+/=]+", "", text))
    assert {"script", "link", "iframe", "object", "b", "i", "u"} & {tag for tag, _ in page.tags} <= {"i"}
    assert all(attributes.get("aria-hidden") == "true" for attributes in page.all("i"))
    pictures = page.all("img")
    assert len(pictures) == 3 * 4 and all(a["alt"] and a["src"].startswith("data:image/png;base64,") for a in pictures)
    assert len(page.all("h1")) == 1 and len(page.all("caption")) == len(page.all("table")) == 5
    assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))
    (curves,) = page.all("svg")
    assert curves["role"] == "img" and "best validation mIoU, 0.5000, came after epoch 2" in curves["aria-label"]
    assert "learning rate" in "".join(page.texts)
    assert page.all("html") == [{"lang": "en"}] and "prefers-color-scheme: dark" in text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_names_stay_text(strange: Path) -> None:
    page = _Page((strange / "report.html").read_text())
    assert set(CLASSES) <= set(page.texts)
    assert any('val/images/<script>"x&.png' in words for words in page.texts)
    assert any(a["alt"] == 'val/images/<script>"x&.png: prediction' for a in page.all("img"))
    assert any("a <i> | set" in words for words in page.texts)


def test_the_same_run_gives_the_same_files(strange: Path) -> None:
    before = {path: path.read_bytes() for path in strange.rglob("*") if path.is_file()}
    finish(_strange_config(strange.parent / "a <i> | set", strange), strange)
    assert {path: path.read_bytes() for path in strange.rglob("*") if path.is_file()} == before


def test_figures_are_those_of_the_best_network(strange: Path) -> None:
    figures = json.loads((strange / "scores.json").read_text())
    folder = strange.parent / "a <i> | set"
    for split in ("val", "test"):
        found = evaluate.evaluate(load_predictor(strange / "best", "cpu", "float32"), folder, split)
        assert figures["scores"][split] == {"pictures": 3, "means": found.means, "iou": found.iou, "each": found.each}
    model, counts = from_pretrained(strange / "best").eval(), torch.zeros(3, 3, dtype=torch.long)
    for pair in data.list_pairs(folder, "val"):
        pixels = torch.from_numpy(np.array(Image.open(pair.image))).float() / 255
        with torch.inference_mode():
            answered = model(((pixels - 0.5) / 0.25).expand(1, 3, -1, -1)).argmax(1)
        labels = torch.from_numpy(np.array(Image.open(pair.target))).long()[None]
        counts += confusion_matrix(answered, labels, "multiclass", num_classes=3, ignore_index=9)
    assert figures["confusion"] == counts.tolist()
    assert set(figures["stability"]) == {"crop", "roll"} and figures["stability"]["crop"]["pictures"] == 3
    assert figures["pictures"] == {"train": 3, "val": 3, "test": 3} and figures["epoch"] == 2 and figures["notes"] == []


def test_worst_and_best_are_in_order_and_none_is_both(strange: Path) -> None:
    each = json.loads((strange / "scores.json").read_text())["scores"]["val"]["each"]
    page = _Page((strange / "report.html").read_text())
    shown = [words for words in page.texts if words in each]
    ranked = sorted(each, key=each.get)
    assert shown == [*ranked[:2], ranked[2]]


def test_the_card_is_markdown_with_what_hubs_search_for(strange: Path) -> None:
    text = (strange / "best" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["pipeline_tag"] == "image-segmentation" and "license" not in yaml.safe_load(front)
    scores = json.loads((strange / "scores.json").read_text())["scores"]
    assert f"| mIoU | {scores['val']['means']['miou']:.4f} | {scores['test']['means']['miou']:.4f} |" in body
    for said in ("3 channels", "a mean of 0.5", "16 pixels of margin", "R = 1.", "3 in train, 3 in val, 3 in test", "from_pretrained"):
        assert said in body
    rows = [re.sub(r"\\\|", "", line).count("|") for line in body.splitlines() if line.startswith("|")]
    assert set(rows) == {4, 5}  # no name has made a cell of its own


def test_what_cannot_be_measured_is_a_sentence(tmp_path: Path) -> None:
    cells = tmp_path / "cells"
    write_split(cells / "train", 3, 0)
    write_split(cells / "val", 9, 1, (20, 24))
    write_split(cells / "test", 2, 2)
    lost = cells / "test" / "masks" / "cell01.png"
    lost.unlink()
    config = TrainConfig(str(cells), str(tmp_path / "run"), network=_network(), machine=MACHINE)
    run = _run(tmp_path, config, ModelInfo(("0", "1"), ((0, 0, 0), (9, 9, 9))))
    finish(config, run)
    figures = json.loads((run / "scores.json").read_text())
    assert set(figures["scores"]) == {"val"} and figures["stability"] == {}
    lacking, small = figures["notes"]
    assert str(lost) in lacking and "leaves out 8 of 8 pictures" in small
    page = _Page((run / "report.html").read_text())
    assert {lacking, small} <= set(page.texts) and len(page.all("img")) == 8 * 4
    assert small in (run / "best" / "README.md").read_text()


def test_a_validation_that_is_cut_from_train_is_that_of_the_training(tmp_path: Path) -> None:
    cells = tmp_path / "cells"
    write_split(cells / "train", 12, 0, (64, 64))
    config = TrainConfig(str(cells), str(tmp_path / "run"), network=_network(), val_fraction=0.8, machine=MACHINE)
    run = _run(tmp_path, config, ModelInfo(("0", "1"), ((0, 0, 0), (9, 9, 9))))
    finish(config, run)
    figures = json.loads((run / "scores.json").read_text())
    held_out = {f"train/images/{pair.image.name}" for pair in data.list_pairs(cells, "val", 0.8)}
    assert set(figures["scores"]["val"]["each"]) == held_out and len(held_out) == figures["pictures"]["val"] > 6


def test_a_restoring_network_has_no_classes(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    for split in ("train", "val"):
        write_split(photographs / split, 4, 0, (64, 64))
    degrade = DegradeConfig(noise=25.0)
    network = _network(in_channels=1, classes=1)
    more = {"network": network, "residual": True, "degrade": degrade, "machine": MACHINE}
    config = TrainConfig(str(photographs), str(tmp_path / "run"), "restore", **more)
    run = _run(tmp_path, config, ModelInfo((), (), task="restore", residual=True, degrade=degrade))
    finish(config, run)
    figures, page = json.loads((run / "scores.json").read_text()), _Page((run / "report.html").read_text())
    assert figures["confusion"] == [] and set(figures["scores"]) == {"val"} and 5 < figures["scores"]["val"]["means"]["psnr"] < 60
    assert not any("taken for" in words for words in page.texts) and len(page.all("img")) == 4 * 4
    card = (run / "best" / "README.md").read_text()
    assert "image-to-image" in card and "suffered from noise 25" in card and "to be added to the input" in card


def test_a_run_without_a_best_network_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="best is no model folder"):
        finish(TrainConfig(str(tmp_path), str(tmp_path), machine=MACHINE), tmp_path)
    assert not list(tmp_path.iterdir())
