"""The PatchGAN discriminator of pix2pix and the losses of the two that play (Isola et al. 2017, arXiv 1611.07004)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.errors import UsageError, check_map, one_of

ADVERSARIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "lsgan": F.mse_loss,  # Mao et al. 2017, arXiv 1611.04076
    "bce": F.binary_cross_entropy_with_logits,  # the paper's; the generator's is the one that does not saturate
}
"""How far scores are from what is wanted of them, 1 for real and 0 for made, by name."""


@final
class PatchDiscriminator(nn.Module):
    """Says of every patch of a picture whether it is real, given the input that it answers (paper, section 3.2.2 and appendix).

    Convolutions of 4 x 4 with padding 1, each but the first and last followed by batch normalisation, all but the last by a leaky
    ReLU of 0.2: `layers` of stride 2, then two of stride 1. With 3 layers patches are 70 x 70, with 2 34 x 34, with 1 16 x 16.

    Args:
        in_channels: of the network's input.
        target_channels: of the pictures that are judged.
        width: channels after the first convolution; they double with each further one, up to 8 times.
        layers: how often the size is halved, from 1 on; fewer for smaller crops.

    Raises:
        UsageError: there are no layers.
    """

    def __init__(self, in_channels: int, target_channels: int, width: int = 64, layers: int = 3):
        super().__init__()
        if layers < 1:
            raise UsageError(f"A discriminator was asked for {layers} layers; it has 1 or more.")
        self.in_channels, self.target_channels, self.layers = in_channels, target_channels, layers
        widths = [width * min(2**level, 8) for level in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(in_channels + target_channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(layers):
            stride = 2 if level < layers - 1 else 1
            conv = nn.Conv2d(widths[level], widths[level + 1], 4, stride, 1, bias=False)
            blocks += [conv, nn.BatchNorm2d(widths[level + 1]), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.apply(_start)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the patch that one score is about."""
        return 9 * 2**self.layers - 2

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        """Scores (N, 1, h, w) of pictures (N, target_channels, H, W) beside their inputs (N, in_channels, H, W).

        Raises:
            UsageError: channels that are others, or sizes that are too small.
        """
        check_map("A discriminator", x, 2, self.in_channels)
        check_map("A discriminator", picture, 2, self.target_channels)
        if min(x.shape[2:]) < (least := 3 * 2**self.layers):
            size = f"{x.shape[3]} x {x.shape[2]}"
            raise UsageError(f"A discriminator of {self.layers} layers was given {size} pixels; it takes {least} a side or more.")
        return self.body(torch.cat([x, picture], 1))


def _start(module: nn.Module) -> None:
    """From N(0, 0.02), scales of normalisations from N(1, 0.02) (the paper's code)."""
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def generator_loss(kind: str, scores_fake: Tensor) -> Tensor:
    """How little the made pictures pass for real; gradients go through the scores to who made them.

    Raises:
        UsageError: `kind` is none of `ADVERSARIES`.
    """
    one_of("adversary", kind, ADVERSARIES)
    return ADVERSARIES[kind](scores_fake.float(), torch.ones_like(scores_fake, dtype=torch.float32))


def discriminator_loss(kind: str, scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """How badly the two are told apart, halved as in the paper, so that the discriminator learns more slowly.

    Args:
        kind: of `ADVERSARIES`.
        scores_real: of real pictures.
        scores_fake: of made ones, detached from who made them.

    Raises:
        UsageError: `kind` is none of `ADVERSARIES`.
    """
    one_of("adversary", kind, ADVERSARIES)
    wanted_fake = torch.zeros_like(scores_fake, dtype=torch.float32)
    return (generator_loss(kind, scores_real) + ADVERSARIES[kind](scores_fake.float(), wanted_fake)) / 2
