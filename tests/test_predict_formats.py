"""Runs over pictures of every kind: frames, pages, maps, videos, many bands, large ones, and a zoo of odd files."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
import torch
from conftest import draw_cells
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import Affine
from test_predict import MODEL, answers, here

from unetlift import UNet, images
from unetlift.info import ModelInfo
from unetlift.predict import load_predictor, predict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def cells(seed: int, height: int = 96, width: int = 120) -> np.ndarray:
    picture = draw_cells(np.random.default_rng(seed), height, width)[0]
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def write_map(path: Path, pixels: np.ndarray, **more: object) -> Affine:
    """A GeoTIFF in UTM zone 33 north, half a metre a pixel."""
    where = Affine(0.5, 0, 402000, 0, -0.5, 5820000)
    height, width, count = pixels.shape
    how = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": pixels.dtype, "crs": CRS.from_epsg(32633)}
    with rasterio.open(path, "w", transform=where, **how, **more) as file:
        file.write(pixels.transpose(2, 0, 1))
    return where


def test_maps_keep_their_place_and_what_holds_no_data(folder: Path, tmp_path: Path, capsys) -> None:
    pixels = cells(0)
    pixels[:20, :30] = 0
    where = write_map(folder / "a.tif", pixels, nodata=0, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    out = tmp_path / "out"
    kinds = ("--overlay", "--objects", "--polygons=geojson", "--probabilities=tiff")
    code, _, err = here(capsys, folder, out, *kinds, "--tile=64", "--overlap=32", "--anchor=none")
    assert code == 0, err
    for kind in ("masks/a.tif", "overlays/a.tif", "probabilities/a.tif"):
        with rasterio.open(out / kind) as file:
            assert file.crs.to_epsg() == 32633 and file.transform == where and file.shape == (96, 120)
    with rasterio.open(out / "masks/a.tif") as file:
        assert file.nodata == 255 and file.colormap(1)[1][:3] == load_predictor(MODEL).info.colours[1]
        labels = file.read(1)
    assert (labels[:20, :30] == 255).all() and set(np.unique(labels[20:, 30:])) <= {0, 1}
    expected = load_predictor(MODEL, precision="float32").predict(pixels).labels
    assert (labels == expected)[40:, 50:].mean() > 0.99
    features = json.loads((out / "polygons/a.tif.geojson").read_text())["features"]
    shapes = [feature["geometry"] for feature in features]
    corners = np.concatenate([np.asarray(shape["coordinates"][0]) for shape in shapes if shape["type"] == "Polygon"])
    assert (np.abs(corners - (13.56, 52.52)) < 0.1).all()
    rows = (out / "objects/a.tif.csv").read_text().splitlines()
    assert len(rows) == 1 + len(features) and "402" in rows[1]


def test_frames_and_pages_have_an_answer_each(folder: Path, tmp_path: Path, capsys) -> None:
    frames = [cells(seed) for seed in range(3)]
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(folder / "moves.webp", save_all=True, append_images=pictures[1:], lossless=True)
    with tifffile.TiffWriter(folder / "stack.tif") as file:
        for frame in frames:
            file.write(frame, photometric="rgb", metadata=None)
    assert here(capsys, folder, tmp_path / "out")[0] == 0
    for seed, frame in enumerate(frames):
        expected = predict(load_predictor(MODEL, precision="float32"), frame).labels
        for name in ("moves.webp", "stack.tif"):
            assert (np.asarray(Image.open(tmp_path / "out" / "masks" / name / f"{seed:06d}.png")) == expected).all()


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    import av

    with av.open(path, "w") as file:
        picture, sound = file.add_stream("libx264", rate=10), file.add_stream("aac", rate=8000)
        picture.height, picture.width, picture.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            file.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        file.mux(sound.encode(silence))
        for stream in (picture, sound):
            file.mux(stream.encode(None))


def test_videos_become_videos_whose_anchor_follows_the_scene(folder: Path, tmp_path: Path, capsys) -> None:
    scene = cells(0, 160, 200)
    write_video(folder / "drift.mp4", [scene[k : k + 96, 2 * k : 2 * k + 120] for k in range(8)])
    out = tmp_path / "out"
    code, said, err = here(capsys, folder, out, "--overlay", "--anchor=track", "--objects")
    assert code == 0, err
    assert "its sound is left out" in said and "only masks and overlays" in said
    assert sorted(answers(out)) == ["masks/drift.mp4.mkv", "overlays/drift.mp4"]
    with images.open_pages(out / "masks/drift.mp4.mkv") as opened:
        masks = [(page.read()[..., 0].copy(), page.time) for page in opened]
    assert [time for _, time in masks] == [Fraction(k, 10) for k in range(8)]
    predictor = load_predictor(MODEL, precision="float32")
    ask = predictor.anchored("track", "surround")
    with images.open_pages(folder / "drift.mp4") as opened:
        for (mask, _), page in zip(masks, opened, strict=True):
            assert (mask == predictor.predict(page.read(), ask=ask).labels).all()
    again = tmp_path / "again"
    assert here(capsys, folder, again, "--overlay", "--anchor=track", "--objects")[0] == 0
    assert answers(out) == answers(again)


@pytest.mark.parametrize(("channels", "dtype"), [(4, np.uint16), (1, np.float32), (7, np.uint8)], ids=str)
def test_pictures_come_out_in_the_depth_they_went_in(channels: int, dtype: type, folder: Path, tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    info = ModelInfo((), (), task="translate")
    UNet(depth=2, width=4, in_channels=channels, classes=channels).save_pretrained(tmp_path / "model", info)
    pixels = np.random.default_rng(0).random((50, 70, channels)).astype(np.float32)
    pixels = pixels if dtype is np.float32 else (pixels * np.iinfo(dtype).max).astype(dtype)
    images.write_tiff(folder / "a.tif", [pixels], *pixels.shape, dtype)
    Image.fromarray(cells(0)).save(folder / "b.png")
    code, _, err = here(capsys, folder, tmp_path / "out", f"--model={tmp_path / 'model'}")
    assert code == 1 and err.count("\n") == 1 and f"b.png has 3 channels; the network wants {channels}" in err
    (answer,) = (tmp_path / "out" / "pictures").iterdir()
    found = images.read_picture(answer)
    assert found.shape == pixels.shape and found.dtype == dtype
    expected = predict(load_predictor(tmp_path / "model", precision="float32"), pixels).picture(np.dtype(dtype))
    np.testing.assert_array_equal(found, expected)


def test_what_labels_alone_have_is_refused_of_pictures(folder: Path, tmp_path: Path, capsys) -> None:
    UNet(depth=1, width=4, classes=3).save_pretrained(tmp_path / "model", ModelInfo((), (), task="restore"))
    Image.fromarray(cells(0)).save(folder / "b.png")
    code, _, err = here(capsys, folder, tmp_path / "out", f"--model={tmp_path / 'model'}", "--overlay")
    assert code == 2 and "have no overlay" in err and not answers(tmp_path / "out")
