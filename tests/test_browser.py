"""The page in a real Chromium: it shows figures, follows its sliders, and asks no other host for anything."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import torch
from PIL import Image

from unetlift import UNet
from unetlift.demo.examples import nuclei

REQUIRED = os.environ.get("UNETLIFT_REQUIRE_BROWSER") == "1"
if REQUIRED:
    from playwright import sync_api
else:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing; install it with: pip install -e '.[test]'")

SCREENSHOTS = os.environ.get("UNETLIFT_SCREENSHOTS", "")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The rest of the list keeps Chromium's own calls home (updates, sync, field trials) out of the page's account.
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE = 120_000
"""Milliseconds; a loaded machine takes its time, and a passing test never waits this long."""

SERVE = """
import sys
from pathlib import Path

def tell(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = arguments[0] if event == "socket.getaddrinfo" else arguments[1][0]
        if host not in (None, "127.0.0.1", "localhost", "::1"):
            print(f"The server asked {host} for something.", file=sys.stderr, flush=True)

sys.addaudithook(tell)
from unetlift.demo import launch
launch(Path(sys.argv[1]))
"""
NETWORKS = (
    {"down": "max", "up": "nearest"},
    {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"},
)
USUAL, ADAPTIVE = "max+nearest", "lift+lift@adaptive"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps files, which it would serve to whoever asks."""
    return tmp_path_factory.mktemp("gradio")


@contextmanager
def served(checkpoints: Path, cache: Path) -> Iterator[str]:
    """The address of the real server, in a process of its own."""
    # Threads of its own would only fight with the browser's.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": str(cache)}
    command = [sys.executable, "-c", SERVE, str(checkpoints)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        line = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line + server.stderr.read()
        yield found[0]
    finally:
        server.terminate()
        _, complaints = server.communicate(timeout=120)
    assert [line for line in complaints.splitlines() if line.startswith("The server asked")] == []


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[str]:
    """Of a page over two tiny networks."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, network in enumerate(NETWORKS):
        torch.manual_seed(0)
        UNet(depth=2, width=4, classes=2, **network).save_pretrained(folder / str(number))
    with served(folder, cache) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sentence = "No Chromium is on this machine; install Debian's package chromium to run this test."
        if REQUIRED:
            pytest.fail(sentence)
        pytest.skip(sentence)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A tab, with what it asked for and complained about."""

    tab: "sync_api.Page"
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def figure(self, variant: str) -> str:
        """The large figure of a variant, as read by people."""
        return self.tab.locator(f'[data-variant="{variant}"] .psnr').inner_text()

    def wait_for_another(self, variant: str, before: str) -> str:
        """The figure once it is no longer `before`."""
        shown = self.tab.locator(f'[data-variant="{variant}"] .psnr')
        sync_api.expect(shown).not_to_have_text(before, timeout=PATIENCE)
        return shown.inner_text()


@contextmanager
def visiting(browser: "sync_api.Browser", address: str) -> Iterator[Visit]:
    """The page freshly loaded; at the end nobody else was asked and nothing was complained about."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(context.new_page())
    visit.tab.set_default_timeout(PATIENCE)
    context.on("request", lambda request: visit.asked.append(request.url))
    visit.tab.on("console", lambda m: visit.complaints.append(m.text) if m.type in ("error", "warning") else None)
    visit.tab.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.tab.goto(address)
    visit.tab.wait_for_selector(f'[data-variant="{ADAPTIVE}"]')
    yield visit
    hosts = {urlsplit(url).hostname for url in visit.asked if not url.startswith(("data:", "blob:"))}
    context.close()
    assert hosts == {"127.0.0.1"}
    assert visit.complaints == []


@pytest.fixture
def visit(browser: "sync_api.Browser", address: str) -> Iterator[Visit]:
    with visiting(browser, address) as visit:
        yield visit


def test_it_opens_on_an_example_with_figures(visit: Visit) -> None:
    assert re.fullmatch(r"-?\d+\.\d dB", visit.figure(USUAL))
    assert visit.tab.get_by_label("nuclei").is_checked()
    for name in ("dx, right", "dy, down"):
        assert visit.tab.get_by_label(f"number input for {name}").input_value() == "1"
    loaded = visit.tab.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert len(loaded) >= 8 and all(loaded)
    plot = visit.tab.locator(f'img.plot[alt*="{ADAPTIVE}"]')  # lines come one by one; the last is there
    sync_api.expect(plot).to_be_visible(timeout=PATIENCE)


def test_all_columns_fit_on_a_small_screen(visit: Visit) -> None:
    assert visit.tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    overflowing = "[...document.querySelectorAll('.variant')].filter(v => v.scrollWidth > v.clientWidth).length"
    assert visit.tab.evaluate(overflowing) == 0


def test_figures_follow_the_sliders(visit: Visit) -> None:
    before = visit.figure(USUAL)
    visit.tab.get_by_label("range slider for dx, right").focus()
    visit.tab.keyboard.press("ArrowRight")
    after = visit.wait_for_another(USUAL, before)
    sync_api.expect(visit.tab.locator("#sight")).to_contain_text("moved 2 px right, 1 px down", timeout=PATIENCE)
    box = visit.tab.get_by_label("number input for dy, down")
    box.fill("-3")
    box.press("Enter")
    assert visit.wait_for_another(USUAL, after) != before
    sync_api.expect(visit.tab.locator("#sight")).to_contain_text("3 px up", timeout=PATIENCE)


def test_roll_shows_the_adaptive_network_exact(visit: Visit) -> None:
    before = visit.figure(ADAPTIVE)  # read first: the answer may be there as soon as the box is checked
    assert before != "exact"
    visit.tab.get_by_label("roll: wraps around").check()
    assert visit.wait_for_another(ADAPTIVE, before) == "exact"
    assert visit.figure(USUAL) != "exact"
    assert "judged mostly by the seam" in visit.tab.locator("#mode-words").inner_text()
    exact = visit.tab.locator(f'img.plot[alt*="{ADAPTIVE}: exact at every distance"]')
    sync_api.expect(exact).to_be_visible(timeout=PATIENCE)


def test_the_curve_belongs_to_the_last_choice_however_quickly_it_was_made(visit: Visit) -> None:
    for mode, label in 2 * (("roll", "roll: wraps around"), ("crop", "crop: a camera moves")):
        visit.tab.get_by_label(label).check()  # while the last curve is still being drawn
        sync_api.expect(visit.tab.locator(f'img.plot[alt*="mode {mode}"]')).to_be_visible(timeout=PATIENCE)


def test_anchoring_shows_every_network_with_and_without(visit: Visit) -> None:
    before = {name: visit.figure(name) for name in (USUAL, ADAPTIVE)}
    switch = visit.tab.get_by_label("Tie the grid to a landmark of the picture (anchoring)")
    assert not switch.is_checked() and visit.tab.locator(".without, .mark").count() == 0
    switch.check()
    for name, figure in before.items():
        visit.wait_for_another(name, figure)
        assert visit.tab.locator(f'[data-variant="{name}"] .without').inner_text() == f"without anchoring {figure}"
    assert visit.tab.locator("#sight .mark:visible").count() == 2
    assert "the network is untouched" in visit.tab.locator("#mode-words").inner_text()

    visit.tab.get_by_label("roll: wraps around").check()
    for name in before:
        sync_api.expect(visit.tab.locator(f'[data-variant="{name}"] .psnr')).to_have_text("exact", timeout=PATIENCE)
        told = f'img.plot[alt*="mode roll"][alt*="{name}: exact at every distance"][alt*="{name} without anchoring: "]'
        sync_api.expect(visit.tab.locator(told)).to_be_visible(timeout=PATIENCE)

    visit.tab.get_by_label("crop: a camera moves").check()
    switch.uncheck()
    for name, figure in before.items():
        sync_api.expect(visit.tab.locator(f'[data-variant="{name}"] .psnr')).to_have_text(figure, timeout=PATIENCE)
    assert visit.tab.locator(".without, .mark").count() == 0


def test_a_picture_of_ones_own_can_be_uploaded_and_is_not_kept(visit: Visit, cache: Path) -> None:
    buffer = BytesIO()
    Image.fromarray(nuclei(side=128, count=12, seed=1)[..., 0]).save(buffer, format="PNG")
    before = visit.figure(USUAL)
    with visit.tab.expect_file_chooser() as chooser:
        visit.tab.get_by_role("button", name="Upload a picture of your own").click()
    chooser.value.set_files({"name": "own.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    visit.wait_for_another(USUAL, before)
    sync_api.expect(visit.tab.get_by_label("nuclei")).not_to_be_checked(timeout=PATIENCE)
    width = visit.tab.evaluate("document.querySelector('#sight img').naturalWidth")
    assert width == 96  # a window that keeps 16 pixels to move in
    assert [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_two_visitors_do_not_see_each_others_pictures(visit: Visit, browser: "sync_api.Browser", address: str) -> None:
    before = visit.figure(USUAL)
    with visiting(browser, address) as other:
        other.tab.get_by_label("coins").check()
        theirs = other.wait_for_another(USUAL, before)
        visit.tab.get_by_label("number input for dx, right").fill("0")
        ours = visit.wait_for_another(USUAL, before)
        other.tab.get_by_label("number input for dx, right").fill("0")
        assert other.wait_for_another(USUAL, theirs) != ours
        pictures = [v.tab.locator("#sight img").first.get_attribute("src") for v in (visit, other)]
        assert pictures[0] != pictures[1]


def test_a_file_that_is_no_picture_is_told_in_one_sentence(visit: Visit) -> None:
    before = visit.figure(USUAL)
    with visit.tab.expect_file_chooser() as chooser:
        visit.tab.get_by_role("button", name="Upload a picture of your own").click()
    chooser.value.set_files({"name": "own.png", "mimeType": "image/png", "buffer": b"no picture"})
    toast = visit.tab.locator(".toast-body")
    sync_api.expect(toast).to_contain_text("own.png cannot be read as a picture", timeout=PATIENCE)
    assert visit.figure(USUAL) == before


def test_a_file_of_the_server_is_neither_read_nor_removed(address: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("L", (128, 128)).save(secret)
    dependencies = httpx.get(f"{address}config").json()["dependencies"]
    upload = next(d["id"] for d in dependencies if d["targets"][0][1] == "upload")
    data = [None, {"path": str(secret), "meta": {"_type": "gradio.FileData"}}, "crop", 1, 1, False]
    asked = {"data": data, "fn_index": upload, "session_hash": "stranger", "trigger_id": 1}
    httpx.post(f"{address}gradio_api/queue/join", json=asked).raise_for_status()
    with httpx.stream("GET", f"{address}gradio_api/queue/data?session_hash=stranger", timeout=120) as answers:
        answer = next(line for line in answers.iter_lines() if "process_completed" in line)
    assert "was not uploaded by a user" in answer
    assert secret.exists()


@pytest.mark.skipif(not SCREENSHOTS, reason="Takes the README's pictures; set UNETLIFT_SCREENSHOTS to a folder to run it.")
@pytest.mark.parametrize(("name", "mode"), [("crop", "crop"), ("roll", "roll"), ("anchor", "crop")])
def test_the_pictures_of_the_readme(browser: "sync_api.Browser", cache: Path, name: str, mode: str) -> None:
    """Over checkpoints/, or the folder that UNETLIFT_CHECKPOINTS names, as app-crop.png, app-roll.png and app-anchor.png."""
    checkpoints = Path(os.environ.get("UNETLIFT_CHECKPOINTS", Path(__file__).parent.parent / "checkpoints"))
    with served(checkpoints, cache) as address:
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(10 * PATIENCE)
        tab.goto(address)
        tab.wait_for_selector(".variant")
        tab.locator(f'#mode input[value="{mode}"]').check()
        tab.locator("#anchor input").set_checked(name == "anchor")
        # The curve's last line comes last of all.
        last = tab.locator(".variant").last.get_attribute("data-variant")
        end = f"{last} without anchoring: " if name == "anchor" else f"{last}: "
        tab.wait_for_selector(f'img.plot[alt*="mode {mode}"][alt*="{end}"]')
        tab.screenshot(path=Path(SCREENSHOTS) / f"app-{name}.png", full_page=name == "anchor")  # there the curve says most
        tab.close()
