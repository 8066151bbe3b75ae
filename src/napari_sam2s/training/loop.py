"""The training loop: resumable at any step, to the same trajectory; on one device or, through accelerate, on several."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.checkpoint import model_state, save_atomically
from napari_sam2s.training.curves import append_row, draw_curves, forget_after
from napari_sam2s.training.data import StepDataset, batches, clocked_batches, stage_of
from napari_sam2s.training.interrupts import uninterrupted
from napari_sam2s.training.learner import Learner
from napari_sam2s.training.losses import LossWeights
from napari_sam2s.training.resume_run import check_same, read_last
from napari_sam2s.training.time_budget import Clock
from napari_sam2s.training.training_config import TrainingConfig

SAVE_SECONDS = 180.0
LOG_STEPS = 10
Validator = Callable[[SAM2S], Mapping[str, float]]  # a model to its J&F by family


class Run(Learner):
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
        super().__init__(config, model, folder, accelerator)
        self.seconds = 0.0  # of training, in all sittings
        self.best = -math.inf  # mean J&F in validation
        self.validated = 0  # the last step after which the moving average was judged
        self.validator: Validator | None = None
        self.history: list[dict[str, Any]] = []  # provenance of the checkpoint this run started from
        self.clocked = False  # whether a clock decides how many steps there are
        self.recordings: list[str] = []  # what there is of recorded videos, in words

    def resume(self) -> bool:
        """Go on from the folder's last checkpoint, if there is one.

        Raises
        ------
        TrainingError
            If it is damaged, or belongs to a run with another configuration.
        """
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        state = read_last(path, self.model.device)
        check_same(path, state, self.config, self.model)
        try:
            self.model.load_state_dict(state["model"])
            groups = zip(self.optimizer.param_groups, state["optimizer"]["param_groups"], strict=True)
            for group, saved in groups:
                saved.setdefault("factor", group["factor"])  # of checkpoints from before there were factors
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"{path} does not fit the network of this configuration: put back what was changed, or take another folder."
            ) from error
        self.average = state["average"]
        self.step = state["step"]
        self.seconds, self.best = state.get("seconds", 0.0), state.get("best", -math.inf)
        self.validated = state.get("validated", self.step)
        if self.recordings != state.get("recordings", self.recordings) and self.step < self.config.steps and self.main:
            warnings.warn(
                f"{self.folder} was begun with other recorded videos ({'; '.join(state['recordings']) or 'none'}): from step "
                f"{self.step} on it learns from those that are given now.",
                stacklevel=2,
            )
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
            "validated": self.validated,
            "clocked": self.clocked,
            "recordings": self.recordings,
            "config": self.config.to_dict(),
            "class_names": list(self.model.class_names),
            "text_embeddings": None if self.model.semantic is None else self.model.semantic.text_embeddings,
            "seed": self.config.seed,
            "name": self.config.model,
        }
        save_atomically(state, self.folder / "last.pt")
        save_atomically(self.averaged_state(), self.folder / "model.pt")
        if (self.folder / "curve.csv").exists():
            draw_curves(self.folder)

    def averaged_state(self) -> dict[str, Any]:
        """Return the moving average as a model checkpoint."""
        from napari_sam2s.training.export_checkpoint import hardware

        provenance = {
            "config": self.config.to_dict(),
            "step": self.step,
            "seconds": round(self.seconds),
            "hardware": hardware(),
            "history": self.history,
        }
        # The checkpoint that the run started from says how its tracker remembers best, as DiveMem's threshold.
        policy = {name: value for name, value in self.model.metadata.items() if name == "policy"}
        state = model_state(self.model, {"provenance": provenance, **policy}, half=False)
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
        self.clocked = clock is not None
        if self.main:
            forget_after(self.folder / "curve.csv", self.step)
            forget_after(self.folder / "validation.csv", self.validated)
        try:
            self._take_steps(dataset, workers, seconds, clock, report)
        except KeyboardInterrupt:
            if self.step:
                with uninterrupted():
                    self.save()
            raise
        if clock is not None:
            self.config = clock.config()
        self.save()

    def _take_steps(
        self, dataset: StepDataset, workers: int, seconds: float, clock: Clock | None, report: Callable[[str], None]
    ) -> None:
        started = saved = time.monotonic()
        first, before = self.step, self.seconds
        rank, processes = (
            (0, 1) if self.accelerator is None else (self.accelerator.process_index, self.accelerator.num_processes)
        )
        if self._to_validate():  # the run was stopped before it was judged
            self.validate(report)
        ordered = batches(dataset, self.step, workers, rank, processes)
        for parts in ordered if clock is None else clocked_batches(dataset, clock, workers):
            place = clock.arrived() if clock is not None else stage_of(self.config, self.step)
            with uninterrupted():
                losses, iou = self.take_step(parts, rank, processes, place)
                now = time.monotonic()
                self.seconds = before + now - started
                if self.step % LOG_STEPS == 0 and self.main:
                    rate = (now - started) / (self.step - first)
                    self._log(losses, iou)
                    shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
                    of = f"/{self.config.steps}" if clock is None else f", {100 * clock.share():.0f} % of the time:"
                    report(f"step {self.step}{of} IoU {iou:.3f} {shown} ({rate:.2f} s a step)")
            if self._to_validate() or now - saved > SAVE_SECONDS:
                self.save()  # before judging, which takes long and may fail
                saved = now
            if self._to_validate():
                self.validate(report)
            if seconds < math.inf and self._shared(now - started > seconds):
                break

    def _to_validate(self) -> bool:
        """Whether the moving average is to be judged now."""
        wanted = self.config.validation
        return wanted is not None and self.step % wanted.every == 0 and self.validated < self.step

    def _shared(self, late: bool) -> bool:
        """Return what the first process finds: if each stopped by its own clock, some would wait for the others for ever."""
        if self.accelerator is None:
            return late
        flag = torch.tensor(int(late), device=self.accelerator.device)
        torch.distributed.broadcast(flag, src=0)
        return bool(flag)

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
            append_row(self.folder / "validation.csv", {"step": self.step, **scores, "mean": score})
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
        self.validated = self.step
        return score

    def _log(self, losses: dict[str, float], iou: float) -> None:
        names = LossWeights.__dataclass_fields__  # "iou" is the loss of the predicted one
        row = {"step": self.step, "mask_iou": iou, **{name: losses.get(name, math.nan) for name in names}}
        append_row(self.folder / "curve.csv", row)
