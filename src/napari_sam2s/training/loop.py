"""The training loop: resumable at any step, to the same trajectory; on one device or, through accelerate, on several."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.checkpoint import hardware, model_state, save_atomically
from napari_sam2s.training.curves import append_row, draw_curves, forget_after
from napari_sam2s.training.data import Ordered, StepDataset, batches
from napari_sam2s.training.interrupts import uninterrupted
from napari_sam2s.training.learner import Learner
from napari_sam2s.training.losses import LossWeights
from napari_sam2s.training.resume_training import check_same, read_last
from napari_sam2s.training.training_config import TrainingConfig

SAVE_SECONDS = 180.0
LOG_STEPS = 10
Validator = Callable[[SAM2S], Mapping[str, float]]  # a model to its J&F by family


class TrainingRun:
    """One training run in one folder.

    Parameters
    ----------
    config, model
        What to train; the model is trained in place.
    folder
        For ``last.pt`` (to resume), ``model.pt`` (the moving average, to use), ``best.pt`` (the one of these that did
        best in validation), ``curve.csv``, ``validation.csv`` and ``curves.png``.
    accelerator
        Of ``accelerate``, where several processes train together; the steps of each see other clips.
    """

    def __init__(self, config: TrainingConfig, model: SAM2S, folder: Path, accelerator: Any = None) -> None:
        self.learner = Learner(config, model, folder, accelerator)
        self.config = config
        self.folder = folder
        self.seconds = 0.0  # of training, in all sittings
        self.best = -math.inf  # mean J&F in validation
        self.validated = 0  # the last step after which the moving average was judged
        self.validator: Validator | None = None
        self.history: list[dict[str, Any]] = []  # provenance of the checkpoint this run started from
        self.one_sitting = False  # whether something else than the configuration orders the steps
        self.recordings: list[str] = []  # what there is of recorded videos, in words

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.learner.step

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.learner.main

    def resume(self) -> bool:
        """Take up the folder's last checkpoint, if there is one.

        Raises :class:`TrainingError` if it is damaged, or belongs to a run with another configuration.
        """
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        model = self.learner.model
        state = read_last(path, model.device)
        check_same(path, state, self.config, model)
        try:
            self.learner.load(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"{path} does not fit the network of this configuration: undo the change, or use another folder."
            ) from error
        self.seconds, self.best = state.get("seconds", 0.0), state.get("best", -math.inf)
        self.validated = state.get("validated", self.step)
        if self.recordings != state.get("recordings", self.recordings) and self.step < self.config.steps and self.main:
            warnings.warn(
                f"{self.folder} was started with other recorded videos ({'; '.join(state['recordings']) or 'none'}): from step "
                f"{self.step} on it learns from those that you give now.",
                stacklevel=2,
            )
        return True

    def save(self) -> None:
        """Write the checkpoint to resume, the averaged model, and the picture of the curves."""
        if not self.main:
            return
        model = self.learner.model
        state = {
            **self.learner.state(),
            "seconds": self.seconds,
            "best": self.best,
            "validated": self.validated,
            "clocked": self.one_sitting,
            "recordings": self.recordings,
            "config": self.config.to_dict(),
            "class_names": list(model.class_names),
            "text_embeddings": None if model.semantic is None else model.semantic.text_embeddings,
            "seed": self.config.seed,
            "name": self.config.model,
        }
        save_atomically(state, self.folder / "last.pt")
        save_atomically(self.averaged_state(), self.folder / "model.pt")
        if (self.folder / "curve.csv").exists():
            draw_curves(self.folder)

    def averaged_state(self) -> dict[str, Any]:
        """Return the moving average as a model checkpoint."""
        provenance = {
            "config": self.config.to_dict(),
            "step": self.step,
            "seconds": round(self.seconds),
            "hardware": hardware(),
            "history": self.history,
        }
        # The checkpoint that the run started from says how its tracker remembers best, as DiveMem's threshold.
        model = self.learner.model
        policy = {name: value for name, value in model.metadata.items() if name == "policy"}
        state = model_state(model, {"provenance": provenance, **policy}, half=False)
        state["model"] = {name: value.cpu().clone() for name, value in self.learner.average.items()}
        return state

    def train(
        self,
        dataset: StepDataset,
        *,
        workers: int = 1,
        seconds: float = math.inf,
        ordered: Iterable[Ordered] | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        """Train to the end of the configuration, or for some seconds, saving every few minutes.

        Parameters
        ----------
        seconds
            Stop after so long, to resume later.
        ordered
            Take these steps instead of the configuration's; such a run is not resumed.

        Raises
        ------
        TrainingError
            If the loss is not finite (the last checkpoint from before is kept), or steps are given to a run that has begun or
            that several processes share.
        """
        if ordered is not None and (self.step or self.learner.process[1] > 1):
            raise TrainingError(
                "A run with a fixed time (--within) is a single process and cannot be resumed. Use a new folder and "
                "no launcher."
            )
        self.one_sitting = ordered is not None
        if self.main:
            forget_after(self.folder / "curve.csv", self.step)
            forget_after(self.folder / "validation.csv", self.validated)
        try:
            if self._to_validate():  # the run was stopped before it was judged
                self.validate(report)
            if ordered is None:
                ordered = batches(dataset, self.step, workers, *self.learner.process)
            self._take_steps(ordered, seconds, report)
        except KeyboardInterrupt:
            if self.step:
                with uninterrupted():
                    self.save()
            raise
        self.save()

    def _take_steps(self, ordered: Iterable[Ordered], seconds: float, report: Callable[[str], None]) -> None:
        started = saved = time.monotonic()
        first, before = self.step, self.seconds
        for parts, place in ordered:
            with uninterrupted():
                losses, iou = self.learner.take_step(parts, place)
                now = time.monotonic()
                self.seconds = before + now - started
                if self.step % LOG_STEPS == 0 and self.main:
                    rate = (now - started) / (self.step - first)
                    self._log(losses, iou)
                    shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
                    of = "" if self.one_sitting else f"/{self.config.steps}"
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
        accelerator = self.learner.accelerator
        if accelerator is None:
            return late
        flag = torch.tensor(int(late), device=accelerator.device)
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
            model = copy.deepcopy(self.learner.model).eval()
            model.load_state_dict(self.learner.average)
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
        if self.learner.accelerator is not None:
            self.learner.accelerator.wait_for_everyone()
        self.validated = self.step
        return score

    def _log(self, losses: dict[str, float], iou: float) -> None:
        names = LossWeights.__dataclass_fields__  # "iou" is the loss of the predicted one
        row = {"step": self.step, "mask_iou": iou, **{name: losses.get(name, math.nan) for name in names}}
        append_row(self.folder / "curve.csv", row)
