"""Runs that end by the clock: for a machine that is lent for so long, however fast it turns out to be."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from napari_sam2s.errors import TrainingError
from napari_sam2s.training.data import Ordered, Place, StepDataset, make_ahead
from napari_sam2s.training.training_config import TrainingConfig

AHEAD_S = 5.0  # by which clips are ordered before they are learned from, about


class Clock:
    """Shares a time out over the stages of a run as their steps would share it.

    Parameters
    ----------
    config
        Its steps only say how the time is shared.
    seconds
        From the first batch to the last.
    now
        Gives the time in seconds.
    """

    def __init__(self, config: TrainingConfig, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._config, self._seconds, self._now = config, seconds, now
        shares = np.array([stage.steps for stage in config.stages], dtype=float)
        self._edges = np.concatenate(([0.0], np.cumsum(shares / shares.sum())))
        self._started: float | None = None
        self._ordered: deque[int] = deque()  # stages of the batches on their way
        self.steps = [0] * len(config.stages)  # taken

    def start(self) -> None:
        """Begin to count: once the first batch is there, since making it takes long."""
        if self._started is None:
            self._started = self._now()

    def share(self, ahead: float = 0.0) -> float:
        """Return which share of the time is over, 0 to 1 and beyond."""
        return 0.0 if self._started is None else (self._now() + ahead - self._started) / self._seconds

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self.share() >= 1

    def order(self) -> Iterator[tuple[int, int, int]]:
        """Yield ``(step, part, stage)`` of batches to make, without end; :meth:`arrived` is told when they come, in order."""
        step = 0
        while True:
            stage = int(np.searchsorted(self._edges, min(self.share(AHEAD_S), 1 - 1e-9), side="right")) - 1
            self._ordered.append(stage)
            yield step, 0, stage
            step += 1

    def arrived(self) -> Place:
        """Return the stage of the next batch as long as it will be at this pace, and the step's number within it."""
        number = self._ordered.popleft()
        stage, taken = self._config.stages[number], self.steps[number]
        self.steps[number] += 1
        first, last = self._edges[number], self._edges[number + 1]
        progress = float(np.clip((self.share() - first) / (last - first), 0.0, 1.0))
        # The rates fall along a cosine of steps: as many as bring this step to where the clock is.
        total = round(taken / progress) if progress > 0 else taken + 1000
        return replace(stage, steps=max(total, taken + 1)), taken

    def config(self) -> TrainingConfig:
        """Return the configuration with the steps that were taken; stages that none was left for are left out."""
        stages = zip(self._config.stages, self.steps, strict=True)
        return replace(self._config, stages=tuple(replace(stage, steps=n) for stage, n in stages if n))


def clocked_steps(dataset: StepDataset, clock: Clock, workers: int) -> Iterator[Ordered]:
    """Yield the steps that a clock orders, until its time is over: what :meth:`TrainingRun.train` takes.

    Raises
    ------
    TrainingError
        If a stage makes a step of several batches.
    """
    if any(stage.accumulate > 1 for stage in dataset.config.stages):
        raise TrainingError("A run within a time makes a step of each batch: set accumulate = 1 in its stages.")
    for batch in make_ahead(dataset, clock.order(), workers):
        clock.start()
        if clock.over:
            return
        yield [batch], clock.arrived()
