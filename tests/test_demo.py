"""The page without a browser: what it computes, what it refuses, what it sends."""

import inspect
import json
import re
import socket
from base64 import b64decode, b64encode
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from unetlift import UNet, demo, stability
from unetlift.demo import blocks, compare, endpoints, examples, film, measures, panels, pictures, plots, script, settings, style, visit
from unetlift.demo.guard import Guard
from unetlift.errors import PictureError, UnetliftError, UsageError
from unetlift.info import DegradeConfig, ModelInfo
from unetlift.shifts import Shift

gr = blocks.gr

# Gradio makes an event loop for every Blocks that is built outside of one, and never closes it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed (event loop|<socket):ResourceWarning"),
    pytest.mark.usefixtures("gradios_loops_end_here"),
]

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
def page(bench: compare.Bench) -> visit.Page:
    """With small pictures, for speed."""
    return visit.Page(bench.networks, {"nuclei": small_nuclei, "others": lambda: small_nuclei(seed=1)})


@pytest.fixture(scope="module")
def task(page: visit.Page) -> str:
    """The only one."""
    (task,) = page.benches
    return task


def small_nuclei(seed: int = 5) -> np.ndarray:
    return examples.nuclei(side=112, count=10, seed=seed)


@pytest.fixture(scope="module")
def picture(bench: compare.Bench) -> np.ndarray:
    """As the networks are given it."""
    return pictures.seen_by(bench.networks[0], small_nuclei())


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


def test_a_network_that_lies_above_others_of_its_variant_keeps_the_name(tmp_path: Path) -> None:
    baseline = {"down": "max", "up": "nearest"}
    save(tmp_path, {"max+nearest": baseline, "denoise/max+nearest": baseline, "other/mine": baseline})
    names = [network.name for network in compare.find(tmp_path)]
    assert names == ["max+nearest", "max+nearest (denoise)", "max+nearest (other/mine)"]


@pytest.mark.parametrize("shift", [(1, 1), (0, 1), (3, -5), (-16, 7), (16, 16)])
def test_an_adaptive_circular_network_is_exact_under_every_roll(bench: compare.Bench, picture: np.ndarray, shift: tuple[int, int]) -> None:
    results = bench.move(bench.begin(picture, "roll"), Shift(*shift))
    adaptive, fixed = results[-1], results[0]
    assert adaptive.psnr >= stability.CEILING and adaptive.agreement == 1 and not adaptive.difference.any()
    assert fixed.psnr < 100


@pytest.mark.parametrize("mode", settings.MODES)
@pytest.mark.parametrize("shift", [(1, 1), (-16, 16), (5, 0), (0.125, -2.5)])
def test_figures_are_those_of_stability_measure(bench: compare.Bench, picture: np.ndarray, mode: str, shift: tuple[float, float]) -> None:
    move = compare.move(*shift)
    for result in bench.move(bench.begin(picture, mode), move):
        predictor = result.network.predictor
        x = [predictor.prepare(picture)]
        options = {"max_shift": compare.REACH, "shifts": [move], "multiple": bench.multiple, "margin": compare.MARGIN}
        report = stability.measure(predictor, x, mode, **options)
        assert (result.psnr, result.agreement) == (report.mean, report.agreement)


def test_the_first_point_of_a_curve_is_the_large_figure_for_that_shift(bench: compare.Bench, picture: np.ndarray) -> None:
    scene = bench.begin(picture, "crop")
    steps = list(measures.curves(bench, scene, compare.Turns().begin("curve")))
    assert [[name for name, _ in step] for step in steps] == [NAMES[:1], NAMES[:2], NAMES]
    for result in bench.move(scene, Shift(1, 1)):
        curve = steps[-1][result.network.name, False]
        assert list(curve.psnr) == list(measures.DISTANCES)
        assert curve.psnr[1] == result.psnr
        assert curve.worst <= curve.mean and curve.parameters == sum(p.numel() for p in result.network.predictor.model.parameters())


def test_the_map_has_every_shift_of_the_square(bench: compare.Bench, picture: np.ndarray) -> None:
    scene = bench.begin(picture, "crop", networks=bench.networks[:1])
    steps = list(measures.grids(bench, scene, 4, compare.Turns().begin("grid")))
    assert [np.isnan(step[NAMES[0], False]).sum() for step in steps] == [81 - 9 * (row + 1) for row in range(9)]
    values = steps[-1][NAMES[0], False]
    assert values[4, 4] == stability.CEILING and measures.moved(values).size == 80
    for dy, dx in ((-4, 3), (2, -1)):
        (result,) = bench.move(scene, Shift(dy, dx))
        assert values[dy + 4, dx + 4] == result.psnr


@pytest.mark.parametrize("kind", ["curve", "grid", "drift"])
def test_what_goes_on_ends_when_its_visitor_looks_at_something_else(page: visit.Page, task: str, kind: str) -> None:
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1)
    going = {"curve": (page.curve, ()), "grid": (page.grid, (4,)), "drift": (page.drift, (visit.begin_drift(view), "1 pixel", 10))}
    start, asked = going[kind]
    going = start(view, *asked)
    next(going)
    page.turn(view, "roll", 1, 1)
    assert list(going) == []


def test_a_second_click_ends_the_first(page: visit.Page, task: str) -> None:
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, NAMES[:1])
    first = page.grid(view, 4)
    next(first)
    second = page.grid(view, 4)
    next(second)
    assert list(first) == []
    visit.end_map(view)
    assert list(second) == []


def test_the_drift_closes_its_path_and_ends_as_a_film(page: visit.Page, task: str) -> None:
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, NAMES[:1])
    path = film.path(1 / 8)
    assert path[-1] == (0, 0)
    assert {abs(after.dy - before.dy) + abs(after.dx - before.dx) for before, after in pairwise(path)} == {1 / 8}
    turn = visit.begin_drift(view)
    steps = list(page.drift(view, turn, "1 pixel", 10))
    assert len(steps) == len(path) + 1
    sight, columns = steps[-1]
    assert sight.count("image/webp") == 1 and columns.count("image/webp") == 2 and "worst of 16 steps" in columns
    assert page.amplify(view, 10) == (panels.sight(view), panels.columns(view, 10))  # where it was
    assert list(page.drift(view, turn, "1 pixel", 10)) == []  # one lap a click


def test_a_slider_that_moves_between_a_click_and_its_drift_has_ended_it(page: visit.Page, task: str) -> None:
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, NAMES[:1])
    turn = visit.begin_drift(view)
    view, *_ = page.move(view, 5, 1, 10)
    assert list(page.drift(view, turn, "1 pixel", 10)) == []


def test_only_what_is_new_is_computed(page: visit.Page, task: str) -> None:
    asked = []
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, NAMES[:1])
    hooks = [n.predictor.model.register_forward_hook(lambda *_: asked.append(1)) for n in page.benches[task].networks]
    page.amplify(view, 90)
    assert len(asked) == 0
    page.move(view, 2, 1, 10)
    assert len(asked) == 1
    view, *_ = page.turn(view, "crop", 1, 1, NAMES)
    assert len(asked) == 1 + 2 + 3  # what the two new ones say before, and all three after the move
    page.turn(view, "crop", 1, 1, NAMES[:2])
    for hook in hooks:
        hook.remove()
    assert len(asked) == 6 + 2


def test_a_gain_multiplies_what_is_shown(bench: compare.Bench, picture: np.ndarray) -> None:
    result = bench.move(bench.begin(picture, "roll"), Shift(1, 1))[0]
    dark, bright = (panels.heat(result, gain).astype(int).sum() for gain in (1, 100))
    assert dark < bright


def test_nobody_chosen_is_said(page: visit.Page, task: str) -> None:
    view, _, columns, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, [])
    assert columns == panels.NOBODY
    assert list(page.curve(view)) == []


def test_without_a_shift_every_network_is_exact(bench: compare.Bench, picture: np.ndarray) -> None:
    assert {panels.word(result.psnr) for result in bench.move(bench.begin(picture, "crop"), Shift(0, 0))} == {"exact"}


def test_the_page_remembers_nothing_of_its_visitors(page: visit.Page, task: str) -> None:
    before = {**vars(page), **vars(page.benches[task])}
    ours, *_ = page.choose(None, task, "nuclei", "crop", 1, 1)
    theirs, *_ = page.choose(None, task, "others", "roll", 2, 3)
    assert {**vars(page), **vars(page.benches[task])} == before
    assert page.move(ours, 1, 1, 10)[1:] != page.move(theirs, 1, 1, 10)[1:]
    assert page.move(ours, 1, 1, 10)[1:] == page.move(ours, 1, 1, 10)[1:]


def test_examples_are_the_same_each_time_and_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("an example picture asked the network"))
    assert next(iter(examples.examples())) == "nuclei"
    for read in examples.examples().values():
        assert np.array_equal(read(), read())
        assert max(pictures.middle(read()).shape[:2]) <= pictures.SIDE


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
def test_a_bad_upload_is_one_sentence_without_the_servers_folders(
    page: visit.Page, task: str, tmp_path: Path, data: bytes, says: str
) -> None:
    path = tmp_path / "a<b>.png"
    path.write_bytes(data)
    with pytest.raises(gr.Error) as caught:
        page.upload(None, task, str(path), "crop", 1, 1)
    one_sentence(caught.value, says)
    assert str(tmp_path) not in caught.value.message
    assert "<" not in caught.value.message  # Gradio would draw it
    assert not path.exists()


def test_a_picture_of_something_else_than_numbers_is_refused(page: visit.Page, task: str, tmp_path: Path) -> None:
    path = tmp_path / "nan.tif"
    tifffile.imwrite(path, np.full((128, 128), np.nan, np.float32))
    with pytest.raises(gr.Error, match="not finite"):
        page.upload(None, task, str(path), "crop", 1, 1)


def test_an_upload_keeps_its_16_bits_and_leaves_no_file(page: visit.Page, task: str, tmp_path: Path) -> None:
    path, picture = tmp_path / "deep.png", small_nuclei()
    path.write_bytes(png_of(picture[..., 0].astype(np.uint16) * 200))
    view, *_, example = page.upload(None, task, str(path), "crop", 1, 1)
    assert np.allclose(view.picture, picture * np.float32(200 / 65535), atol=1e-7)
    assert example is None and not path.exists()


def test_a_page_left_alone_says_so(page: visit.Page) -> None:
    with pytest.raises(gr.Error) as caught:
        page.move(None, 1, 1, 10)
    one_sentence(caught.value, "choose a picture again")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "/etc/passwd"}, "unknown"), ({"task": "others"}, "unknown"), ({"mode": "video"}, "crop, roll"),
        ({"dx": 17}, "from -16 to 16"), ({"dy": float("nan")}, "from -16 to 16"), ({"dx": "1"}, "number"),
        ({"variants": ["gone"]}, "unknown"), ({"variants": "max+nearest"}, "list"), ({"anchor": True}, "landmark"),
        ({"gain": 0}, "from 1 to 100"), ({"gain": [1]}, "from 1 to 100"),
    ],
    ids=str,
)  # fmt: skip
def test_every_argument_of_a_stranger_is_checked(page: visit.Page, task: str, wrong: dict[str, object], says: str) -> None:
    usual = {"task": task, "name": "nuclei", "mode": "crop", "dx": 1, "dy": 1, "variants": NAMES, "anchor": "none", "gain": 10}
    with pytest.raises(gr.Error) as caught:
        page.choose(None, *(usual | wrong).values())
    one_sentence(caught.value, says)


@pytest.mark.parametrize(("shot", "says"), [("NotAllowedError", "gave no picture"), ("data:image/png;base64,AAAA", "cannot be read")])
def test_a_camera_without_a_picture_is_told(page: visit.Page, task: str, shot: str, says: str) -> None:
    with pytest.raises(gr.Error) as caught:
        page.snap(None, task, shot, "crop", 1, 1)
    one_sentence(caught.value, says)


def test_wrong_wishes_for_what_goes_on_are_told(page: visit.Page, task: str) -> None:
    view, *_ = page.choose(None, task, "nuclei", "crop", 1, 1, [])
    for going in (page.grid(view, 5), page.grid(None, 4), page.drift(view, None, "2 pixel", 1), page.drift(view, None, "1 pixel", 1000)):
        with pytest.raises(gr.Error) as caught:
            next(going)
        one_sentence(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "example.org", ""])
def test_a_public_host_is_refused(checkpoints: Path, host: str) -> None:
    with pytest.raises(UsageError) as caught:
        demo.launch(checkpoints, host=host)
    one_sentence(caught.value, repr(host), "127.0.0.1")


def test_a_public_host_wants_passwords(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **options: seen.update(options) or (None, "http://127.0.0.1:1/", None))
    monkeypatch.setattr(gr.Blocks, "block_thread", lambda self: None)
    passwords = tmp_path / "passwords"
    passwords.write_text("ann:correct horse\nbob:a:b\n\n")
    demo.launch(checkpoints, host="0.0.0.0", passwords=passwords)
    assert seen["server_name"] == "0.0.0.0" and seen["auth"] == [("ann", "correct horse"), ("bob", "a:b")]


@pytest.mark.parametrize("text", ["", "ann\n", ":secret\n", "ann:\n", None])
def test_passwords_that_are_none_are_refused(checkpoints: Path, tmp_path: Path, text: str | None) -> None:
    passwords = tmp_path / "passwords"
    if text is not None:
        passwords.write_text(text)
    with pytest.raises(UsageError) as caught:
        demo.launch(checkpoints, host="0.0.0.0", passwords=passwords)
    one_sentence(caught.value, "USER:PASSWORD")


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
        pictures.read_upload(tmp_path / "gone.png")


# What it sends


def test_every_picture_is_png_inside_the_page(page: visit.Page, task: str) -> None:
    view, sight, columns, *_ = page.choose(None, task, "nuclei", "crop", -2, 0)
    *_, (plot, _) = page.curve(view)
    sources = re.findall(r'src="([^"]*)"', sight + columns + plot)
    assert len(sources) == 2 + 3 * len(NAMES) + 1
    for source in sources:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        with Image.open(BytesIO(b64decode(data))) as image:
            assert image.format == "PNG"
    assert (sight + columns + plot).count("alt=") == len(sources)


def test_the_picture_shown_is_lossless(bench: compare.Bench, picture: np.ndarray) -> None:
    scene = bench.begin(picture, "roll")
    still, _ = bench.frames(scene, Shift(0, 0))
    with Image.open(BytesIO(b64decode(panels.png(panels.rgb(still)).split(",")[1]))) as image:
        assert np.array_equal(np.asarray(image)[..., :1], small_nuclei())


def test_nothing_refers_to_another_host(checkpoints: Path, page: visit.Page, task: str) -> None:
    theme = style.theme()
    assert not [sheet for sheet in theme._stylesheets if sheet]
    texts = [style.CSS, script.HEAD]
    texts += [theme._font_css if isinstance(theme._font_css, str) else "".join(theme._font_css), theme._get_theme_css()]
    texts += [str(block.value) for block in demo.build(checkpoints).blocks.values() if hasattr(block, "value")]
    texts += page.choose(None, task, "nuclei", "roll", 1, 1)[1:]
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
    assert seen["auth"] is None and seen["show_error"] is False and "allowed_paths" not in seen
    served = seen["blocks"]
    assert served.analytics_enabled is False and served.delete_cache and served._queue.max_size
    assert [middleware.cls for middleware in seen["app_kwargs"]["middleware"]] == [Guard]
    assert not {type(block) for block in served.blocks.values()} & {gr.Code, gr.FileExplorer}
    public = {function.api_name for function in served.fns.values() if function.api_visibility != "private"}
    assert {"shift", "curve", "grid"} <= public <= {"shift", "curve", "grid", "detail", "measure", "batch"}


def test_on_a_space_the_proxy_is_served(monkeypatch: pytest.MonkeyPatch, checkpoints: Path) -> None:
    seen = {}
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_ID", "somebody/page")
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **options: (seen.update(options), "http://127.0.0.1:1/", None))
    monkeypatch.setattr(gr.Blocks, "block_thread", lambda self: None)
    demo.launch(checkpoints)
    assert seen["server_name"] == "0.0.0.0" and seen["share"] is False


# What it says


def test_words_for_figures() -> None:
    figures = {160: "exact", 159.9: "steady", 50: "steady", 49.9: "wobbles", 39.9: "jumps", -3: "jumps"}
    assert {psnr: panels.word(psnr) for psnr in figures} == figures


def test_one_pixel_less_than_all_is_not_100_percent() -> None:
    assert panels.percent(1 - 1 / 65536) == "99.99 %"
    assert panels.percent(1.0) == "100 %"


def test_shifts_are_said_in_words() -> None:
    said = {Shift(1, 1): "1 px right, 1 px down", Shift(-2, 0): "2 px up", Shift(0, -3): "3 px left", Shift(0, 0): "not at all"}
    assert {shift: panels.moved_words(shift) for shift in said} == said


def test_roll_says_who_pads_circularly(page: visit.Page, task: str) -> None:
    *_, text, _ = page.choose(None, task, "nuclei", "roll", 1, 1)
    assert "<b>lift+lift@adaptive</b>" in text and "seam" in text and "max+nearest" not in text
    *_, text, _ = page.choose(None, task, "nuclei", "roll", 1, 0.5, NAMES[:1])
    assert "None of these" in text and "parts of a pixel" in text


def test_an_exact_line_is_drawn_above_the_others_and_told(bench: compare.Bench, picture: np.ndarray) -> None:
    scene = bench.begin(picture, "roll", networks=bench.networks[:2])
    flat = [measures.Curve(dict.fromkeys(measures.DISTANCES, psnr), 1.0, 0.01, 7) for psnr in (30.0, stability.CEILING)]
    curves = {(name, False): curve for name, curve in zip(NAMES, flat, strict=False)}
    assert f"{NAMES[0]}: at least 30.0 dB; {NAMES[1]}: exact at every distance" in plots.plot(curves, scene)
    assert "img" in plots.plot({}, scene)
    rows = re.findall(r"<td>(.*?)</td>", plots.table(curves, scene))
    assert rows == ["30.0", "30.0", "100 %", "10", "7", "exact", "exact", "100 %", "10", "7"]


def test_what_the_address_says_is_read_and_the_unknown_told() -> None:
    tasks, examples_of = {"a": ["x", "y"], "b": ["z"]}, {"a": ["coins"], "b": ["sky", "moon"]}
    usual = settings.read_address({"__theme": "dark"}, tasks, examples_of)
    assert (usual.task, usual.picture, usual.settings.variants, usual.complaint) == ("a", "coins", ["x", "y"], "")
    said = {"task": "b", "picture": "moon", "mode": "roll", "dx": "-2.5", "dy": "0", "variants": "z", "anchor": "both", "gain": "7"}
    task, picture, read, unknown = settings.read_address(said, tasks, examples_of)
    assert (task, picture, read, unknown) == ("b", "moon", settings.Settings("roll", -2.5, 0, ["z"], "both", 7), ())
    wrong = settings.read_address({"dx": "nan", "variants": "x,q", "picture": "<b>"}, tasks, examples_of)
    assert wrong.settings == settings.Settings(variants=["x", "y"]) and wrong.picture == "coins"
    assert all(part in wrong.complaint for part in ("dx='nan'", "variants='x,q'", "picture='<b>'")) and wrong.complaint.endswith(".")


# Tasks


@pytest.fixture(scope="module")
def mixed(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> visit.Page:
    """Over networks that segment, and one that restores colour pictures."""
    folder = tmp_path_factory.mktemp("mixed")
    UNet(depth=2, width=4, classes=3).save_pretrained(folder / "clean", ModelInfo((), (), task="restore", degrade=DegradeConfig(noise=25)))
    many = {f"{channels} channels": lambda channels=channels: np.repeat(small_nuclei(), channels, 2) for channels in (3, 4)}
    return visit.Page((*compare.find(checkpoints), *compare.find(folder)), {"nuclei": small_nuclei} | many)


def test_networks_are_grouped_by_what_they_do_with_examples_that_fit(mixed: visit.Page) -> None:
    assert {task: mixed.variants(task) for task in mixed.benches} == {"segment: 1": NAMES, "restore: noise 25": ["blur-3+bilinear"]}
    assert [list(fits) for fits in mixed.examples.values()] == [["nuclei", "3 channels"], ["nuclei", "3 channels"]]


def test_pictures_are_answered_with_pictures_and_degraded_first(mixed: visit.Page) -> None:
    view, _, columns, _, _, variants, example = mixed.turn_to(None, "restore: noise 25", "crop", 1, 1, NAMES, "none", 10)
    assert variants["value"] == ["blur-3+bilinear"] and example["value"] == "nuclei"
    noise = view.scene.pixels - view.picture
    assert 20 / 255 < noise.std() < 30 / 255
    (result,) = view.results
    assert result.agreement is None and result.still.shape == (80, 80, 3)
    assert re.findall(r'data-psnr="([\d.]+)"', columns) and "</b> agree" not in columns
    *_, (_, table) = mixed.curve(view)
    assert "blur-3+bilinear" in table


# Endpoints


@pytest.fixture(scope="module")
def named(page: visit.Page) -> endpoints.Endpoints:
    return endpoints.Endpoints(page)


def test_endpoints_answer_with_the_figures_of_the_page(named: endpoints.Endpoints, bench: compare.Bench, picture: np.ndarray) -> None:
    shift = named.shift("nuclei", "crop", dx=1, dy=1, variants=NAMES[:1], anchor="both")
    results = bench.move(bench.begin(picture, "crop", "both", bench.networks[:1]), Shift(1, 1))
    assert [(f["anchored"], f["psnr"]) for f in shift["figures"]] == [(True, results[0].psnr), (False, results[0].without)]
    curve = named.curve("nuclei", variants=NAMES[:1])
    assert curve["figures"][0]["psnr"][0] == shift["figures"][1]["psnr"] and curve["distances"] == list(range(1, 9))
    grid = named.grid("nuclei", variants=NAMES[:1])
    (figures,) = grid["figures"]
    assert figures["psnr"][5][5] == shift["figures"][1]["psnr"] and figures["minimum"] <= figures["mean"] <= figures["maximum"]
    json.dumps([shift, curve, grid], allow_nan=False)


def test_a_picture_comes_as_text(named: endpoints.Endpoints) -> None:
    text = b64encode(png_of(small_nuclei()[..., 0])).decode()
    answers = [named.shift(picture, variants=NAMES[:1]) for picture in ("nuclei", text, f"data:image/png;base64,{text}")]
    assert len({answer["figures"][0]["psnr"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"picture": "/etc/passwd"}, "neither an example"), ({"picture": "http://localhost/x.png"}, "neither an example"),
        ({"picture": {"path": "/etc/passwd"}}, "text"), ({"picture": "A" * (pictures.MAX_TEXT + 4)}, "at most"),
        ({"picture": b64encode(png_of(np.zeros((6000, 6000), np.uint8))).decode()}, "6000 x 6000"), ({"mode": "subpixel"}, "crop, roll"),
        ({"variants": []}, "empty"), ({"variants": 3}, "list"), ({"anchor": "track"}, "both"), ({"dx": 1e9}, "-16 to 16"),
        ({"task": "x"}, "unknown"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_endpoints_check_every_argument(named: endpoints.Endpoints, wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UnetliftError) as caught:
        named.shift(**({"picture": "nuclei"} | wrong))
    one_sentence(caught.value, says)


def test_networks_are_shown_the_pictures_that_lie_beside_them_and_no_others(tmp_path: Path) -> None:
    save(tmp_path / "maps", {"one": {"down": "max", "up": "nearest"}})
    map_of = np.zeros((128, 160, 3), np.uint8)
    map_of[40:60, 30:90] = (240, 228, 66)
    (tmp_path / "maps" / "examples").mkdir()
    Image.fromarray(map_of).save(tmp_path / "maps" / "examples" / "a map.png")
    for folder, expected in ((tmp_path, ["a map"]), (save(tmp_path / "plain", NETWORKS), ["nuclei"])):
        page = visit.Page(compare.find(folder), {"nuclei": small_nuclei})
        assert all(list(shown) == expected for shown in page.examples.values())
    (shown,) = visit.Page(compare.find(tmp_path / "maps"), {"nuclei": small_nuclei}).examples.values()
    assert np.array_equal(shown["a map"](), map_of)
