"""The encoders of segmentation-models-pytorch and timm, as they are; the only room that knows their insides."""

import warnings
from difflib import get_close_matches
from functools import cache

import segmentation_models_pytorch as smp
import timm
from segmentation_models_pytorch.encoders import TimmUniversalEncoder
from timm.models import FeatureHookNet
from torch import fx, nn

from unetlift.encoders.flow import first_line
from unetlift.encoders.weights import load_file, names_file, widen_first
from unetlift.errors import UsageError
from unetlift.types import Features, Map

DEPTH = 5
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of nearly all that is trained on it."""

OFFLINE = OSError, RuntimeError, ValueError, LookupError


class Timm(nn.Module):
    """timm's network below smp's encoder, under the same keys; where smp makes up features there are none."""

    def __init__(self, encoder: TimmUniversalEncoder):
        super().__init__()
        self.model, self.name = encoder.model, encoder.name
        self.starts_at_quarter, self.starts_at_whole = encoder._is_transformer_style, encoder._is_vgg_style
        self.channels_behind = encoder._is_channel_last

    def _get_name(self) -> str:
        return f"tu-{self.name}"

    def forward(self, x: Map | fx.Proxy) -> list[Features | fx.Proxy | None]:
        """(N, C, H, W), or what stands for it while a graph is made, to the features, from the picture's size on."""
        found = self.model(x)
        features = [found[k] for k in range(len(self.model.feature_info.channels()))]
        if self.channels_behind:
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        if self.starts_at_quarter:
            features = [None, *features]
        return features if self.starts_at_whole else [x, *features]


def smp_names() -> list[str]:
    """Every name that smp registers; beside them it takes `tu-` and any name of timm."""
    return smp.encoders.get_encoder_names()


@cache
def _known() -> frozenset[str]:
    return frozenset(smp_names()) | {f"tu-{name}" for name in timm.list_models()}


def check_name(name: str) -> None:
    """Raises UsageError with the nearest names unless smp or timm knows the name; a timm name may end in `.TAG`."""
    if name.split(".")[0] not in _known():
        near = get_close_matches(name, _known(), 3, 0.6) or ["resnet34", "mobilenet_v2", "tu-convnext_tiny"]
        raise UsageError(f"encoder {name!r} is unknown; near it are {', '.join(near)}, and plain is our own.")


def make_encoder(name: str, in_channels: int, weights: str | None) -> nn.Module:
    """An encoder: (N, C, H, W) to a list of up to six features, from the picture's size on, None where it has none.

    Args:
        name: of smp, or `tu-` and a name of timm.
        in_channels: C.
        weights: a name that smp or timm downloads, a local .safetensors or .pth file, or None.

    Raises:
        UsageError: a name is unknown, the encoder cannot be built, or the weights cannot be had or do not fit.
    """
    check_name(name)
    local = weights is not None and names_file(weights)
    asked = None if local or weights is None else _asked(name, weights)
    try:
        encoder = _built(name, 3 if local else in_channels, asked)
    except OFFLINE as error:
        if asked is not None:
            raise UsageError(
                f"The weights {weights!r} of {name} cannot be downloaded ({type(error).__name__}); "
                "give a local .safetensors or .pth file, or none."
            ) from error
        raise UsageError(f"encoder {name!r} cannot be built by smp: {first_line(error)}.") from error
    body = Timm(encoder) if isinstance(encoder, TimmUniversalEncoder) else encoder
    if local:
        load_file(body, weights)
        widen_first(body, in_channels)
    return body


def _built(name: str, in_channels: int, weights: str | bool | None) -> nn.Module:
    """What smp makes of a name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # docs/encoders.md says which names are deprecated
        encoder = smp.encoders.get_encoder(name, in_channels, DEPTH, weights)
    if isinstance(encoder, TimmUniversalEncoder) and isinstance(encoder.model, FeatureHookNet):
        raise UsageError(f"encoder {name!r} gives its features through hooks, which no graph shows.")
    return encoder


def preprocessing(name: str, weights: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, one a channel, that an encoder's weights expect of pictures scaled to 0..1.

    Args:
        name: of the encoder. A timm network knows its own normalisation.
        weights: for smp's encoders: a name is looked up where it was downloaded from, a file is taken for ImageNet's.
        channels: of the pictures. One channel has the average of red, green and blue, more than three repeat them, as
            the first convolution's weights do.

    Raises:
        UsageError: what a name's weights expect cannot be downloaded.
    """
    mean, std = _rgb_preprocessing(name, weights)
    if channels == 1:
        return (sum(mean) / 3,), (sum(std) / 3,)
    return tuple(mean[k % 3] for k in range(channels)), tuple(std[k % 3] for k in range(channels))


def _rgb_preprocessing(name: str, weights: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if name.startswith("tu-"):
        settings = timm.get_pretrained_cfg(name.removeprefix("tu-"))
        return tuple(settings.mean), tuple(settings.std)
    if names_file(weights):
        return IMAGENET
    try:
        settings = smp.encoders.get_preprocessing_params(name, weights)
    except OFFLINE as error:
        raise UsageError(
            f"What the weights {weights!r} of {name} expect cannot be downloaded ({type(error).__name__}); "
            "give a local .safetensors or .pth file, or none."
        ) from error
    return tuple(settings["mean"]), tuple(settings["std"])


def _asked(name: str, weights: str) -> str | bool:
    """What smp wants to hear; the weights of a timm network are named by the network's tag."""
    if name.startswith("tu-"):
        return True
    offered = list(smp.encoders.encoders[name]["pretrained_settings"]) if name in smp.encoders.encoders else []
    if offered and weights not in offered:
        raise UsageError(f"encoder_weights {weights!r} is unknown for {name}; it is one of {', '.join(offered)}, or a file.")
    return weights
