"""Which encoders take which pools and phases, and how exactly they follow rolls: every name of smp, one of each family of timm.

    python benchmarks/encoders.py [NAME ..]      measures what encoders.json beside this file does not have, or those names
    python benchmarks/encoders.py --write        puts the tables into docs/encoders.md
"""

import gc
import json
import re
import sys
import warnings
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch import nn

from unetlift import UNet
from unetlift.encoders.smp import smp_names
from unetlift.errors import UsageError

RESULTS = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).parent.parent / "docs" / "encoders.md"
BEGIN, END = "<!-- tables of benchmarks/encoders.py -->", "<!-- end of the tables -->"
SIZE = 64
ROLLS = (1, 0), (3, 5), (31, 17)
HEAVY = 150  # million parameters, from which on single precision and one roll have to do

TIMM = """
beit_base_patch16_224 botnet26t_256 halonet_h1 lambda_resnet26t gernet_s mobileone_s1 repvgg_a0 cait_xxs24_224 coat_lite_tiny convit_tiny
convmixer_768_32 convnext_atto convnextv2_atto cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s cspresnet50 cspnext_tiny
davit_tiny deit_tiny_patch16_224 densenet121 densenetblur121d dla34 dla46_c dpn48b dpn68 edgenext_xx_small efficientformer_l1
efficientformerv2_s0 efficientnet_b0 fbnetc_100 mixnet_s mnasnet_small mobilenetv2_050 tf_efficientnet_lite0 tf_efficientnetv2_b0
tinynet_e efficientvim_m1 efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny
ghostnet_050 ghostnetv2_100 ghostnetv3_050 hardcorenas_a hgnet_tiny hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny hrnet_w18_small iformer_t
inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small levit_128s lowformer_b0 mambaout_femto coatnet_pico_rw_224
maxvit_pico_rw_256 caformer_s18 convformer_s18 poolformer_s12 gmlp_ti16_224 mixer_s16_224 lcnet_050 mobilenetv3_small_050
mobilenetv4_conv_small tf_mobilenetv3_small_minimal_100 mobilenetv5_base mobilevit_xxs mobilevitv2_050 mvitv2_tiny
naflexvit_base_patch16_gap nasnetalarge nest_tiny nextvit_small eca_nfnet_l0 dm_nfnet_f0 nf_regnet_b0 nf_resnet26 pit_ti_224
pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002 regnety_002 regnetz_005 repghostnet_050 repvit_m0_9 res2net50_14w_8s
resnest14d ecaresnet26t resnet10t resnet18 resnet18d resnetblur50 resnext50_32x4d seresnet18 resnetv2_18 resnetv2_50 resnetv2_50x1_bit
rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224
swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_pcpvt_small twins_svt_small vgg11 vgg11_bn
visformer_tiny vit_tiny_patch16_224 vit_tiny_r_s16_p8_224 vit_relpos_small_patch16_224 samvit_base_patch16_224 vitamin_small_224
volo_d1_224 ese_vovnet19b_slim_dw vovnet39a legacy_xception xception41 xcit_nano_12_p8_224
"""
"""A small member of each family that timm 1.0 has."""

FIXED, DENSE, BOTH, PHASES = "stride+nearest", "lift+lift", "lift+lift@adaptive", "stride+nearest@adaptive"


def names() -> list[str]:
    """Every encoder of the tables."""
    return [*smp_names(), *(f"tu-{name}" for name in TIMM.split())]


def measure(name: str) -> dict:
    """Tries one encoder: its own strides; dense pools with adaptive phases; each of these alone where both are refused.

    Returns:
        parameters in millions, and by variant the largest error of a roll as a part of the output's range (0 for fixed
        phases), or the sentence that refuses it.
    """
    row: dict = {"name": name, "parameters": None}
    for variant in (FIXED, BOTH, DENSE, PHASES):
        if variant in (DENSE, PHASES) and isinstance(row[BOTH], float):
            continue
        phased = "@" in variant
        try:
            model = network(name, variant, padding_mode="circular" if phased else "zeros")
            count = sum(parameter.numel() for parameter in model.encoder.parameters()) / 1e6
            row["parameters"] = row["parameters"] or round(count, 1)
            row[variant] = largest_error(model, count < HEAVY) if phased else any_size(model)
        except UsageError as error:
            row[variant] = str(error)
        except RuntimeError as error:  # which is a fault of ours, and has to be seen
            row[variant] = f"fails: {str(error).splitlines()[0]}"
        gc.collect()
    return row


def network(name: str, variant: str, **options: str) -> UNet:
    """A U-Net of depth 5 with random weights."""
    torch.manual_seed(0)
    pair, _, phase = variant.partition("@")
    down, up = pair.split("+")
    return UNet(encoder=name, depth=5, width=4, down=down, up=up, phase=phase or "fixed", **options)


def calibrated(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """The network in eval mode, its running statistics those of one batch: untrained ones would let signals die or explode."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
    return model.eval()


def any_size(model: UNet) -> float:
    """0 if an odd size goes through."""
    with torch.no_grad():
        shape = model.eval()(torch.randn(1, 3, 65, 97)).shape[2:]
    assert shape == (65, 97), shape
    return 0.0


def largest_error(model: UNet, double: bool) -> float:
    """Of rolls, in parts of the output's range."""
    dtype = torch.float64 if double else torch.float32
    x = torch.randn(8, 3, SIZE, SIZE, dtype=dtype)
    calibrated(model.to(dtype), x)
    x = x[:2]
    with torch.no_grad():
        y = model(x)
        errors = [(model(x.roll(by, (2, 3))) - y.roll(by, (2, 3))).abs().max() for by in (ROLLS if double else ROLLS[-1:])]
    return (max(errors) / (y.max() - y.min())).item()


def works(row: dict, variant: str) -> bool:
    """Whether an encoder takes a variant; what takes dense pools with adaptive phases takes each alone."""
    return isinstance(row.get(variant, row[BOTH]), float)


def remark(row: dict) -> str:
    """Why something is refused, and what else is to be known of an encoder."""
    name, said = row["name"], []
    if name.startswith("timm-tf_efficientnet_lite"):
        said.append(f"broken: pads otherwise than its weights were trained with; take tu-{name.removeprefix('timm-')}")
    elif name.startswith("timm-"):
        said.append("deprecated by smp in favour of tu-")
    refusals = [row[variant] for variant in (FIXED, DENSE, PHASES) if not works(row, variant)]
    phrases = r"^\S+ (takes the phase fixed alone, since it does not follow every shift: )?", f"{name!r} ", "; it takes stride"
    for text in refusals:
        for phrase in phrases:
            text = re.sub(phrase, "", text)
        said.append(text.rstrip("."))
    return "; ".join(dict.fromkeys(said))


def line(row: dict) -> str:
    """One row of the tables."""
    ticks = ["yes" if works(row, variant) else "no" for variant in (FIXED, DENSE, PHASES)]
    errors = [row[variant] for variant in (BOTH, PHASES) if isinstance(row.get(variant), float)]
    error = f"{max(errors):.0e}" + ("" if (row["parameters"] or 0) < HEAVY else " (single)") if errors else "-"
    parameters = f"{row['parameters']:g}" if row["parameters"] else "-"
    return f"| {row['name']} | {parameters} | {' | '.join(ticks)} | {error} | {remark(row)} |"


def tables(rows: dict[str, dict]) -> str:
    """The counts by family, every name of smp, and the members of timm's families."""
    head = ["| encoder | million parameters | its own strides | dense pools | adaptive phases | largest error of a roll | remark |"]
    head.append("|---|---|---|---|---|---|---|")
    families: dict[str, list[dict]] = {}
    for name in smp_names():
        families.setdefault(smp.encoders.encoders[name]["encoder"].__name__.removesuffix("Encoder"), []).append(rows[name])
    families["all of smp's"] = [rows[name] for name in smp_names()]
    families["timm's below"] = [row for name, row in rows.items() if name.startswith("tu-")]
    counts = ["| family | names | its own strides | dense pools | adaptive phases |", "|---|---|---|---|---|"]
    for family, found in families.items():
        numbers = [str(sum(works(row, variant) for row in found)) for variant in (FIXED, DENSE, PHASES)]
        counts.append(f"| {family} | {len(found)} | {' | '.join(numbers)} |")
    lists = [[line(rows[name]) for name in names() if name.startswith("tu-") == timms] for timms in (False, True)]
    titles = "### smp's names", "### A small member of each of timm's families"
    parts = ["\n".join(counts), *("\n".join([title, "", *head, *found]) for title, found in zip(titles, lists, strict=True))]
    return "\n\n".join(parts)


def write(rows: dict[str, dict]) -> None:
    """Puts the tables between their marks in the page."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(rows)}\n\n{END}{after}")


def read() -> dict[str, dict]:
    """The rows measured so far, by name."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def main() -> None:
    """See the module."""
    warnings.simplefilter("ignore")
    if "--write" in sys.argv:
        write(read())
        return
    asked = sys.argv[1:] or [name for name in names() if name not in read()]
    for name in asked:
        row = measure(name)
        rows = read() | {name: row}
        RESULTS.write_text(json.dumps({key: rows[key] for key in names() if key in rows}, indent=1) + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()
