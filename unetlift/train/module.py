"""One step of a training, its validation, and what of it is kept in a checkpoint."""

from collections.abc import Sequence
from typing import Any, final

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from unetlift import data
from unetlift.adversary import PatchDiscriminator
from unetlift.convs import parameter_groups
from unetlift.encoders.freeze import Freezable, groups_by_rate
from unetlift.errors import TrainingError
from unetlift.info import ModelInfo
from unetlift.recipe import TrainConfig
from unetlift.runtime import is_out_of_memory
from unetlift.tasks import TASKS
from unetlift.train.averages import moving_average
from unetlift.train.objective import Objective
from unetlift.train.schedules import make_schedule
from unetlift.transforms import sample_seed


@final
class Training(L.LightningModule):
    """A network, what it is to learn, and how.

    The optimiser is stepped here and not by Lightning, so that a step whose samples do not fit into memory can be computed in
    parts, and one that is not finite is not taken.

    Args:
        config: the run.
        model: the network.
        info: what its inputs and outputs mean.
        class_weights: of the loss, or None.
    """

    automatic_optimization = False

    def __init__(self, config: TrainConfig, model: Freezable, info: ModelInfo, class_weights: Sequence[float] | None = None):
        super().__init__()
        self.config, self.info, self.model = config, info, model
        self.task = TASKS[info.task](info, config.losses, class_weights)
        self.criterion = self.task.criterion  # so that its class weights go to the device
        self.adversary = None
        if config.adversary != "none":
            self.adversary = PatchDiscriminator(model.config.in_channels, model.config.classes)
        self.average = moving_average(model, config.optimiser.ema)
        self.objective = Objective(config, self.task, self.adversary)
        self.means = nn.ModuleDict({name: MeanMetric() for name in ("loss", *self.objective.names)})
        for mean in self.means.values():
            mean.persistent(True)  # a training that goes on within an epoch has the mean of the whole
        self.val_loss, self.scores = MeanMetric(), self.task.scores_for(info)
        self.parts = config.optimiser.accumulate
        self.forward_with_traces = model.with_traces

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.model if self.average is None else self.average.module

    def forward(self, x: Tensor) -> Tensor:
        return self.judged(x.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: data.Sample, batch_index: int) -> None:
        while True:
            # a learned phase samples the same in a training that goes on, and in every attempt
            torch.manual_seed(sample_seed(self.config.seed, self.current_epoch, batch_index))
            try:
                terms = self._gradients(batch)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._halve(len(batch[0]))
        self._check_and_step(terms, batch[2])
        for name, value in terms.items():
            self.means[name].update(value)

    def _gradients(self, batch: data.Sample) -> dict[str, Tensor]:
        """Adds up the gradients of all parts; returns the means of loss and terms."""
        self.optimizers().zero_grad()
        count, totals = len(batch[0]), dict.fromkeys(self.means, torch.zeros((), device=self.device))
        for x, target in zip(batch[0].chunk(self.parts), batch[1].chunk(self.parts), strict=True):
            terms = self.terms(x, target, self.global_step)
            share = len(x) / count
            self.manual_backward(terms["loss"] * share)
            totals = {name: total + share * terms[name].detach().float() for name, total in totals.items()}
        return totals

    def terms(self, x: Tensor, target: Tensor, step: int) -> dict[str, Tensor]:
        """What is minimised, by name; `loss` is the whole of it."""
        x = x.contiguous(memory_format=torch.channels_last)
        output, traces = self.forward_with_traces(x)
        return self.objective(self.forward_with_traces, x, output, target, traces, sample_seed(self.config.seed, -1, step))

    def _check_and_step(self, terms: dict[str, Tensor], indices: Tensor) -> None:
        moved = [p for p in self.parameters() if p.grad is not None]
        clip = self.config.optimiser.clip
        length = nn.utils.clip_grad_norm_(moved, clip) if clip else nn.utils.get_total_norm([p.grad for p in moved])
        if not bool(torch.isfinite(terms["loss"]) & torch.isfinite(length)):
            files = ", ".join(str(self.trainer.datamodule.pairs['train'][i].image) for i in indices.tolist())
            what = f"loss {terms['loss'].item():g}, gradient {length.item():g}"
            raise TrainingError(
                f"Step {self.global_step + 1} (epoch {self.current_epoch + 1}) is not finite ({what}); its pictures are {files}. "
                "The last good state is kept: look at the pictures, or train anew with a smaller --learning-rate or with --clip 1."
            )
        self.optimizers().step()
        self.lr_schedulers().step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _halve(self, count: int) -> None:
        if self.parts >= count:
            raise TrainingError(f"One sample of {self.config.crop} pixels does not fit into memory; give a smaller --crop or --width.")
        if self.trainer.world_size > 1:
            raise TrainingError(f"{count} samples a device do not fit into memory; give --accumulate {2 * self.parts}.")
        self.optimizers().zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.parts = min(2 * self.parts, count)
        self.print(f"out of memory: from here on a step's {count} samples are computed in {self.parts} parts", flush=True)

    def on_train_epoch_end(self) -> None:
        for mean in self.means.values():
            mean.reset()

    def validation_step(self, batch: data.Sample, batch_index: int) -> dict[str, Tensor]:
        x, target, index = batch
        output = self(x)
        self.task.count(self.scores, x, output, target)
        self.val_loss.update(self.task.loss(x, output, target))
        return {"x": x, "output": output, "target": target, "index": index}

    def on_validation_epoch_end(self) -> None:
        figures = {f"train_{name}": mean.compute() for name, mean in self.means.items()}
        scores = {"loss": self.val_loss.compute(), **self.scores.compute()}
        # a class that does not occur has no score
        figures |= {f"val_{name}": value for name, value in scores.items() if not torch.isnan(value) or name == self.task.best}
        for name, value in figures.items():  # the same in every process, for they are sums over all
            self.log(name, value.to(self.device, torch.float32), prog_bar=name == f"val_{self.task.best}", rank_zero_only=True)
        self.val_loss.reset()
        self.scores.reset()

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = make_optimiser(self, self.config)
        schedule = make_schedule(optimizer, self.config.optimiser, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.processed
        finished = self.trainer.fit_loop.epoch_progress.current.processed > self.current_epoch or done == self.trainer.num_training_batches
        place = (self.current_epoch + 1, 0) if finished else (self.current_epoch, done)
        checkpoint["unetlift"] = {"place": place, "parts": self.parts}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.parts = checkpoint["unetlift"]["parts"]
        self.trainer.datamodule.place = checkpoint["unetlift"]["place"]


def make_optimiser(training: Training, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over all that learns, each part at its rate."""
    how = config.optimiser
    groups = parameter_groups(training.model, how.learning_rate, how.offset_rate)
    groups = groups_by_rate(training.model.encoder, groups, config.encoder_share)
    if training.adversary is not None:  # with pix2pix's momentum
        groups.append({"params": list(training.adversary.parameters()), "lr": how.learning_rate, "betas": (0.5, 0.999)})
    fused = next(training.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, weight_decay=how.weight_decay, fused=fused)
