"""The page without a browser: what it computes, what it refuses, what it sends."""

import gc
import inspect
import re
import socket
import warnings
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from unetlift import UNet, demo, stability
from unetlift.demo import blocks, compare, examples, panels, style
from unetlift.errors import PictureError, UsageError
from unetlift.shifts import Shift

gr = blocks.gr

# Gradio makes an event loop for every Blocks that is built outside of one, and never closes it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed (event loop|<socket):ResourceWarning")

NETWORKS = {
    "b": {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"},
    "a": {"down": "blur-3", "up": "bilinear"},
    "deep/c": {"down": "max", "up": "nearest"},
}
NAMES = ["max+nearest", "blur-3+bilinear", "lift+lift@adaptive"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose more by waiting for each other's threads than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def gradios_loops_end_here() -> Iterator[None]:
    """Collected now, they warn under this module's filter and not in whichever test comes next."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def save(folder: Path, networks: dict[str, dict[str, str]]) -> Path:
    for name, network in networks.items():
        torch.manual_seed(0)
        UNet(depth=2, width=4, classes=2, **network).save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoints"), NETWORKS)


@pytest.fixture(scope="module")
def bench(checkpoints: Path) -> compare.Bench:
    return compare.Bench(compare.find(checkpoints))


@pytest.fixture(scope="module")
def page(bench: compare.Bench) -> blocks.Page:
    """With small pictures, for speed."""
    page = blocks.Page(bench)
    page.examples = {"nuclei": small_nuclei, "others": lambda: small_nuclei(seed=1)}
    return page


def small_nuclei(seed: int = 5) -> np.ndarray:
    return examples.nuclei(side=112, count=10, seed=seed)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return small_nuclei()


def one_sentence(error: BaseException, *parts: str) -> None:
    text = error.message if isinstance(error, gr.Error) else str(error)
    assert "\n" not in text and text.endswith((".", ")."))
    for part in parts:
        assert part in text


# What it computes


def test_networks_stand_in_a_sensible_order(bench: compare.Bench) -> None:
    assert [network.name for network in bench.networks] == NAMES


def test_two_trainings_of_one_variant_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    save(tmp_path, {"x/best": {"down": "max", "up": "nearest"}, "x/last": {"down": "max", "up": "nearest"}})
    assert [network.name for network in compare.find(tmp_path)] == ["max+nearest (x/best)", "max+nearest (x/last)"]


@pytest.mark.parametrize("shift", [(1, 1), (0, 1), (3, -5), (-16, 7), (16, 16)])
def test_an_adaptive_circular_network_is_exact_under_every_roll(bench: compare.Bench, picture: np.ndarray, shift: tuple[int, int]) -> None:
    results = bench.move(bench.begin(picture, "roll"), Shift(*shift))
    adaptive, fixed = results[-1], results[0]
    assert adaptive.psnr >= stability.CEILING and adaptive.agreement == 1 and not adaptive.difference.any()
    assert fixed.psnr < 100


@pytest.mark.parametrize("mode", [mode for _, mode in blocks.MODES])
@pytest.mark.parametrize("shift", [(1, 1), (-16, 16), (5, 0)])
def test_figures_are_those_of_stability_measure(bench: compare.Bench, picture: np.ndarray, mode: str, shift: tuple[int, int]) -> None:
    for result in bench.move(bench.begin(picture, mode), Shift(*shift)):
        predictor = result.network.predictor
        x = [predictor.prepare(compare.middle(picture))]
        options = {"max_shift": compare.REACH, "shifts": [Shift(*shift)], "multiple": bench.multiple, "margin": compare.MARGIN}
        report = stability.measure(predictor, x, mode, **options)
        assert (result.psnr, result.agreement) == (report.mean, report.agreement)


def test_the_first_point_of_a_curve_is_the_large_figure_for_that_shift(bench: compare.Bench, picture: np.ndarray) -> None:
    scene = bench.begin(picture, "crop")
    steps = list(bench.curves(scene))
    assert [list(step) for step in steps] == [NAMES[:1], NAMES[:2], NAMES]
    for result in bench.move(scene, Shift(1, 1)):
        curve = steps[-1][result.network.name]
        assert list(curve) == list(compare.DISTANCES)
        assert curve[1] == result.psnr


def test_a_curve_ends_when_its_visitor_looks_at_something_else(page: blocks.Page, picture: np.ndarray) -> None:
    scene = page.bench.begin(picture, "crop")
    curve = page.curve(scene)
    next(curve)
    after, *_ = page.turn(scene, "roll", 1, 1)
    assert list(curve) == []
    assert not after.left.is_set()


def test_without_a_shift_every_network_is_exact(bench: compare.Bench, picture: np.ndarray) -> None:
    assert {panels.word(result.psnr) for result in bench.move(bench.begin(picture, "crop"), Shift(0, 0))} == {"exact"}


def test_the_page_remembers_nothing_of_its_visitors(page: blocks.Page, picture: np.ndarray) -> None:
    before = {**vars(page), **vars(page.bench)}
    ours, *_ = page.choose(None, "nuclei", "crop", 1, 1)
    theirs, *_ = page.choose(None, "others", "roll", 2, 3)
    assert {**vars(page), **vars(page.bench)} == before
    assert page.move(ours, 1, 1) != page.move(theirs, 1, 1)
    assert page.move(ours, 1, 1) == page.move(ours, 1, 1)


def test_examples_are_the_same_each_time_and_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("an example picture asked the network"))
    assert next(iter(examples.examples())) == "nuclei"
    for read in examples.examples().values():
        assert np.array_equal(read(), read())
        assert max(compare.middle(read()).shape[:2]) <= compare.SIDE


# What it refuses


@pytest.mark.parametrize("missing", [True, False])
def test_no_networks_is_one_sentence_that_says_how_to_get_some(tmp_path: Path, missing: bool) -> None:
    folder = tmp_path / "nothing" if missing else tmp_path
    with pytest.raises(UsageError) as caught:
        demo.build(folder)
    one_sentence(caught.value, str(folder), "unetlift train")


def png_of(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (png_of(np.zeros((6000, 6000), np.uint8)), "6000 x 6000"),  # 36 kB that unfold to 36 MB
        (b"<svg onload='alert(1)'>", "cannot be read as a picture"),
        (png_of(np.zeros((40, 300), np.uint8)), "at least 96 x 96"),
    ],
    ids=["huge", "no picture", "small"],
)
def test_a_bad_upload_is_one_sentence_without_the_servers_folders(page: blocks.Page, tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "a<b>.png"
    path.write_bytes(data)
    with pytest.raises(gr.Error) as caught:
        page.upload(None, str(path), "crop", 1, 1)
    one_sentence(caught.value, says)
    assert str(tmp_path) not in caught.value.message
    assert "<" not in caught.value.message  # Gradio would draw it
    assert not path.exists()


def test_a_picture_of_something_else_than_numbers_is_refused(page: blocks.Page, tmp_path: Path) -> None:
    path = tmp_path / "nan.tif"
    tifffile.imwrite(path, np.full((128, 128), np.nan, np.float32))
    with pytest.raises(gr.Error, match="not finite"):
        page.upload(None, str(path), "crop", 1, 1)


def test_an_upload_keeps_its_16_bits_and_leaves_no_file(page: blocks.Page, tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png_of(picture[..., 0].astype(np.uint16) * 200))
    scene, *_, example = page.upload(None, str(path), "crop", 1, 1)
    assert np.allclose(scene.pixels, picture * np.float32(200 / 65535), atol=1e-7)
    assert example is None and not path.exists()


def test_a_page_left_alone_says_so(page: blocks.Page) -> None:
    with pytest.raises(gr.Error) as caught:
        page.move(None, 1, 1)
    one_sentence(caught.value, "choose a picture again")


def test_an_unknown_example_is_refused(page: blocks.Page) -> None:
    with pytest.raises(gr.Error, match="unknown"):
        page.choose(None, "/etc/passwd", "crop", 1, 1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "example.org", ""])
def test_a_public_host_is_refused(checkpoints: Path, host: str) -> None:
    with pytest.raises(UsageError) as caught:
        demo.launch(checkpoints, host=host)
    one_sentence(caught.value, repr(host), "127.0.0.1")


@pytest.mark.parametrize("port", [0, 99999, -1])
def test_a_port_that_is_none_is_refused(checkpoints: Path, port: int) -> None:
    with pytest.raises(UsageError) as caught:
        demo.launch(checkpoints, port=port)
    one_sentence(caught.value, str(port), "65535")


def test_a_taken_port_is_one_sentence(checkpoints: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            demo.launch(checkpoints, port=port)
    one_sentence(caught.value, str(port))


def test_picture_errors_name_the_file_alone(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"^gone.png "):
        compare.read_upload(tmp_path / "gone.png")


# What it sends


def test_every_picture_is_png_inside_the_page(page: blocks.Page) -> None:
    scene, sight, columns, _ = page.choose(None, "nuclei", "crop", -2, 0)
    *_, plot = page.curve(scene)
    sources = re.findall(r'src="([^"]*)"', sight + columns + plot)
    assert len(sources) == 2 + 3 * len(NAMES) + 1
    for source in sources:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        with Image.open(BytesIO(b64decode(data))) as image:
            assert image.format == "PNG"
    assert (sight + columns + plot).count("alt=") == len(sources)


def test_the_picture_shown_is_lossless(page: blocks.Page, picture: np.ndarray) -> None:
    scene = page.bench.begin(picture, "roll")
    still, _ = page.bench.frames(scene, Shift(0, 0))
    with Image.open(BytesIO(b64decode(panels.png(panels.rgb(still)).split(",")[1]))) as image:
        assert np.array_equal(np.asarray(image)[..., :1], picture)


def test_nothing_refers_to_another_host(checkpoints: Path, page: blocks.Page) -> None:
    theme = style.theme()
    assert not [sheet for sheet in theme._stylesheets if sheet]
    texts = [style.CSS, theme._font_css if isinstance(theme._font_css, str) else "".join(theme._font_css), theme._get_theme_css()]
    texts += [str(block.value) for block in demo.build(checkpoints).blocks.values() if hasattr(block, "value")]
    texts += page.choose(None, "nuclei", "roll", 1, 1)[1:]
    for text in texts:
        text = re.sub(r"base64,[^\"]*", "", text)
        assert not re.search(r"(https?:)?//(?!www\.w3\.org/2000/svg)[a-z]", text)  # the name of SVG is no address


def test_the_page_is_served_closed(monkeypatch: pytest.MonkeyPatch, checkpoints: Path) -> None:
    known, seen = set(inspect.signature(gr.Blocks.launch).parameters), {}

    def serve(self: gr.Blocks, **options: object) -> tuple[None, str, None]:
        seen.update(options, blocks=self)
        return None, "http://127.0.0.1:1/", None

    monkeypatch.setattr(gr.Blocks, "launch", serve)
    monkeypatch.setattr(gr.Blocks, "block_thread", lambda self: None)
    demo.launch(checkpoints)
    assert set(seen) - {"blocks"} <= known
    for name in ("share", "enable_monitoring", "run_history", "mcp_server", "pwa", "inbrowser"):
        assert seen[name] is False
    assert seen["server_name"] == "127.0.0.1" and seen["footer_links"] == [] and seen["max_file_size"]
    assert "auth" not in seen and "allowed_paths" not in seen
    served = seen["blocks"]
    assert served.analytics_enabled is False and served.delete_cache and served._queue.max_size
    kinds = {type(block) for block in served.blocks.values()}
    assert not kinds & {gr.Textbox, gr.Code, gr.File, gr.FileExplorer}
    assert {function.api_visibility for function in served.fns.values()} == {"private"}


# What it says


def test_words_for_figures() -> None:
    figures = {160: "exact", 159.9: "steady", 50: "steady", 49.9: "wobbles", 39.9: "jumps", -3: "jumps"}
    assert {psnr: panels.word(psnr) for psnr in figures} == figures


def test_one_pixel_less_than_all_is_not_100_percent() -> None:
    assert panels._percent(1 - 1 / 65536) == "99.99 %"
    assert panels._percent(1.0) == "100 %"


def test_shifts_are_said_in_words() -> None:
    said = {Shift(1, 1): "1 px right, 1 px down", Shift(-2, 0): "2 px up", Shift(0, -3): "3 px left", Shift(0, 0): "not at all"}
    assert {shift: panels.moved_words(shift) for shift in said} == said


def test_roll_says_who_pads_circularly(bench: compare.Bench) -> None:
    text = panels.mode_words("roll", bench.networks)
    assert "<b>lift+lift@adaptive</b>" in text and "seam" in text and "max+nearest" not in text
    assert "None of these" in panels.mode_words("roll", bench.networks[:1])


def test_an_exact_line_is_drawn_above_the_others_and_told(bench: compare.Bench) -> None:
    curves = {"a": dict.fromkeys(compare.DISTANCES, 30.0), "b": dict.fromkeys(compare.DISTANCES, stability.CEILING)}
    assert "a: at least 30.0 dB; b: exact at every distance" in panels.plot(curves, ["a", "b"], "roll")
    assert "img" in panels.plot({}, ["a", "b"], "roll")


def test_a_network_that_answers_with_pictures_is_named(tmp_path: Path) -> None:
    from unetlift.info import ModelInfo

    UNet(depth=2, width=4, classes=3).save_pretrained(tmp_path / "clean", ModelInfo((), (), task="restore"))
    with pytest.raises(UsageError, match=r"clean answers with pictures \(restore\), which the app does not show yet"):
        compare.find(tmp_path)
