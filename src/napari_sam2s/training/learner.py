"""Learning from the batches of one step: losses, gradients, the moving average; on one device or several."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.clip_sampling import Batch
from napari_sam2s.training.data import Place, entropy, stage_of
from napari_sam2s.training.forward import ClipForward
from napari_sam2s.training.losses import LossWeights, total
from napari_sam2s.training.moving_average import MovingAverage
from napari_sam2s.training.optimizer import make_optimizer, set_rates
from napari_sam2s.training.training_config import Stage, TrainingConfig
from napari_sam2s.wording import counted

SKIPPED_STEPS = 20  # in a row, after which a run is given up


class Learner:
    """A model that learns step by step.

    Parameters
    ----------
    config, model
        What to train; the model is trained in place.
    folder
        Of the run, whose last checkpoint is named where a step goes wrong.
    accelerator
        Of ``accelerate``, where several processes train together.
    """

    def __init__(self, config: TrainingConfig, model: SAM2S, folder: Path, accelerator: Any = None) -> None:
        self.config = config
        model.config = replace(model.config, image_size=config.image_size)
        self.model = model.train()
        self.folder = folder
        self.step = 0
        self.accelerator = accelerator
        self._skipped = 0  # last steps in a row whose gradients were not finite
        self._average = MovingAverage(model.state_dict(), config.ema)
        self.weights = LossWeights(occlusion=config.occlusion_weight)
        self.clips = ClipForward(model, self.weights, loss_stride=config.loss_stride, arl=config.arl)
        self.optimizer: Any = make_optimizer(model, config)
        if config.precision == "tfloat32":
            torch.set_float32_matmul_precision("high")
        self._forward: Any = self.clips
        if accelerator is not None:
            self._forward, self.optimizer = accelerator.prepare(self.clips, self.optimizer)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned; ``KeyError``, ``RuntimeError`` or ``ValueError`` if it does not fit."""
        self.model.load_state_dict(state["model"])
        for group, saved in zip(self.optimizer.param_groups, state["optimizer"]["param_groups"], strict=True):
            saved.setdefault("factor", group["factor"])  # of checkpoints from before there were factors
        self.optimizer.load_state_dict(state["optimizer"])
        self._average.weights = state["average"]
        self.step = state["step"]

    def state(self) -> dict[str, Any]:
        """Return what decides all further steps."""
        optimizer = self.optimizer.state_dict()
        return {"model": self.model.state_dict(), "optimizer": optimizer, "average": self.average, "step": self.step}

    @property
    def average(self) -> dict[str, torch.Tensor]:
        """The moving average of the weights."""
        return self._average.weights

    @property
    def process(self) -> tuple[int, int]:
        """Number of this process, and how many there are."""
        a = self.accelerator
        return (0, 1) if a is None else (a.process_index, a.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.accelerator is None or bool(self.accelerator.is_main_process)

    def take_step(self, parts: Batch | Sequence[Batch], place: Place | None = None) -> tuple[dict[str, float], float]:
        """Learn from one batch, or from several whose gradients add up; return the mean losses and IoU.

        ``place`` is the stage and the step's number within it, by default those of the configuration.
        """
        parts = [parts] if isinstance(parts, Batch) else list(parts)
        stage, within = place or stage_of(self.config, self.step)
        set_rates(self.optimizer, self.config, stage, within)
        self.clips.corrections, self.clips.later_corrections = stage.corrections, stage.later_corrections
        self.optimizer.zero_grad(set_to_none=True)
        outputs = []
        rank, processes = self.process
        for k, batch in enumerate(parts):
            rng = np.random.default_rng(entropy(self.config.seed, 1, self.step, rank + k * processes))
            outputs.append(self._learn(batch, rng, stage, len(parts), last=k + 1 == len(parts)))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        if torch.isfinite(norm):
            self.optimizer.step()
            self._skipped = 0
        else:
            self._skip(float(norm), parts)
        self._average.update(self.model.state_dict(), self.step)
        self.step += 1
        names = outputs[0][0]
        return {n: float(np.mean([o[0][n] for o in outputs])) for n in names}, float(np.mean([o[1] for o in outputs]))

    def _skip(self, norm: float, parts: Sequence[Batch]) -> None:
        """Tell of gradients that nothing can be learned from; give up where they do not end."""
        self._skipped += 1
        clips = ", ".join(name for batch in parts for name in batch.names)
        if self._skipped >= SKIPPED_STEPS:
            raise TrainingError(
                f"The gradients of {counted(self._skipped, 'step was', 'steps in a row were')} not finite, up to step"
                f" {self.step} (clips {clips}): {self._good()}."
            )
        if self.main:
            warnings.warn(
                f"The gradients of step {self.step} have the norm {norm} (clips {clips}): the step is skipped.",
                stacklevel=2,
            )

    def _good(self) -> str:
        """Say what to resume after a run went wrong."""
        path = self.folder / "last.pt"
        if not path.exists():
            return "lower the learning rate and start again"
        return f"the last good checkpoint is {path}; lower the learning rate and resume from it"

    def _learn(
        self, batch: Batch, rng: np.random.Generator, stage: Stage, parts: int, *, last: bool
    ) -> tuple[dict[str, float], float]:
        """Add the gradients of one batch."""
        mixed = self.config.precision == "bfloat16"
        alone = contextlib.nullcontext() if last or self.accelerator is None else self.accelerator.no_sync(self._forward)
        with alone:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=mixed):
                output = self._forward(batch, rng, mask_share=0.0 if len(batch.roles) == 1 else stage.mask_share)
            losses = dict(output.losses)
            if not self.config.tsl and "tsl" in losses:
                losses["tsl"] = losses["tsl"] * 0
            loss = total(losses, self.weights) / parts
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"The loss of step {self.step} is {float(loss.detach())} (clips {', '.join(batch.names)}): {self._good()}."
                )
            if self.accelerator is None:
                loss.backward()
            else:
                self.accelerator.backward(loss)
        values = torch.stack([value.detach() for value in losses.values()]).tolist()  # one wait for the device, not one each
        return dict(zip(losses, values, strict=True)), output.iou
