"""The tabs beside Shift in a real Chromium, used as a person would: with a mouse, a keyboard, a telephone, and wrong files."""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from demo_browser import PATIENCE, SCREENSHOTS, Visit, opened, started, sync_api
from demo_serving import Server, served
from foreign_files import mixing
from PIL import Image

from unetlift import UNet
from unetlift.demo.examples import nuclei

LIFT = "lift+lift@adaptive"
NETWORKS = (
    {"down": "max", "up": "nearest"},
    {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"},
)
FIRST = {"detail": "#detail-lift [data-pair]", "yours": "#yours-model", "batch": "#batch-pictures"}
"""What is there once a tab can be used."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny networks, untrained."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, network in enumerate(NETWORKS):
        torch.manual_seed(0)
        UNet(depth=2, width=4, classes=2, **network).save_pretrained(folder / str(number))
    return folder


@pytest.fixture(scope="module")
def server(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(checkpoints, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with started() as browser:
        yield browser


@contextmanager
def looking(browser: "sync_api.Browser", server: Server, name: str, width: int = 1280, theme: str = "light") -> Iterator[Visit]:
    """A tab that the address opens; afterwards every picture that is shown has words."""
    with opened(browser, f"{server.address}?__theme={theme}&tab={name}", width) as visit:
        visit.tab.locator(FIRST[name]).wait_for()
        sync_api.expect(visit.tab.get_by_role("tab", selected=True)).to_have_attribute("id", f"{name}-button", timeout=PATIENCE)
        yield visit
        assert visit.tab.locator("img:not([alt]), img[alt='']").count() == 0


def shows(visit: Visit, place: str, words: str | re.Pattern) -> None:
    """Waits for words."""
    sync_api.expect(visit.tab.locator(place)).to_contain_text(words, timeout=PATIENCE)


def left(server: Server) -> list[Path]:
    """What is still there of visitors' files; Gradio makes empty ones."""
    return [path for path in server.files() if path.exists() and path.stat().st_size and path.suffix != ".zip"]


def picture(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(nuclei(side=128, count=12, seed=seed)[..., 0]).save(buffer, format="PNG")
    return buffer.getvalue()


def file(name: str, data: bytes) -> dict[str, object]:
    """As a visitor's machine hands it to the browser."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


def can_be_read(visit: Visit, name: str, width: int, theme: str) -> None:
    """The page has nothing beside the screen, is dark where it was asked to be, and its words stand out."""
    assert visit.narrow()
    assert visit.tab.locator("body").evaluate("body => body.classList.contains('dark')") == (theme == "dark")
    faint = visit.tab.evaluate(FAINT)
    assert faint == [], faint
    if SCREENSHOTS:
        visit.tab.mouse.move(0, 0)
        visit.tab.screenshot(path=Path(SCREENSHOTS) / f"{name}-{width}-{theme}.png", full_page=True)


FAINT = """() => {
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});
  const pixel = colours => { canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return canvas.getImageData(0, 0, 1, 1).data; };
  const found = [], words = document.createTreeWalker(document.querySelector(".gradio-container"), NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const text = words.currentNode.data.trim(), element = words.currentNode.parentElement;
    if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true}) || element.closest("script, style")) continue;
    if (element.closest(".detail-muted, [disabled]")) continue;  // faint on purpose
    const behind = [];
    for (let e = element; e; e = e.parentElement) behind.unshift(getComputedStyle(e).backgroundColor);
    const [a, b] = [pixel(["#fff", ...behind]), pixel(["#fff", ...behind, getComputedStyle(element).color])].map(light);
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return found;
}"""
"""Texts with less contrast to what is behind them than WCAG asks for, 4.5."""


SCREENS = pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])


# Detail


@SCREENS
def test_it_opens_on_an_example_taken_apart(browser: "sync_api.Browser", server: Server, width: int, theme: str) -> None:
    with looking(browser, server, "detail", width, theme) as visit:
        assert visit.tab.locator("#detail-example").get_by_label("nuclei").is_checked()
        assert visit.tab.locator("#detail img").count() == 5 + 2 * 5  # source and bands; what five pairs give back, and their errors
        can_be_read(visit, "detail", width, theme)


def psnr(visit: Visit) -> float:
    """Of what the lift gives back."""
    return float(visit.tab.locator("#detail-lift [data-pair]").get_attribute("data-psnr"))


def test_muted_by_keyboard_a_band_is_missed_and_all_of_them_are_exact(browser: "sync_api.Browser", server: Server) -> None:
    with looking(browser, server, "detail") as visit:
        lift, hh = visit.tab.locator("#detail-lift"), visit.tab.locator("#detail-bands").get_by_label("HH")
        sync_api.expect(lift).to_contain_text("exact")
        visit.tab.locator("#detail-bands").get_by_label("LL").focus()
        for _ in range(3):
            visit.tab.keyboard.press("Tab")
        assert hh.evaluate("box => box === document.activeElement")
        visit.tab.keyboard.press("Space")
        sync_api.expect(lift.locator(".detail-psnr")).to_contain_text("dB", timeout=PATIENCE)
        muted = psnr(visit)
        others = visit.tab.locator("#detail-others [data-pair]").evaluate_all("cards => cards.map(card => Number(card.dataset.psnr))")
        assert len(others) == 4 and max(others) < muted < 160
        sync_api.expect(visit.tab.get_by_alt_text(re.compile("Sub-band HH of level 1.*muted"))).to_be_visible()
        visit.tab.keyboard.press("Space")
        sync_api.expect(lift.locator(".detail-psnr")).to_have_text("exact", timeout=PATIENCE)


def test_examples_uploads_levels_and_feature_maps_are_taken_apart(browser: "sync_api.Browser", server: Server) -> None:
    with looking(browser, server, "detail") as visit:
        source = visit.tab.locator("#detail-top figcaption").first
        visit.tab.locator("#detail-example").get_by_label("coins").check()
        visit.choose(visit.tab.locator("#detail-upload"), file("own.png", picture()))
        sync_api.expect(source).to_contain_text("128 x 128", timeout=PATIENCE)
        sync_api.expect(visit.tab.locator("#detail-example").get_by_label("coins")).not_to_be_checked(timeout=PATIENCE)
        visit.tab.locator("#detail-levels").get_by_label("3").check()
        sync_api.expect(visit.tab.get_by_alt_text(re.compile("Sub-band HL of level 3"))).to_be_visible(timeout=PATIENCE)
        assert visit.tab.locator("#detail-top .detail-tile").count() == 10 and psnr(visit) == 160

        visit.tab.locator("#detail-source input").click()
        visit.tab.get_by_role("option", name=f"features of {LIFT}").click()
        sync_api.expect(source).to_contain_text(f"{LIFT}, level 0, channel 0, 128 x 128", timeout=PATIENCE)
        visit.tab.locator("#detail-level").get_by_label("1: 1/2").check()
        sync_api.expect(source).to_contain_text("level 1, channel 0, 64 x 64", timeout=PATIENCE)
        visit.tab.locator("#detail-lifting").get_by_label("the network's own, trained").check()
        shows(visit, "#detail-top", "by trained lift")
        sync_api.expect(visit.tab.locator("#detail-lift .detail-psnr")).to_have_text("exact", timeout=PATIENCE)
        assert left(server) == []


# Measure yours


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return mixing(tmp_path / "mixing.onnx")


@pytest.fixture
def packed(checkpoints: Path, tmp_path: Path) -> Path:
    """A model folder as somebody's file manager packs it."""
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "model.safetensors"):
            archive.write(checkpoints / "0" / name, f"mine/{name}")
    return path


def test_an_onnx_file_is_measured(browser: "sync_api.Browser", server: Server, onnx: Path) -> None:
    with looking(browser, server, "yours", 390, "dark") as visit:
        visit.tab.locator("#yours-shift").get_by_label("number input").fill("2")
        visit.choose(visit.tab.locator("#yours-model"), onnx)
        sync_api.expect(visit.tab.get_by_role("status")).to_be_visible(timeout=PATIENCE)
        shows(visit, "#yours-status", "24 of 24 shifts: done; the model was removed")
        card = visit.tab.get_by_role("article", name="mixing.onnx")
        sync_api.expect(card.locator(".yours-large")).to_contain_text("exact")  # it mixes colours, and looks at no neighbours
        sync_api.expect(card.get_by_alt_text(re.compile("Heat map over all shifts: from exact to exact"))).to_be_visible()
        can_be_read(visit, "yours", 390, "dark")
        assert left(server) == []


def test_a_packed_folder_is_measured_on_a_picture_of_ones_own(browser: "sync_api.Browser", server: Server, packed: Path) -> None:
    with looking(browser, server, "yours") as visit:
        visit.choose(visit.tab.locator("#yours-picture"), file("own.png", picture()))
        shows(visit, "#yours", "Measured on the middle of your picture")
        visit.tab.locator("#yours-shift").get_by_label("number input").fill("2")
        visit.choose(visit.tab.locator("#yours-model"), packed)
        card = visit.tab.get_by_role("article", name="max+nearest")
        sync_api.expect(card.locator(".yours-large")).to_contain_text("of the labels agree", timeout=PATIENCE)
        shows(visit, "#yours-status", "24 of 24 shifts: done; the model was removed")
        assert float(card.get_attribute("data-worst")) <= float(card.get_attribute("data-psnr")) < 160
        assert visit.tab.locator("#yours-result img").count() == 5
        can_be_read(visit, "yours", 1280, "light")
        assert left(server) == []


def test_by_keyboard_a_model_is_chosen_measured_and_given_up(browser: "sync_api.Browser", server: Server, packed: Path) -> None:
    with looking(browser, server, "yours") as visit:
        keyboard = visit.tab.keyboard
        visit.tab.get_by_role("tab", name="Measure yours").focus()
        reached = []
        while not reached or reached[-1] != "yours-model":
            keyboard.press("Tab")
            reached.append(visit.tab.evaluate("document.activeElement.closest('[id^=yours-]')?.id ?? ''"))
            assert len(reached) < 40, reached
            if reached[-1] == "yours-shift":
                keyboard.press("End")
        assert [name for name in dict.fromkeys(reached) if name] == [f"yours-{n}" for n in ("example", "picture", "mode", "shift", "model")]
        with visit.tab.expect_file_chooser() as chooser:
            keyboard.press("Enter")
        chooser.value.set_files(packed)
        shows(visit, "#yours-status", re.compile(r"[1-9]\d* of 288 shifts: measuring"))
        visit.tab.locator("#yours-model").focus()
        keyboard.press("Tab")
        keyboard.press("Enter")
        shows(visit, "#yours-status", "of 288 shifts: cancelled")
        sync_api.expect(visit.tab.get_by_role("article")).to_contain_text("mean shift PSNR")  # what is known stays
        assert left(server) == []


WRONG = [
    ("model.onnx", b"no model", "model.onnx"),
    ("model.zip", b"no archive", "The archive cannot be unpacked"),
    ("config.json", b"{}", "config.json is no model that can be measured here"),
]


def test_a_wrong_model_is_told_in_one_sentence(browser: "sync_api.Browser", server: Server) -> None:
    with looking(browser, server, "yours") as visit:
        for name, data, sentence in WRONG:
            visit.choose(visit.tab.locator("#yours-model"), file(name, data))
            told = visit.tab.locator(".toast-body, #yours-status [role=alert]").filter(has_text=sentence)
            sync_api.expect(told).to_be_visible(timeout=PATIENCE)
            assert visit.tab.locator("#yours").get_by_text("Error", exact=True).locator("visible=true").count() == 0
            assert str(server.temporary) not in visit.tab.content() and visit.tab.get_by_role("article").count() == 0


# Batch


@SCREENS
def test_pictures_come_back_as_one_archive(browser: "sync_api.Browser", server: Server, width: int, theme: str) -> None:
    with looking(browser, server, "batch", width, theme) as visit:
        files = [file("a cell.png", picture(1)), file("b.png", picture(2)), file("broken.png", picture(3)[:400])]
        visit.choose(visit.tab.locator("#batch-pictures"), *files)
        sync_api.expect(visit.tab.get_by_role("progressbar", include_hidden=True)).to_be_visible(timeout=PATIENCE)
        shows(visit, "#batch-status", "2 of 3 pictures answered.")
        assert visit.tab.locator("#batch-result li").count() == 3 and visit.tab.locator("#batch-result li img").count() == 2
        sync_api.expect(visit.tab.locator("#batch-result li").last).to_contain_text("broken.png")
        can_be_read(visit, "batch", width, theme)
        link = visit.tab.get_by_role("link", name="Download the archive")
        link.focus()
        with visit.tab.expect_download() as download:
            visit.tab.keyboard.press("Enter")
        assert download.value.suggested_filename == "unetlift-answers.zip"
        with zipfile.ZipFile(download.value.path()) as archive:
            names = [f"{folder}/{name}.png" for folder in ("masks", "overlays") for name in ("a cell", "b")]
            assert sorted(archive.namelist()) == [*names, "summary.csv"]
            for name in names:
                assert Image.open(io.BytesIO(archive.read(name))).size == (128, 128)
            rows = list(csv.DictReader(io.StringIO(archive.read("summary.csv").decode())))
        assert [(row["file"], row["status"]) for row in rows] == [("a cell.png", "done"), ("b.png", "done"), ("broken.png", "failed")]


def test_by_keyboard_pictures_are_chosen_and_given_up(browser: "sync_api.Browser", server: Server) -> None:
    large = io.BytesIO()
    Image.fromarray(nuclei(side=128, count=12)[..., 0]).resize((2400, 2400)).save(large, format="PNG")
    with looking(browser, server, "batch") as visit:
        visit.tab.get_by_role("tab", name="Batch").focus()
        for place in ("batch-network", "batch-overlay", "batch-pictures"):
            visit.tab.keyboard.press("Tab")
            assert visit.tab.evaluate("document.activeElement.closest('[id^=batch-]')?.id") == place
        with visit.tab.expect_file_chooser() as chooser:
            visit.tab.keyboard.press("Enter")
        chooser.value.set_files([file("0.png", picture()), *(file(f"{n}.png", large.getvalue()) for n in range(1, 5))])
        shows(visit, "#batch-status", "1 of 5 pictures …")
        visit.tab.locator("#batch-pictures").focus()
        visit.tab.keyboard.press("Tab")
        visit.tab.keyboard.press("Enter")
        shows(visit, "#batch-status", "Cancelled.")
        assert visit.tab.get_by_role("link", name="Download").count() == 0
        assert left(server) == []


def test_what_is_no_picture_is_told_in_one_sentence(browser: "sync_api.Browser", server: Server) -> None:
    with looking(browser, server, "batch") as visit:
        visit.choose(visit.tab.locator("#batch-pictures"), file("a.png", picture()), file("letter.png", b"no picture"))
        sync_api.expect(visit.tab.locator(".toast-body")).to_contain_text("letter.png cannot be read as a picture", timeout=PATIENCE)
        sync_api.expect(visit.tab.locator("#batch-status")).to_have_text("No pictures were answered yet.", use_inner_text=True)
        assert visit.tab.locator("#batch-result li").count() == 0
