"""Batch statistics over all processes, where PyTorch has them for GPUs alone."""

from typing import final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


@final
class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation (Ioffe & Szegedy, arXiv 1502.03167) by the mean and variance of what all processes have at hand."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        wide = x.float()
        count = torch.full((1,), x.numel() / x.shape[1], device=x.device)
        sums = all_reduce(torch.cat([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count]))
        mean, square = sums[:-1].reshape(2, -1) / sums[-1]
        variance = square - mean.square()
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * sums[-1] / (sums[-1] - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (wide * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).to(x.dtype)


def share_batchnorm(model: nn.Module) -> None:
    """Puts these in the place of a network's own, with their weights and statistics."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.BatchNorm2d:
            shared = SharedBatchNorm2d(module.num_features, module.eps, module.momentum)
            shared.load_state_dict(module.state_dict())
            shared.train(module.training).requires_grad_(module.weight.requires_grad)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, shared.to(module.weight.device))
