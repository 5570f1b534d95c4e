"""The page in a real Chromium: it shows figures, follows its sliders, and asks no other host for anything."""

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import torch
from demo_browser import PATIENCE, SCREENSHOTS, Visit, opened, started, sync_api
from demo_serving import Server, served
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from unetlift import UNet
from unetlift.demo.examples import nuclei

NETWORKS = (
    {"down": "max", "up": "nearest"},
    {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"},
)
USUAL, ADAPTIVE = "max+nearest", "lift+lift@adaptive"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page over two tiny networks."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, network in enumerate(NETWORKS):
        torch.manual_seed(0)
        UNet(depth=2, width=4, classes=2, **network).save_pretrained(folder / str(number))
    with served(folder, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def address(server: Server) -> str:
    return server.address


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with started() as browser:
        yield browser


@contextmanager
def visiting(browser: "sync_api.Browser", address: str, width: int = 1280) -> Iterator[Visit]:
    """The first tab with its figures."""
    with opened(browser, address, width) as visit:
        visit.tab.wait_for_selector(f'[data-variant="{ADAPTIVE}"]')
        yield visit


@pytest.fixture
def visit(browser: "sync_api.Browser", address: str) -> Iterator[Visit]:
    with visiting(browser, address) as visit:
        yield visit


def test_it_opens_on_an_example_with_figures(visit: Visit) -> None:
    assert re.fullmatch(r"-?\d+\.\d dB", visit.figure(USUAL))
    assert visit.shift.get_by_label("nuclei").is_checked()
    for name in ("dx, right", "dy, down"):
        assert visit.shift.get_by_label(f"number input for {name}").input_value() == "1"
    loaded = visit.tab.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert len(loaded) >= 8 and all(loaded)
    plot = visit.tab.locator(f'img.plot[alt*="{ADAPTIVE}"]')  # lines come one by one; the last is there
    sync_api.expect(plot).to_be_visible(timeout=PATIENCE)
    sync_api.expect(visit.tab.locator("#table tbody tr")).to_have_count(2, timeout=PATIENCE)


OVERFLOWING = "[...document.querySelectorAll('.variant, .sight, #choices')].filter(v => v.scrollWidth > v.clientWidth + 1).length"
NAMELESS = """[...document.querySelectorAll('#shift :is(button, input:not([type=file]))')].filter(control => control.checkVisibility()
    && !(control.labels?.length || control.ariaLabel || control.title || control.innerText.trim())).length"""


OTHERS = [pytest.param(1280, "dark", marks=pytest.mark.slow), pytest.param(390, "light", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark"), *OTHERS])
def test_it_fits_and_can_be_read_on_every_screen(browser: "sync_api.Browser", address: str, width: int, theme: str) -> None:
    with visiting(browser, f"{address}?__theme={theme}", width) as visit:
        assert visit.narrow() and visit.tab.evaluate(OVERFLOWING) == 0
        assert visit.tab.evaluate(NAMELESS) == 0
        assert visit.tab.evaluate("[...document.images].every(image => image.alt)")
        light = visit.tab.evaluate("getComputedStyle(document.querySelector('.variant')).backgroundColor")
        assert (int(re.search(r"\d+", light)[0]) > 127) == (theme == "light")
        if SCREENSHOTS:
            visit.tab.wait_for_selector(f'img.plot[alt*="{ADAPTIVE}: "]')
            visit.tab.screenshot(path=Path(SCREENSHOTS) / f"shift-{width}-{theme}.png", full_page=True)


def test_figures_follow_the_sliders_and_parts_of_a_pixel_are_told(visit: Visit) -> None:
    before = visit.figure(USUAL)
    slider = visit.shift.get_by_label("range slider for dx, right")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowRight")
    after = visit.wait_for_another(USUAL, before)
    sync_api.expect(visit.tab.locator("#sight")).to_contain_text("2 px right", timeout=PATIENCE)
    after = visit.figure(USUAL)
    box = visit.shift.get_by_label("number input for dy, down")
    box.fill("-3.5")
    box.press("Enter")
    assert visit.wait_for_another(USUAL, after) != before
    sync_api.expect(visit.tab.locator("#sight")).to_contain_text("3.5 px up", timeout=PATIENCE)
    assert "parts of a pixel" in visit.tab.locator("#mode-words").inner_text()


def test_roll_shows_the_adaptive_network_exact(visit: Visit) -> None:
    before = visit.figure(ADAPTIVE)  # read first: the answer may be there as soon as the box is checked
    assert before != "exact"
    visit.shift.get_by_label("roll: wraps around").check()
    assert visit.wait_for_another(ADAPTIVE, before) == "exact"
    assert visit.figure(USUAL) != "exact"
    assert "judged mostly by the seam" in visit.tab.locator("#mode-words").inner_text()
    exact = visit.tab.locator(f'img.plot[alt*="{ADAPTIVE}: exact at every distance"]')
    sync_api.expect(exact).to_be_visible(timeout=PATIENCE)


def test_the_curve_belongs_to_the_last_choice_however_quickly_it_was_made(visit: Visit) -> None:
    for mode, label in 2 * (("roll", "roll: wraps around"), ("crop", "crop: a camera moves")):
        visit.shift.get_by_label(label).check()  # while the last curve is still being drawn
        sync_api.expect(visit.tab.locator(f'img.plot[alt*="mode {mode}"]')).to_be_visible(timeout=PATIENCE)


def test_anchoring_shows_every_network_with_and_without(visit: Visit) -> None:
    before = {name: visit.figure(name) for name in (USUAL, ADAPTIVE)}
    anchor = visit.tab.locator("#anchor")
    assert anchor.get_by_label("corner").is_checked() and visit.tab.locator(".without, .mark").count() == 0
    anchor.get_by_label("both").check()
    for name, figure in before.items():
        visit.wait_for_another(name, figure)
        assert visit.tab.locator(f'[data-variant="{name}"] .without').inner_text() == f"without anchoring {figure}"
    assert visit.tab.locator("#sight .mark:visible").count() == 2
    assert "the network is untouched" in visit.tab.locator("#mode-words").inner_text()

    visit.shift.get_by_label("roll: wraps around").check()
    for name in before:
        sync_api.expect(visit.tab.locator(f'[data-variant="{name}"] .psnr')).to_have_text("exact", timeout=PATIENCE)
        told = f'img.plot[alt*="mode roll"][alt*="{name}: exact at every distance"][alt*="{name} without anchoring: "]'
        sync_api.expect(visit.tab.locator(told)).to_be_visible(timeout=PATIENCE)

    visit.shift.get_by_label("crop: a camera moves").check()
    anchor.get_by_label("corner").check()
    for name, figure in before.items():
        sync_api.expect(visit.tab.locator(f'[data-variant="{name}"] .psnr')).to_have_text(figure, timeout=PATIENCE)
    assert visit.tab.locator(".without, .mark").count() == 0


def test_variants_gain_and_the_handle_between_two_answers(visit: Visit) -> None:
    visit.tab.locator("#variants").get_by_label(USUAL).uncheck()
    sync_api.expect(visit.tab.locator("article.variant")).to_have_count(1, timeout=PATIENCE)
    visit.tab.locator("#variants").get_by_label(USUAL).check()
    sync_api.expect(visit.tab.locator("article.variant")).to_have_count(2, timeout=PATIENCE)
    gain = visit.shift.get_by_label("number input for Gain")
    gain.fill("50")
    gain.press("Enter")
    sync_api.expect(visit.tab.locator(f'[data-variant="{USUAL}"] figcaption').first).to_have_text("what changed, x 50", timeout=PATIENCE)
    handles = visit.tab.locator(".pair input")
    handles.first.focus()
    handles.first.press("ArrowRight")
    assert [handle.input_value() for handle in handles.all()] == ["51", "51"]
    assert "51%" in visit.tab.locator(".pair .over").last.evaluate("image => getComputedStyle(image).clipPath")


def test_a_drift_plays_until_it_is_stopped(visit: Visit) -> None:
    before, at_rest = visit.figure(USUAL), visit.tab.locator("#sight").inner_text()
    visit.tab.locator("#play").click()
    film = visit.tab.locator(f'[data-film="{USUAL}"]')
    sync_api.expect(film).to_contain_text("worst of 16 steps", timeout=PATIENCE)
    assert film.locator('img[src^="data:image/webp"]').count() == 2
    visit.tab.locator("#stop").click()
    sync_api.expect(visit.tab.locator("#sight")).to_have_text(at_rest, use_inner_text=True, timeout=PATIENCE)
    assert visit.figure(USUAL) == before
    visit.tab.locator("#play").click()  # and a slider that moves ends it too
    visit.shift.get_by_label("number input for dx, right").fill("5")
    sync_api.expect(visit.tab.locator("#sight")).to_contain_text("moved 5 px right, 1 px down", timeout=PATIENCE)


def test_the_map_is_drawn_on_demand_and_a_second_click_begins_anew(visit: Visit) -> None:
    assert visit.tab.locator(".maps").count() == 0
    visit.tab.locator("#reach").get_by_label("8").check()
    visit.tab.locator("#draw").click()
    visit.tab.wait_for_selector(".maps")
    visit.tab.locator("#reach").get_by_label("4").check()
    visit.tab.locator("#draw").click()
    sync_api.expect(visit.tab.locator('[data-map][data-known="81"] img[alt*="from -4 to 4"]')).to_have_count(2, timeout=PATIENCE)
    visit.shift.get_by_label("roll: wraps around").check()
    sync_api.expect(visit.tab.locator(".maps")).to_have_count(0, timeout=PATIENCE)


def test_the_address_brings_others_to_the_same_finding(visit: Visit, browser: "sync_api.Browser", address: str) -> None:
    before = visit.figure(USUAL)
    visit.shift.get_by_label("coins").check()
    after = visit.wait_for_another(USUAL, before)
    visit.tab.locator("#variants").get_by_label(ADAPTIVE).uncheck()
    sync_api.expect(visit.tab.locator("article.variant")).to_have_count(1, timeout=PATIENCE)
    box = visit.shift.get_by_label("number input for dx, right")
    box.fill("2.25")
    box.press("Enter")
    visit.wait_for_another(USUAL, after)
    sync_api.expect(visit.tab.locator("#sight")).to_contain_text("2.25 px right", timeout=PATIENCE)
    shared = visit.tab.url
    tab = browser.new_page()
    tab.goto(shared)
    sync_api.expect(tab.locator("article.variant .psnr")).to_have_text(visit.figure(USUAL), timeout=PATIENCE)
    assert tab.locator("#example").get_by_label("coins").is_checked()
    assert tab.locator("#sight img").first.get_attribute("src") == visit.tab.locator("#sight img").first.get_attribute("src")
    tab.goto(f"{address}?mode=fast&tab=batch")
    sync_api.expect(tab.locator(".toast-body")).to_contain_text("The address asks for mode='fast'", timeout=PATIENCE)
    sync_api.expect(tab.get_by_role("tab", name="Batch")).to_have_attribute("aria-selected", "true", timeout=PATIENCE)
    tab.close()


def test_the_keyboard_alone_reaches_everything(visit: Visit) -> None:
    visit.tab.get_by_role("tab", name="Shift").focus()
    seen, place = [], "document.activeElement.closest('[id]:not(input, [id^=component], [id^=html-])')?.id ?? ''"
    for _ in range(60):
        visit.tab.keyboard.press("Tab")
        seen.append(visit.tab.evaluate(place))
        visible = "e => getComputedStyle(e).outlineStyle !== 'none' || getComputedStyle(e).boxShadow !== 'none'"
        if seen[-1] in ("play", "draw", "camera"):
            assert visit.tab.evaluate(f"({visible})(document.activeElement)"), seen[-1]
    order = list(dict.fromkeys(place for place in seen if place))
    wanted = ["example", "upload", "camera", "mode", "dx", "dy", "step", "play", "stop", "variants", "anchor", "gain"]
    wanted += ["columns", "reach", "draw", "stop-map"]
    assert [place for place in order if place in wanted] == wanted


@pytest.fixture
def own() -> dict[str, object]:
    """A picture file as a visitor may have it."""
    buffer = BytesIO()
    Image.fromarray(nuclei(side=128, count=12, seed=1)[..., 0]).save(buffer, format="PNG")
    return {"name": "own.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def test_a_picture_of_ones_own_can_be_uploaded_and_is_not_kept(visit: Visit, server: Server, own: dict[str, object]) -> None:
    before = visit.figure(USUAL)
    visit.choose(visit.shift.get_by_role("button", name="Upload a picture"), own)
    after = visit.wait_for_another(USUAL, before)
    sync_api.expect(visit.shift.get_by_label("nuclei")).not_to_be_checked(timeout=PATIENCE)
    width = visit.tab.evaluate("document.querySelector('#sight img').naturalWidth")
    assert width == 96  # a window that keeps 16 pixels to move in
    visit.tab.locator("#camera").click()
    visit.tab.get_by_role("button", name="Take the picture").click()
    visit.wait_for_another(USUAL, after)
    assert [path for path in server.cache.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_a_camera_that_takes_its_time_is_waited_for(visit: Visit) -> None:
    before = visit.figure(USUAL)
    blank = "window.scene = Object.assign(document.createElement('canvas'), {width: 320, height: 240})"
    visit.tab.evaluate(f"{blank}; navigator.mediaDevices.getUserMedia = async () => window.scene.captureStream()")
    visit.tab.locator("#camera").click()
    take = visit.tab.get_by_role("button", name="Take the picture")
    sync_api.expect(take).to_be_disabled(timeout=PATIENCE)
    visit.tab.evaluate("window.scene.getContext('2d').fillRect(100, 60, 90, 80)")
    sync_api.expect(take).to_be_focused(timeout=PATIENCE)
    take.press("Enter")
    visit.wait_for_another(USUAL, before)


def test_two_visitors_do_not_see_each_others_pictures(visit: Visit, browser: "sync_api.Browser", address: str) -> None:
    before = visit.figure(USUAL)
    with visiting(browser, address) as other:
        other.shift.get_by_label("coins").check()
        theirs = other.wait_for_another(USUAL, before)
        visit.shift.get_by_label("number input for dx, right").fill("0")
        ours = visit.wait_for_another(USUAL, before)
        other.shift.get_by_label("number input for dx, right").fill("0")
        assert other.wait_for_another(USUAL, theirs) != ours
        pictures = [v.tab.locator("#sight img").first.get_attribute("src") for v in (visit, other)]
        assert pictures[0] != pictures[1]


def test_a_file_that_is_no_picture_is_told_in_one_sentence(visit: Visit, own: dict[str, object]) -> None:
    before = visit.figure(USUAL)
    visit.choose(visit.shift.get_by_role("button", name="Upload a picture"), own | {"buffer": b"no picture"})
    toast = visit.tab.locator(".toast-body")
    sync_api.expect(toast).to_contain_text("own.png cannot be read as a picture", timeout=PATIENCE)
    assert visit.figure(USUAL) == before


@pytest.mark.parametrize("path", ["secret.png", "http://127.0.0.1:9/secret.png"])
def test_a_file_of_the_server_is_neither_read_nor_removed_and_no_address_asked(address: str, tmp_path: Path, path: str) -> None:
    secret = tmp_path / "secret.png"
    Image.new("L", (128, 128)).save(secret)
    dependencies = httpx.get(f"{address}config").json()["dependencies"]
    upload = next(d["id"] for d in dependencies if d["targets"] and d["targets"][0][1] == "upload")
    file = {"path": path if "//" in path else str(secret), "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [None, "", file, "crop", 1, 1, None, "none", 10], "fn_index": upload, "session_hash": "stranger", "trigger_id": 1}
    answer = httpx.post(f"{address}gradio_api/queue/join", json=asked)
    assert answer.status_code == 400 and "was not uploaded here" in answer.text
    assert secret.exists()


def test_programs_can_ask_by_name(address: str, own: dict[str, object]) -> None:
    client = Client(address, verbose=False, download_files=False)
    try:
        ours = client.predict("nuclei", mode="roll", dx=3, dy=-2, api_name="/shift")
        assert {f["variant"]: f["psnr"] for f in ours["figures"]}[ADAPTIVE] == ours["ceiling"]
        theirs = client.predict(b64encode(own["buffer"]).decode(), variants=[USUAL], api_name="/curve")
        assert len(theirs["figures"]) == 1 and theirs["figures"][0]["worst"] < theirs["ceiling"]
        with pytest.raises(AppError, match="neither an example's name nor a picture file"):
            client.predict("/etc/passwd", api_name="/shift")
    finally:
        client.close()


@pytest.mark.slow
@pytest.mark.skipif(not SCREENSHOTS, reason="Takes the README's pictures; set UNETLIFT_SCREENSHOTS to a folder to run it.")
@pytest.mark.parametrize(("name", "mode"), [("crop", "crop"), ("roll", "roll"), ("anchor", "crop")])
def test_the_pictures_of_the_readme(browser: "sync_api.Browser", tmp_path: Path, name: str, mode: str) -> None:
    """Over checkpoints/, or the folder that UNETLIFT_CHECKPOINTS names, as app-crop.png, app-roll.png and app-anchor.png."""
    checkpoints = Path(os.environ.get("UNETLIFT_CHECKPOINTS", Path(__file__).parent.parent / "checkpoints"))
    with served(checkpoints, tmp_path) as server:
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(10 * PATIENCE)
        tab.goto(server.address)
        tab.wait_for_selector(".variant")
        tab.locator(f'#mode input[value="{mode}"]').check()
        tab.locator(f'#anchor input[value="{"both" if name == "anchor" else "none"}"]').check()
        # The curve's last line comes last of all.
        last = tab.locator(".variant").last.get_attribute("data-variant")
        end = f"{last} without anchoring: " if name == "anchor" else f"{last}: "
        tab.wait_for_selector(f'img.plot[alt*="mode {mode}"][alt*="{end}"]')
        tab.screenshot(path=Path(SCREENSHOTS) / f"app-{name}.png", full_page=name == "anchor")  # there the curve says most
        tab.close()
