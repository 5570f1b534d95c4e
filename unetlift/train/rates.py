"""A learning rate found by a short search (Smith 2017, arXiv 1506.01186)."""

from copy import deepcopy
from dataclasses import replace
from math import isfinite

import torch

from unetlift.errors import TrainingError
from unetlift.recipe import TrainConfig
from unetlift.train.loaders import Loaders
from unetlift.train.module import Training, make_optimiser
from unetlift.train.rehearse import batches

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 60
SMOOTHING = 0.9


def find_rate(config: TrainConfig, training: Training, loaders: Loaders) -> float:
    """The rate at which the loss falls most steeply, as it rises from 1e-6 to 1 over 60 steps of a copy of the network.

    Raises:
        TrainingError: the loss never falls.
    """
    probe = deepcopy(training)
    trial = replace(config, optimiser=replace(config.optimiser, learning_rate=LOWEST))
    optimiser = make_optimiser(probe, trial)
    shares = [group["lr"] / LOWEST for group in optimiser.param_groups]
    smooth, curve = 0.0, []
    for step, (x, target, _) in zip(range(STEPS), batches(loaders), strict=False):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        for group, share in zip(optimiser.param_groups, shares, strict=True):
            group["lr"] = share * rate
        torch.manual_seed(step)
        loss = probe.terms(x, target, step)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        smooth = SMOOTHING * smooth + (1 - SMOOTHING) * loss.item()
        curve.append((rate, smooth / (1 - SMOOTHING ** (step + 1))))
        if not isfinite(loss.item()) or curve[-1][1] > 4 * min(value for _, value in curve):
            break
    steepest = min(range(1, len(curve) - 1), key=lambda k: curve[k + 1][1] - curve[k - 1][1], default=0)
    if len(curve) < 3 or curve[steepest + 1][1] >= curve[steepest - 1][1]:
        raise TrainingError("No learning rate made the loss fall; look at the data with unetlift data sheet, or give --learning-rate.")
    return float(f"{curve[steepest][0]:.2g}")
