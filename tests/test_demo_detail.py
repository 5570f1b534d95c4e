"""The tab Detail without a browser: what it takes apart and gives back, what it draws, what it refuses."""

import json
import re
from base64 import b64decode, b64encode
from html import unescape
from io import BytesIO
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import pywt
import torch
from PIL import Image
from torch import Tensor

from unetlift import UNet, pool_pair
from unetlift.demo import bands, detail, sources
from unetlift.demo.bands import BANDS, OTHERS, Wish
from unetlift.demo.detail_events import Page
from unetlift.demo.examples import nuclei
from unetlift.demo.networks import Network, find
from unetlift.demo.sources import PICTURE, Source
from unetlift.errors import PictureError, UsageError

# Gradio makes an event loop for every Blocks that is built outside of one, and never closes it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed (event loop|<socket):ResourceWarning"),
    pytest.mark.usefixtures("gradios_loops_end_here"),
]

FIXED, ADAPTIVE, USUAL = "lift+lift", "lift+lift@adaptive", "max+nearest"
NETWORKS = (
    {"down": "max", "up": "nearest"},
    {"down": "lift", "up": "lift"},
    {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"},
)
CONTROLS = (PICTURE, 0, 0, "haar", list(BANDS), 1, "at the corner", 4, 2)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, ...]:
    """Three of them, whose lifts are no longer the wavelet that they began as."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, network in enumerate(NETWORKS):
        torch.manual_seed(number)
        model = UNet(depth=2, width=4, classes=2, **network)
        for name, weight in model.named_parameters():
            if "across" in name:
                torch.nn.init.normal_(weight, std=0.3)
        model.save_pretrained(folder / str(number))
    return find(folder)


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    """The middle of a picture of odd size."""
    return nuclei(side=112, count=10)[:101, :97].astype(np.float32) / 255


@pytest.fixture(scope="module")
def page(networks: tuple[Network, ...]) -> Page:
    return Page(networks, {"nuclei": lambda: nuclei(side=112, count=10), "others": lambda: nuclei(side=112, count=10, seed=1)})


def source_of(*size: int, dtype: torch.dtype = torch.float64) -> Source:
    """Noise in place of a picture."""
    return Source(torch.rand(1, *size, generator=torch.Generator().manual_seed(0), dtype=dtype), slice(None), 0.0, 1.0)


def decibel(error: Tensor, output_range: float = 1.0) -> float:
    return -10 * np.log10(error.square().mean().item() / output_range**2)


# What it computes


@pytest.mark.parametrize("grid", bands.GRIDS)
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("lifting", ["haar", "cdf53"])
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_all_bands_together_are_the_source(size: tuple[int, int], lifting: str, levels: int, grid: tuple[int, int]) -> None:
    wish = Wish(lifting=lifting, levels=levels, grid=grid)
    restored = bands.lifted(source_of(3, *size), wish)
    assert restored.psnr == restored.steady == 160 and restored.stored == pytest.approx(1)
    assert bands.lifted(source_of(3, *size, dtype=torch.float32), wish).psnr >= 140


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("name", [FIXED, ADAPTIVE])
def test_so_they_are_with_what_a_network_has_learned(networks: tuple[Network, ...], seen: np.ndarray, name: str, levels: int) -> None:
    wish = Wish(source=name, level=1, channel=3, lifting="own", levels=levels, grid=(0, 1))
    source = bands.asked(networks, seen, wish)
    assert bands.lifted(source, wish).psnr == 160
    learned, haar = (bands.take_apart(source, Wish(name, 1, 3, lifting, levels=levels)) for lifting in ("own", "haar"))
    assert not torch.allclose(learned.low, haar.low)


@pytest.mark.parametrize(("muted", "part"), [("HH", 1 / 4), ("HL", 1 / 2), ("LH", 1 / 2), ("LL", 1)])
def test_a_muted_haar_band_costs_what_it_costs_by_hand(muted: str, part: float) -> None:
    source = source_of(3, 40, 56)
    parts = bands.take_apart(source, Wish())
    band = dict(zip(BANDS, (parts.low, *parts.details[0]), strict=True))[muted]
    restored = bands.lifted(source, Wish(kept=tuple(name for name in BANDS if name != muted)))
    assert restored.psnr == pytest.approx(decibel(part * band))
    assert restored.stored == 0.75


def test_with_everything_muted_nothing_comes_back() -> None:
    source = source_of(1, 21, 30)
    restored = bands.lifted(source, Wish(kept=(), levels=2))
    assert not restored.x.any() and restored.stored == 0
    assert restored.psnr == pytest.approx(decibel(source.x))


@pytest.mark.parametrize("levels", [1, 3])
def test_the_means_alone_are_average_pooling_and_nearest(levels: int) -> None:
    source = source_of(3, 48, 64)
    side = 2**levels
    means = source.x.unflatten(3, (-1, side)).unflatten(2, (-1, side)).mean((3, 5))
    alone = bands.lifted(source, Wish(kept=("LL",), levels=levels))
    assert torch.allclose(alone.x, means.repeat_interleave(side, 2).repeat_interleave(side, 3))
    assert alone.stored == 0.25**levels


@pytest.mark.parametrize("levels", [1, 3])
def test_energies_are_those_of_the_orthonormal_wavelet(levels: int) -> None:
    source = source_of(1, 48, 64)
    parts = bands.take_apart(source, Wish(levels=levels))
    low, *details = pywt.wavedec2(source.x[0, 0].numpy(), "haar", level=levels)
    whole = source.x.square().sum().item()
    # PyWavelets names the bands by what is horizontal in them: its first is high downwards.
    for at, name in enumerate(("LH", "HL", "HH")):
        assert parts.energy[name] == pytest.approx(sum(np.square(level[at]).sum() for level in details) / whole)
    assert parts.energy["LL"] == pytest.approx(np.square(low).sum() / whole)
    assert sum(parts.energy.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("size", [(64, 48), (37, 51)])
def test_the_others_figures_are_those_of_their_pools(name: str, size: tuple[int, int]) -> None:
    source = source_of(3, *size)
    down, up = pool_pair(*name.split("+"), channels=3, padding_mode="replicate")
    y, trace = down(source.x)
    once = up(y, trace)
    restored = bands.other(source, Wish(), name)
    assert torch.equal(restored.x, once) and restored.psnr == pytest.approx(decibel(once - source.x))
    z, below = down(y)
    assert bands.other(source, Wish(levels=2), name).psnr == pytest.approx(decibel(up(up(z, below), trace) - source.x))


def test_max_unpool_keeps_the_maxima_and_nothing_else() -> None:
    source = source_of(2, 20, 32)
    restored = bands.other(source, Wish(), "max+unpool").x
    blocks = (source.x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)), restored.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)))
    assert torch.equal(blocks[0].amax((3, 5)), blocks[1].amax((3, 5)))
    kept = restored != 0
    assert kept.sum() == restored.numel() // 4 and torch.equal(restored[kept], source.x[kept])


def test_ll_alone_moves_with_the_grid_and_the_whole_does_not(seen: np.ndarray) -> None:
    source = sources.of_picture(seen)
    alone, whole = (bands.lifted(source, Wish(kept=kept)) for kept in (("LL",), BANDS))
    here, aside = (bands.lifted(source, Wish(kept=("LL",), grid=grid)) for grid in ((0, 0), (1, 1)))
    assert alone.steady < 45 and whole.steady == 160
    assert here.steady == pytest.approx(decibel(here.x - aside.x)) == pytest.approx(aside.steady)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("name", [USUAL, FIXED, ADAPTIVE])
def test_features_are_what_the_networks_pools_are_given(networks: tuple[Network, ...], seen: np.ndarray, name: str, level: int) -> None:
    network = next(network for network in networks if network.name == name)
    model, given = network.predictor.model, []
    hook = model.encoder.downs[level].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        model(network.predictor.prepare(seen))
    hook.remove()
    source = bands.asked(networks, seen, Wish(name, level, 2))
    assert torch.equal(source.x, given[0].double())
    shown = given[0][:, 2].double()
    assert source.lowest == shown.min() and source.output_range == pytest.approx((shown.max() - shown.min()).item())
    restored = bands.other(source, Wish(), "max+nearest")
    down, up = pool_pair("max", "nearest", 1)
    error = up(*down(shown[:, None])) - shown[:, None]
    assert restored.psnr == pytest.approx(decibel(error, source.output_range))


def test_the_own_lift_is_the_networks_and_stays_as_it_was(networks: tuple[Network, ...], seen: np.ndarray) -> None:
    network = next(network for network in networks if network.name == FIXED)
    source = bands.asked(networks, seen, Wish(FIXED, 0, 1, "own"))
    low = bands.take_apart(source, Wish(FIXED, 0, 1, "own")).low
    with torch.inference_mode():
        pooled, _ = network.predictor.model.encoder.downs[0](source.x.float())
    assert torch.allclose(low.float(), pooled[:, 1:2], atol=1e-4)
    assert {weight.dtype for weight in network.predictor.model.parameters()} == {torch.float32}


def test_a_channel_that_is_the_same_everywhere_has_a_range_too(tmp_path: Path, seen: np.ndarray) -> None:
    model = UNet(depth=1, width=4, down="max", up="nearest", classes=2)
    torch.nn.init.zeros_(next(module for module in reversed(model.encoder.blocks[0]) if isinstance(module, torch.nn.BatchNorm2d)).weight)
    model.save_pretrained(tmp_path / "model")
    source = bands.asked(find(tmp_path), seen, Wish(USUAL, 0, 0))
    assert source.output_range == 1 and bands.other(source, Wish(), "max+nearest").psnr == 160


# What it refuses


@pytest.mark.parametrize(
    ("wish", "part"),
    [
        ({"source": "nobody"}, "'nobody'"),
        ({"source": ["nobody"]}, "nobody"),
        ({"source": FIXED, "level": 2}, "0, 1"),
        ({"source": FIXED, "level": "0"}, "0, 1"),
        ({"source": FIXED, "channel": 4}, "0 to 3"),
        ({"source": FIXED, "channel": None}, "0 to 3"),
        ({"source": FIXED, "channel": -1}, "0 to 3"),
        ({"lifting": "lazy"}, "haar, cdf53, own"),
        ({"lifting": "own"}, "haar or cdf53"),
        ({"source": USUAL, "lifting": "own"}, "haar or cdf53"),
        ({"kept": ("LL", "XX")}, "LL, LH, HL, HH"),
        ({"levels": 5}, "1, 2, 3, 4"),
        ({"levels": None}, "1, 2, 3, 4"),
        ({"grid": (0, 2)}, "(1, 1)"),
    ],
)
def test_what_is_unknown_is_told_in_one_sentence(networks: tuple[Network, ...], seen: np.ndarray, wish: dict, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked = Wish(**wish)
        bands.lifted(bands.asked(networks, seen, asked), asked)
    assert part in str(caught.value) and "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_map_too_small_to_be_halved_so_often_is_told(networks: tuple[Network, ...]) -> None:
    tiny = np.zeros((18, 16, 1), np.float32)
    with pytest.raises(UsageError, match="16 x 18 pixels cannot be halved 4 times"):
        bands.asked(networks, tiny, Wish(levels=4))
    assert bands.asked(networks, tiny, Wish(levels=3)).x.shape == (1, 1, 18, 16)


def test_a_picture_that_is_too_small_is_told(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("L", (50, 200)).save(path)
    with pytest.raises(gr.Error, match="50 x 200"):
        page.upload(str(path), *CONTROLS)
    assert not path.exists()


# What it shows


def pictures_of(html: str) -> list[np.ndarray]:
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', html)
    assert len(found) == html.count("<img")  # each has an alternative text
    return [np.asarray(Image.open(BytesIO(b64decode(data)))) for data, _ in found]


def figures_of(html: str) -> dict[str, float]:
    return {name: float(psnr) for name, psnr in re.findall(r'data-pair="([^"]+)" data-psnr="([^"]+)"', html)}


def test_an_example_is_shown_with_its_bands_and_five_restorations(page: Page) -> None:
    seen, top, lift, others = page.choose("nuclei", *CONTROLS)
    assert seen.shape == (112, 112, 1)
    whole, ll, hl, lh, hh = pictures_of(top)
    assert whole.shape == (336, 336, 3) and {band.shape for band in (ll, hl, lh, hh)} == {(280, 280, 3)}
    assert np.array_equal(whole[::3, ::3, 0], np.rint(seen[..., 0] * 255))
    assert abs(np.median(hh) - 128) <= 1  # zero is grey
    back, error = pictures_of(lift)
    assert np.array_equal(back[::5, ::5, 0], np.rint(seen[28:84, 28:84, 0] * 255))  # the middle, twice as near
    assert np.ptp(error, (0, 1)).max() == 0
    assert figures_of(lift) == {"lift+lift": 160} and "exact" in lift
    assert tuple(figures_of(others)) == OTHERS and len(pictures_of(others)) == 8
    text = unescape(re.sub("<[^>]+>", " ", top + lift + others))
    for said in ("112 x 112", "R = 1", "by Haar", "error x 4", "numbers kept 25 %", "dB"):
        assert said in " ".join(text.split())


def test_muting_a_band_lowers_the_figure_at_once_and_only_there(page: Page) -> None:
    seen, *_ = page.choose("nuclei", *CONTROLS)
    top, lift = page.mute(seen, *CONTROLS[:4], ["LL", "LH", "HL"], *CONTROLS[5:])
    without = bands.lifted(sources.of_picture(seen), Wish(kept=("LL", "LH", "HL")))
    assert figures_of(lift)["lift+lift"] == pytest.approx(without.psnr, abs=1e-3)
    assert '<tr class="detail-muted" data-band="HH">' in top and top.count("detail-muted") == 2


def test_levels_nest(page: Page) -> None:
    seen, *_ = page.choose("nuclei", *CONTROLS)
    top, lift, others = page.draw(seen, *CONTROLS[:5], 3, "1 left, 1 up", 8, 1)
    assert top.count("detail-quad") == 3 and len(pictures_of(top)) == 11 and "detail-frame" not in top
    assert figures_of(lift)["lift+lift"] == 160 and len(figures_of(others)) == 4
    assert pictures_of(lift)[0].shape == (336, 336, 3)


def test_a_network_brings_its_levels_channels_and_own_lift(page: Page) -> None:
    seen, *_ = page.choose("nuclei", *CONTROLS)
    level, channel, lifting, top, *_ = page.turn(seen, FIXED, 1, 7, "own", *CONTROLS[4:])
    assert [value for _, value in level["choices"]] == [0, 1] and level["visible"] and channel["maximum"] == 7
    assert [key for _, key in lifting["choices"]] == ["haar", "cdf53", "own"]
    assert not any("value" in update for update in (level, channel, lifting))  # what is right is left alone
    assert "lift+lift, level 1, channel 7, 56 x 56" in top and "trained lift" in top
    _, channel, *_ = page.turn(seen, FIXED, 0, 7, "own", *CONTROLS[4:])
    assert channel["maximum"] == 3 and channel["value"] == 0
    level, channel, lifting, *_ = page.turn(seen, PICTURE, 1, 7, "own", *CONTROLS[4:])
    assert not level["visible"] and not channel["visible"]
    assert [key for _, key in lifting["choices"]] == ["haar", "cdf53"] and lifting["value"] == "haar"


def test_the_tab_draws_once_when_it_is_opened(page: Page) -> None:
    seen, *drawn = page.open(None, "nuclei", *CONTROLS)
    assert seen.shape == (112, 112, 1) and all(drawn)
    assert [answer["__type__"] for answer in page.open(seen, "nuclei", *CONTROLS)] == ["update"] * 4


def test_an_upload_is_shown_and_not_kept(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "own.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (301, 99, 3), np.uint8)).save(path)
    seen, _, lift, _, example = page.upload(str(path), *CONTROLS)
    assert seen.shape == (256, 99, 3) and figures_of(lift)["lift+lift"] == 160 and example is None
    assert not path.exists()


def test_a_page_left_alone_says_so(page: Page) -> None:
    for event in (page.draw, page.mute, page.turn):
        with pytest.raises(gr.Error, match="choose a picture again"):
            event(None, *CONTROLS)
    with pytest.raises(gr.Error, match="choose a picture again"):
        page.open(None, None, *CONTROLS)


@pytest.mark.parametrize("place", range(len(CONTROLS)))
@pytest.mark.parametrize("value", ["<b>", None, -3])
def test_strangers_values_are_refused_in_one_sentence(page: Page, seen: np.ndarray, place: int, value: object) -> None:
    controls = list(CONTROLS)
    controls[0] = FIXED
    controls[place] = [value] if place == 4 else value
    with pytest.raises(gr.Error) as caught:
        page.draw(seen, *controls)
    assert "<b>" not in caught.value.message and "\n" not in caught.value.message


# Its endpoint


def test_the_endpoint_answers_with_the_figures_that_are_shown(page: Page) -> None:
    answer = page.detail("nuclei", bands_kept="LL", levels=2, dx=1)
    json.dumps(answer)
    seen, *_ = page.choose("nuclei", *CONTROLS)
    _, lift, others = page.draw(seen, *CONTROLS[:4], ["LL"], 2, "1 left", 4, 2)
    for name, psnr in (figures_of(lift) | figures_of(others)).items():
        assert answer["psnr"][name] == pytest.approx(psnr, abs=1e-3)
    assert answer["numbers_kept"]["lift+lift"] == 1 / 16 and answer["range"] == 1
    assert sum(answer["energy"].values()) == pytest.approx(1)
    own = page.detail("nuclei", source=ADAPTIVE, level=1, channel=2, lifting="own")
    assert own["psnr"]["lift+lift"] == own["grid_moved"]["lift+lift"] == 160


def test_the_endpoint_takes_a_picture_as_text(page: Page) -> None:
    buffer = BytesIO()
    Image.fromarray(nuclei(side=112, count=10)[..., 0]).save(buffer, format="PNG")
    answer = page.detail(b64encode(buffer.getvalue()).decode())
    assert answer == page.detail("nuclei")
    with pytest.raises((gr.Error, PictureError)):
        page.detail("/etc/passwd")


def test_the_tab_has_one_public_endpoint_and_a_second_change_supersedes_the_first(networks: tuple[Network, ...]) -> None:
    with gr.Blocks(analytics_enabled=False) as blocks, gr.Tabs(), gr.Tab("Detail"):
        detail.tab(networks, {"nuclei": nuclei})
    events = {event["api_name"]: event for event in blocks.config["dependencies"]}
    assert [name for name, event in events.items() if event["api_visibility"] == "public"] == ["detail"]
    waiting = {name for name, event in events.items() if event["trigger_mode"] == "always_last"}
    assert waiting == {"detail_choose", "detail_turn", "detail_draw", "detail_mute"}
    assert events["detail_open"]["targets"][0][1] == "select"
    assert all(re.search(r"\bdetail-", selector) for selector in re.findall(r"^([^@{}/]+)\{", detail.CSS, re.MULTILINE))


def test_without_networks_pictures_can_still_be_taken_apart() -> None:
    page = Page((), {"nuclei": nuclei})
    assert figures_of(page.choose("nuclei", *CONTROLS)[2]) == {"lift+lift": 160}
    with pytest.raises(gr.Error, match="unknown"):
        page.detail("nuclei", source=FIXED)
