"""Judging the moving average of a run, as its ``[validation]`` asks: cases prompted by a simulated user, tracked, scored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError
from napari_sam2s.evaluation import evaluate
from napari_sam2s.evaluation.clicks import prompt_first
from napari_sam2s.masklets.types import Object, Scores
from napari_sam2s.model.network import SAM2S
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.track_video import Masks
from napari_sam2s.tracking.tracker import Tracker
from napari_sam2s.training.training_config import TrainingConfig
from napari_sam2s.training.validation_cases import Case, laparoscopy, recorded_cases

MakeCases = Callable[[], Iterator[Case]]


@dataclass
class Answer:
    """What a tracker found of one object, under the object's own id."""

    object: Object
    found: Masks
    id: int  # in ``found``

    @property
    def objects(self) -> tuple[Object]:
        """The object."""
        return (self.object,)

    @property
    def frames(self) -> list[int]:
        """The frames it was tracked on, ascending."""
        return [t for t in self.found.frames if self.found.mask(t, self.id) is not None]

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return the mask of a frame."""
        mask = self.found.mask(frame, self.id)
        return {} if mask is None else {self.object.id: mask}

    def scores(self, frame: int) -> Scores | None:
        """Return the scores of a frame."""
        return self.found.scores(frame).get(self.id)


def track_case(
    model: SAM2S, case: Case, prompts: Sequence[str], memory: str | MemoryPolicy = "divemem"
) -> dict[str, list[Answer]]:
    """Track every object of a case once for each kind of prompt; return the answers in the order of the objects.

    Parameters
    ----------
    prompts
        Of ``PROMPTS``: each is given to every object on its first frame. Objects do not see each other, so all kinds are
        tracked side by side, and frames are encoded once.
    """
    found = Masks.for_objects(case.video, ())
    tracker = Tracker(model, case.video, found, memory, cache_bytes=0)
    answers: dict[str, list[Answer]] = {prompt: [] for prompt in prompts}
    for n, track in enumerate(case.tracks):
        first = track.frames[0]
        for k, prompt in enumerate(prompts):
            answer = Answer(track.object, found, 1 + n * len(prompts) + k)
            prompt_first(tracker, answer.id, first, track.known[first], prompt)
            answers[prompt].append(answer)
    last = max(track.frames[-1] for track in case.tracks) + 1
    for _ in tracker.propagate(stop=last):
        pass
    return answers


def mean_jf(model: SAM2S, cases: Iterable[Case], prompt: str) -> float:
    """Track cases and return the mean J&F of their objects; the prompted frame is not scored."""
    scores = []
    for case in cases:
        for track, answer in zip(case.tracks, track_case(model, case, (prompt,))[prompt], strict=True):
            scores.append(evaluate({case.name: answer}, {case.name: track}, skip="prompt", late="all").objects[0])
    return (float(np.mean([s.j for s in scores])) + float(np.mean([s.f for s in scores]))) / 2


def make_validator(
    config: TrainingConfig, recorded: Sequence[Path] = (), more: Mapping[str, MakeCases] | None = None
) -> Callable[[SAM2S], dict[str, float]] | None:
    """Return what judges a model as a configuration's ``[validation]`` asks: J&F by family. Cases are made once.

    What is recorded is opened here, so that what is wrong with it is said before training starts.

    Parameters
    ----------
    recorded
        Projects and DAVIS roots, of the family ``recorded``.
    more
        What makes the cases of other families, by name.

    Raises
    ------
    TrainingError
        If a family has nothing to be judged on.
    """
    wanted = config.validation
    if wanted is None:
        return None
    made: dict[str, list[Case]] = {}

    def make(name: str) -> Iterator[Case] | None:
        if name == "recorded":
            return recorded_cases(recorded) if recorded else None
        if more and name in more:
            return more[name]()
        return laparoscopy(range(wanted.cases), config.image_size, wanted.longest) if name == "laparoscopy" else None

    for name in wanted.families:
        if (cases := make(name)) is None:
            raise TrainingError(f"There is nothing to validate {name!r} on: give it, or remove it from [validation].")
        if name == "recorded":
            made[name] = _scorable(cases)

    def judge(model: SAM2S) -> dict[str, float]:
        for name in wanted.families:
            if name not in made and (cases := make(name)) is not None:
                made[name] = _scorable(cases)
        return {name: mean_jf(model, made[name], wanted.prompt) for name in wanted.families}

    return judge


def _scorable(cases: Iterable[Case]) -> list[Case]:
    """Return the cases in which there is something to score, and tell of the others.

    Raises :class:`TrainingError` if there are none.
    """
    kept = []
    for case in cases:
        if case.tracks:
            kept.append(case)
        else:
            warnings.warn(
                f"{case.name} is left out of validation: no object has masks on two frames or more, and the prompted frame is "
                "not scored.",
                stacklevel=2,
            )
    if not kept:
        raise TrainingError("There is nothing to validate on: no object has masks on two frames or more.")
    return kept
