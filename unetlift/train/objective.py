"""What a training minimises: the task's loss, and what is added to it."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unetlift.adversary import discriminator_loss, generator_loss
from unetlift.losses import LIFT_WEIGHTS, lift_regularisers, shift_consistency
from unetlift.pools import Trace
from unetlift.recipe import TrainConfig
from unetlift.tasks import Task

Network = Callable[[Tensor], tuple[Tensor, list[Trace]]]


@final
class Objective:
    """The sum of the task's loss, lifting regularisers, shift consistency and an adversary's say.

    The adversary learns in the same backward pass: where it judges for the network its weights are taken as constants, and
    where it learns the network's answer is one.

    Args:
        config: weights of the terms.
        task: has the loss.
        adversary: or None.
    """

    def __init__(self, config: TrainConfig, task: Task, adversary: nn.Module | None):
        self.config, self.task, self.adversary = config, task, adversary
        names = {"lift_u": config.lift_penalty, "lift_p": config.lift_penalty, "consistency": config.consistency}
        self.names = ["task", *(name for name, weight in names.items() if weight)]
        self.names += ["generator", "discriminator"] if adversary is not None else []

    def __call__(self, network: Network, x: Tensor, output: Tensor, target: Tensor, traces: list[Trace], seed: int) -> dict[str, Tensor]:
        """The terms by name, unweighted but for `lift_u` and `lift_p`, and `loss`, which is what is minimised."""
        config = self.config
        terms = {"task": self.task.loss(x, output, target)}
        loss = terms["task"] * (config.adversary_weight if self.adversary is not None else 1.0)
        if config.lift_penalty:
            penalties = config.lift_penalty * lift_regularisers(traces).to(x.device) * torch.tensor(LIFT_WEIGHTS, device=x.device)
            terms["lift_u"], terms["lift_p"] = penalties
            loss = loss + penalties.sum()
        if config.consistency:
            still = self.task.comparable(x, output)
            terms["consistency"] = shift_consistency(self._answers(network), x, still, config.max_shift, seed)
            loss = loss + config.consistency * terms["consistency"]
        if self.adversary is not None:
            terms |= self._play(x, self.task.comparable(x, output), target)
            loss = loss + terms["generator"] + terms["discriminator"]
        return {"loss": loss, **terms}

    def _answers(self, network: Network) -> Callable[[Tensor], Tensor]:
        return lambda moved: self.task.comparable(moved, network(moved)[0])

    def _play(self, x: Tensor, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        constant = {name: tensor.detach() for name, tensor in self.adversary.state_dict(keep_vars=True).items()}
        judged = functional_call(self.adversary, constant, (x, fake))
        learned = self.adversary(x, real), self.adversary(x, fake.detach())
        kind = self.config.adversary
        return {"generator": generator_loss(kind, judged), "discriminator": discriminator_loss(kind, *learned)}
