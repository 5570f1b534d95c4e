"""What the tests of encoders share: a small member of every family, and networks whose signals neither die nor explode."""

import torch
from torch import Tensor, nn

from unetlift import UNet
from unetlift.config import NetworkConfig
from unetlift.encoders.assemble import pooled_encoder
from unetlift.encoders.pooled import PooledEncoder
from unetlift.encoders.smp import make_encoder
from unetlift.pools import LiftOptions

QUICK = ["resnet18", "vgg11", "tu-mobilenetv3_small_050", "tu-convnext_atto", "tu-dla46_c", "tu-tf_efficientnet_lite0"]
"""One of each kind of step: shortcuts that stride, pools, convolutions alone, a quarter at once, pools shared by branches, TensorFlow's
padding."""

FAMILIES = [
    *("se_resnet50", "resnext50_32x4d", "densenet121", "mobilenet_v2", "efficientnet-b0", "timm-efficientnet-b0", "timm-skresnet18"),
    *("mobileone_s0", "xception", "inceptionv4", "inceptionresnetv2", "dpn68", "vgg11_bn"),
    *("tu-resnet18d", "tu-resnetv2_18", "tu-regnetx_002", "tu-regnety_002", "tu-efficientnet_b0", "tu-mobilenetv4_conv_small"),
    *("tu-ghostnet_050", "tu-dpn48b", "tu-mambaout_femto", "tu-nf_regnet_b0", "tu-selecsls42", "tu-lcnet_050", "tu-mixnet_s"),
]
"""The others, which take longer."""

EVERY = [*QUICK, *FAMILIES]
SMALL = "tu-mobilenetv3_small_050"


def network(encoder: str, variant: str, **options) -> UNet:
    """A U-Net with random weights."""
    torch.manual_seed(0)
    pair, _, phase = variant.partition("@")
    down, up = pair.split("+")
    return UNet(**{"encoder": encoder, "depth": 5, "width": 4, "down": down, "up": up, "phase": phase or "fixed"} | options)


def encoder_of(name: str, down: str, up: str, **options) -> PooledEncoder:
    """An encoder alone, with random weights."""
    torch.manual_seed(0)
    config = NetworkConfig(**{"encoder": name, "depth": 5, "down": down, "up": up} | options)
    return pooled_encoder(make_encoder(name, config.in_channels, None), config, LiftOptions())[0]


def calibrated(model: nn.Module, x: Tensor) -> nn.Module:
    """The network in eval mode, its running statistics those of one batch."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
    return model.eval()


def roll_error(model: UNet, size: int, shifts: list[tuple[int, int]]) -> float:
    """The largest error of rolls, in parts of the output's range, in float64."""
    x = torch.randn(1, model.config.in_channels, size, size, dtype=torch.float64)
    calibrated(model.double(), torch.cat([x, torch.randn_like(x)]))
    with torch.no_grad():
        y = model(x)
        found = model(torch.cat([x.roll(by, (2, 3)) for by in shifts]))
    wanted = torch.cat([y.roll(by, (2, 3)) for by in shifts])
    assert y.isfinite().all() and y.std() > 0
    return ((found - wanted).abs().max() / (y.max() - y.min())).item()
