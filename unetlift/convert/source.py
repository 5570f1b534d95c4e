"""What is converted: networks of segmentation-models-pytorch, and how each was made."""

import inspect
import json
import warnings
from collections.abc import Mapping
from typing import Any

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base.modules import Activation
from torch import Tensor, nn

from unetlift.config import ConvertedConfig
from unetlift.encoders.smp import check_name
from unetlift.errors import UsageError, one_of

ARCHITECTURES: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        smp.Unet, smp.UnetPlusPlus, smp.Linknet, smp.MAnet, smp.FPN, smp.DeepLabV3, smp.DeepLabV3Plus,
        smp.PSPNet, smp.PAN, smp.UPerNet, smp.Segformer,
    )
}  # fmt: skip
"""smp's classes by name, but for DPT, whose encoder has no levels. Nothing else is ever built from a file."""

LEFT_OUT = "encoder_weights", "aux_params", "activation"
"""Options that a converted network never has: what it is made with needs no network access, and it gives logits alone."""

TIMM_OPTIONS = "drop_rate", "drop_path_rate", "drop_block_rate", "img_size", "strict_img_size", "dynamic_img_size", "window_size"
"""What else may be handed to a timm encoder; other options of timm's can name files."""

RENAMED = {"decoder_use_batchnorm": "decoder_use_norm", "psp_use_batchnorm": "decoder_use_norm", "upscale_mode": "decoder_interpolation"}
"""Options of earlier releases of smp."""

Options = dict[str, Any]


def describe(model: nn.Module) -> tuple[str, Options]:
    """The name of an smp network's class, and the options that make it again.

    Raises:
        UsageError: it is no network that can be converted, or does not give logits alone.
    """
    name = next((name for kind in type(model).__mro__ for name, known in ARCHITECTURES.items() if kind is known), None)
    if name is None:
        raise UsageError(f"{type(model).__name__} cannot be converted; a network of smp can: {', '.join(ARCHITECTURES)}.")
    if model.classification_head is not None:
        raise UsageError(f"This {name} has a classification head, which has no place beside logits; make it without aux_params.")
    for part in model.segmentation_head.modules():
        if isinstance(part, Activation) and not isinstance(part.activation, nn.Identity):
            raise UsageError(_not_logits(name, type(part.activation).__name__))
    given = model.config or {}
    if type(model) is not ARCHITECTURES[name]:  # a subclass: smp has kept its own arguments, among them perhaps smp's
        given = {key: value for key, value in given.items() if key in _defaults(name)}
    return name, clean(name, given)


def clean(name: str, given: Mapping[str, Any]) -> Options:
    """All options of an architecture, as JSON has them: those given, and its own defaults.

    Raises:
        UsageError: the architecture or an option is unknown, or no JSON.
    """
    one_of("The architecture", name, ARCHITECTURES)
    defaults = _defaults(name)
    renamed = {RENAMED[key]: value for key, value in given.items() if key in RENAMED and value is not None}
    known = {key: value for key, value in given.items() if key not in RENAMED and not key.startswith("_")} | renamed
    unknown = sorted(set(known) - set(defaults) - set(TIMM_OPTIONS))
    if unknown:
        raise UsageError(f"The option {unknown[0]!r} of {name} is unknown; the options are {', '.join([*defaults, *TIMM_OPTIONS])}.")
    if known.get("activation") not in (None, "identity"):
        raise UsageError(_not_logits(name, known["activation"]))
    if known.get("aux_params") is not None:
        raise UsageError(f"This {name} has a classification head (aux_params), which has no place beside logits.")
    options = {key: value for key, value in (defaults | known).items() if key not in LEFT_OUT}
    try:
        return json.loads(json.dumps(options))
    except TypeError as error:
        raise UsageError(f"An option of this {name} cannot be written down ({error}); give names and numbers.") from error


def make(name: str, options: Mapping[str, Any]) -> nn.Module:
    """A network of smp with random weights; it is made without any access to the network.

    Raises:
        UsageError: the architecture, an option or its value is unknown to smp.
    """
    options = clean(name, options)
    check_name(options["encoder_name"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # smp's, on names that it will give up
            return ARCHITECTURES[name](**options, encoder_weights=None)
    except Exception as error:  # whatever smp or timm raise at a value that they do not take
        raise UsageError(f"smp cannot make this {name} with {options['encoder_name']}: {str(error).splitlines()[0]}") from error


def check_remade(model: nn.Module, config: ConvertedConfig) -> None:
    """Raises UsageError unless a network made anew gives the model's own answers, and they are as large as the picture."""
    name = config.architecture
    with torch.random.fork_rng(devices=[]):
        twin = make(name, config.options)
    like = next(model.parameters())
    twin.to(like.device, like.dtype)
    unlike = f"smp.{name} with the options that are known of this {type(model).__name__} is another network; "
    way_out = f"make a plain smp.{name}, load your weights into it and convert that."
    try:
        twin.load_state_dict(model.state_dict())
    except RuntimeError as error:
        raise UsageError(unlike + way_out) from error
    side = config.stride * (8 if name == "PAN" else 2)  # PAN halves its deepest map three times more
    x = torch.randn(1, config.in_channels, side, side, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    own, again = answer(model, x), answer(twin, x)
    if own.shape != again.shape or not torch.allclose(own, again, rtol=1e-3, atol=1e-3 * own.abs().max().item(), equal_nan=True):
        raise UsageError(unlike + way_out)
    if own.shape[2:] != x.shape[2:]:
        size = f"{own.shape[2]}x{own.shape[3]} for {side}x{side} pixels"
        raise UsageError(f"This {name} gives {size}; make it with the upsampling that gives back the picture's size.")


def answer(model: nn.Module, x: Tensor) -> Tensor:
    """What a network says in eval mode; each of its modules is then in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            return model.eval()(x)
    finally:
        for module, mode in modes.items():
            module.training = mode


def _defaults(name: str) -> Options:
    """What an architecture is made with; a hub config of a subclass lacks these."""
    parameters = inspect.signature(ARCHITECTURES[name].__init__).parameters
    return {key: p.default for key, p in parameters.items() if p.default is not p.empty}


def _not_logits(name: str, activation: str) -> str:
    return f"This {name} ends in {activation}, but logits are wanted; make it with activation=None, which has the same weights."
