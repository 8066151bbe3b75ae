"""The training loop: resumable at any step, to the same trajectory; on one device or, through accelerate, on several."""

from __future__ import annotations

import contextlib
import copy
import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.checkpoint import model_state, save_atomically
from napari_sam2s.training.clips import Batch
from napari_sam2s.training.clock import Clock
from napari_sam2s.training.config import Stage, TrainingConfig
from napari_sam2s.training.curves import draw_curves
from napari_sam2s.training.data import StepDataset, batches, clocked_batches, entropy, stage_of
from napari_sam2s.training.forward import ClipForward
from napari_sam2s.training.losses import LossWeights, total
from napari_sam2s.training.optimizer import make_optimizer, set_rates

SAVE_SECONDS = 180.0
LOG_STEPS = 10
Validator = Callable[[SAM2S], Mapping[str, float]]  # a model to its J&F by family


class Run:
    """One training run in one folder.

    Parameters
    ----------
    config, model
        What to train; the model is trained in place.
    folder
        For ``last.pt`` (to go on from), ``model.pt`` (the moving average, to use), ``best.pt`` (the one of these that did
        best in validation), ``curve.csv``, ``validation.csv`` and ``curves.png``.
    accelerator
        Of ``accelerate``, where several processes train together; the steps of each see other clips.
    """

    def __init__(self, config: TrainingConfig, model: SAM2S, folder: Path, accelerator: Any = None) -> None:
        self.config = config
        model.config = replace(model.config, image_size=config.image_size)
        self.model = model.train()
        self.folder = folder
        self.step = 0
        self.seconds = 0.0  # of training, in all sittings
        self.best = -math.inf  # mean J&F in validation
        self.validator: Validator | None = None
        self.history: list[dict[str, Any]] = []  # provenance of the checkpoint this run started from
        self.accelerator = accelerator
        self.average = {name: p.detach().clone() for name, p in model.state_dict().items()}
        self.weights = LossWeights(occlusion=config.occlusion_weight)
        self.clips = ClipForward(model, self.weights, loss_stride=config.loss_stride, arl=config.arl)
        self.optimizer: Any = make_optimizer(model, config)
        if config.precision == "tfloat32":
            torch.set_float32_matmul_precision("high")
        self._forward: Any = self.clips
        if accelerator is not None:
            self._forward, self.optimizer = accelerator.prepare(self.clips, self.optimizer)

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.accelerator is None or bool(self.accelerator.is_main_process)

    def resume(self) -> bool:
        """Go on from the folder's last checkpoint, if there is one.

        Raises
        ------
        TrainingError
            If it belongs to a run with another configuration.
        """
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.model.device, weights_only=True)
        # Later stages may be edited while a run goes on; what was already done may not.
        if state["seed"] != self.config.seed or state["name"] != self.config.model:
            raise TrainingError(f"{path} belongs to another run (seed {state['seed']}, {state['name']}): take another folder.")
        self.model.load_state_dict(state["model"])
        groups = zip(self.optimizer.param_groups, state["optimizer"]["param_groups"], strict=True)
        for group, saved in groups:
            saved.setdefault("factor", group["factor"])  # of checkpoints from before there were factors
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.step = state["step"]
        self.seconds, self.best = state.get("seconds", 0.0), state.get("best", -math.inf)
        return True

    def save(self) -> None:
        """Write the checkpoint to go on from, the averaged model, and the picture of the curves."""
        if not self.main:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "seed": self.config.seed,
            "name": self.config.model,
        }
        save_atomically(state, self.folder / "last.pt")
        save_atomically(self.averaged_state(), self.folder / "model.pt")
        if (self.folder / "curve.csv").exists():
            draw_curves(self.folder)

    def averaged_state(self) -> dict[str, Any]:
        """Return the moving average as a model checkpoint."""
        from napari_sam2s.training.pack import hardware

        provenance = {
            "config": self.config.to_dict(),
            "step": self.step,
            "seconds": round(self.seconds),
            "hardware": hardware(),
            "history": self.history,
        }
        state = model_state(self.model, {"provenance": provenance}, half=False)
        state["model"] = {name: value.cpu().clone() for name, value in self.average.items()}
        return state

    def train(
        self,
        dataset: StepDataset,
        *,
        workers: int = 1,
        seconds: float = math.inf,
        clock: Clock | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        """Train to the end of the configuration, or for some seconds, saving every few minutes.

        Parameters
        ----------
        seconds
            Stop after so long, to go on later.
        clock
            Take as many steps as its time has room for, with the stages and rates of a whole run; such a run is not gone on
            with. ``config`` then tells how many there were.

        Raises
        ------
        TrainingError
            If the loss is not finite (the last checkpoint from before is kept), or a clock is given to a run that has begun or
            that several processes share.
        """
        if clock is not None and (self.step or self.accelerator is not None):
            raise TrainingError("A run within a time is one sitting of one process: take a new folder, and no launcher.")
        if clock is not None and any(stage.accumulate > 1 for stage in self.config.stages):
            raise TrainingError("A run within a time makes a step of each batch: set accumulate = 1 in its stages.")
        started = saved = time.monotonic()
        first, before = self.step, self.seconds
        rank, processes = (
            (0, 1) if self.accelerator is None else (self.accelerator.process_index, self.accelerator.num_processes)
        )
        ordered = batches(dataset, self.step, workers, rank, processes)
        for parts in ordered if clock is None else clocked_batches(dataset, clock, workers):
            place = clock.arrived() if clock is not None else stage_of(self.config, self.step)
            losses, iou = self.take_step(parts, rank, processes, place)
            now = time.monotonic()
            self.seconds = before + now - started
            if self.step % LOG_STEPS == 0 and self.main:
                rate = (now - started) / (self.step - first)
                self._log(losses, iou)
                shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
                of = f"/{self.config.steps}" if clock is None else f", {100 * clock.share():.0f} % of the time:"
                report(f"step {self.step}{of} IoU {iou:.3f} {shown} ({rate:.2f} s a step)")
            if self.config.validation is not None and self.step % self.config.validation.every == 0:
                self.validate(report)
            if now - saved > SAVE_SECONDS:
                self.save()
                saved = now
            if now - started > seconds:
                break
        if clock is not None:
            self.config = clock.config()
        self.save()

    def take_step(
        self, parts: Batch | Sequence[Batch], rank: int = 0, processes: int = 1, place: tuple[Stage, int] | None = None
    ) -> tuple[dict[str, float], float]:
        """Learn from one batch, or from several whose gradients add up; return the mean losses and IoU.

        ``place`` is the stage and the step's number within it, by default those of the configuration.
        """
        parts = [parts] if isinstance(parts, Batch) else list(parts)
        stage, within = place or stage_of(self.config, self.step)
        set_rates(self.optimizer, self.config, stage, within)
        self.clips.corrections, self.clips.later_corrections = stage.corrections, stage.later_corrections
        self.optimizer.zero_grad(set_to_none=True)
        outputs = []
        for k, batch in enumerate(parts):
            rng = np.random.default_rng(entropy(self.config.seed, 1, self.step, rank + k * processes))
            outputs.append(self._learn(batch, rng, stage, len(parts), last=k + 1 == len(parts)))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        if torch.isfinite(norm):
            self.optimizer.step()
        self._update_average()
        self.step += 1
        names = outputs[0][0]
        return {n: float(np.mean([o[0][n] for o in outputs])) for n in names}, float(np.mean([o[1] for o in outputs]))

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
                    f"The loss of step {self.step} is {float(loss)} (clips {', '.join(batch.names)}); the last good checkpoint "
                    f"is {self.folder / 'last.pt'}. Lower the learning rate and go on from it."
                )
            if self.accelerator is None:
                loss.backward()
            else:
                self.accelerator.backward(loss)
        values = torch.stack([value.detach() for value in losses.values()]).tolist()  # one wait for the device, not one each
        return dict(zip(losses, values, strict=True)), output.iou

    def validate(self, report: Callable[[str], None] = print) -> float:
        """Judge the moving average on the validation set; keep it as ``best.pt`` if it is the best so far.

        Returns
        -------
        The mean J&F of the families; nan on processes that do not write.

        Raises
        ------
        TrainingError
            If the configuration asks for validation, but nothing to validate on was given.
        """
        score = math.nan
        if self.main:
            if self.validator is None:
                raise TrainingError("The configuration has [validation], but this run was started without validation cases.")
            model = copy.deepcopy(self.model).eval()
            model.load_state_dict(self.average)
            scores = dict(self.validator(model))
            score = float(np.mean(list(scores.values())))
            self._write(self.folder / "validation.csv", {"step": self.step, **scores, "mean": score})
            report(
                f"step {self.step}/{self.config.steps} validation J&F {100 * score:.1f}, best {100 * max(score, self.best):.1f}"
            )
            if score > self.best:
                self.best = score
                state = self.averaged_state()
                state["sam2s"]["provenance"]["validation"] = {"jf": score, **scores}
                save_atomically(state, self.folder / "best.pt")
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()
        return score

    def _update_average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        state = self.model.state_dict()
        real = [name for name, value in state.items() if value.is_floating_point()]
        with torch.no_grad():  # one call for all: on a GPU hundreds of small ones would take as long as the step
            torch._foreach_lerp_([self.average[n] for n in real], [state[n] for n in real], 1 - decay)
            for name in set(state) - set(real):
                self.average[name].copy_(state[name])

    def _log(self, losses: dict[str, float], iou: float) -> None:
        names = LossWeights.__dataclass_fields__  # "iou" is the loss of the predicted one
        row = {"step": self.step, "mask_iou": iou, **{name: losses.get(name, math.nan) for name in names}}
        self._write(self.folder / "curve.csv", row)

    @staticmethod
    def _write(path: Path, row: Mapping[str, float]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(row)
            writer.writerow([v if isinstance(v, int) else f"{v:.5f}" for v in row.values()])
