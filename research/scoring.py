"""How good a model is: held-out cases prompted by a simulated user, tracked, and scored as the evaluation package scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.evaluation import evaluate
from napari_sam2s.evaluation.scores import ObjectScore
from napari_sam2s.masklets import Masklets
from napari_sam2s.model.network import SAM2S
from napari_sam2s.tracking.policy import DIVEMEM, MemoryPolicy
from napari_sam2s.training.validation_cases import Case, Track
from napari_sam2s.training.validation_run import Answer, track_case
from research.baselines import Frozen, carry_by_flow

LONG_ABSENCE = 30  # frames
FOUND_WITHIN, FOUND_ABOVE = 10, 0.5  # frames after re-entry; J


@dataclass
class ObjectResult:
    """How one object fared."""

    case: str
    score: ObjectScore
    class_right: bool | None = None  # None where there is no class to be right about
    returns: int = 0  # after long absences
    found: int = 0  # of these, those that were found in time
    after_return: float = math.nan  # J&F of the frames after the first one


@dataclass
class FamilyScore:
    """Means over the objects of a family."""

    results: list[ObjectResult] = field(default_factory=list)

    @property
    def objects(self) -> int:
        """How many were scored."""
        return len(self.results)

    @property
    def j(self) -> float:
        """Mean J."""
        return _mean([r.score.j for r in self.results])

    @property
    def f(self) -> float:
        """Mean F."""
        return _mean([r.score.f for r in self.results])

    @property
    def jf(self) -> float:
        """Mean J&F, each object counting once."""
        return (self.j + self.f) / 2

    @property
    def class_accuracy(self) -> float:
        """Share of the objects of known class whose class was named right."""
        return _mean([float(r.class_right) for r in self.results if r.class_right is not None])

    @property
    def false_presence(self) -> float:
        """Share of the frames on which an object is absent that carry a mask of it."""
        return _share(sum(r.score.false_presence for r in self.results), sum(r.score.absent_frames for r in self.results))

    @property
    def found(self) -> float:
        """Share of the returns after 30 or more frames that were found within 10 (J above 0.5)."""
        return _share(sum(r.found for r in self.results), self.returns)

    @property
    def returns(self) -> int:
        """Returns after long absences."""
        return sum(r.returns for r in self.results)

    @property
    def after_return(self) -> float:
        """Mean J&F after the first such return, over the objects that have one."""
        return _mean([r.after_return for r in self.results if not math.isnan(r.after_return)])

    def to_dict(self) -> dict[str, float]:
        """Return plain numbers, for a checkpoint's provenance."""
        names = ("objects", "jf", "j", "f", "class_accuracy", "false_presence", "returns", "found", "after_return")
        values = {name: getattr(self, name) for name in names}
        return {name: round(value, 4) for name, value in values.items() if not math.isnan(value)}


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


Outcome = tuple[list[ObjectResult], list[ObjectResult]]  # the model's, and those of first masks frozen


def run_case(
    model: SAM2S, case: Case, prompts: Sequence[str] = ("mask",), memory: str | MemoryPolicy = "divemem"
) -> dict[str, Outcome]:
    """Track a case; return for each kind of prompt how its objects fared, and how their first masks frozen do.

    Parameters
    ----------
    prompts
        Of ``PROMPTS``: each is given to every object on its first frame, which is not scored. Objects do not see each
        other, so all kinds are tracked side by side, and frames are encoded once.
    """
    answers = track_case(model, case, prompts, memory)
    return {prompt: _outcome(case, answers[prompt], model.class_names) for prompt in prompts}


def _outcome(case: Case, answers: list[Answer], class_names: Iterable[str]) -> Outcome:
    ours, frozen = [], []
    for track, answer in zip(case.tracks, answers, strict=True):
        first = answer.masks(track.frames[0])[track.object.id]
        ours.append(score_track(case.name, answer, track, class_names))
        frozen.append(score_track(case.name, Frozen(track.object, first, track.frames), track))
    return ours, frozen


def run_flow(case: Case) -> list[ObjectResult]:
    """Return how the objects of a case fare when their first masks are carried on by optical flow."""
    found = carry_by_flow(case)
    return [score_track(case.name, answer, track) for track, answer in zip(case.tracks, found, strict=True)]


def score_track(name: str, prediction: Masklets, track: Track, class_names: Iterable[str] = ()) -> ObjectResult:
    """Score one object."""
    evaluation = evaluate({name: prediction}, {name: track}, skip="prompt", late="all")
    score = evaluation.objects[0]
    frames = evaluation.frames[name, track.object.id]
    result = ObjectResult(name, score)
    if isinstance(prediction, Answer) and track.object.class_name in set(class_names):
        result.class_right = named(prediction, track) == track.object.class_name
    absences = list(_returns(track))
    for back in absences:
        soon = [frames[t].j for t in range(back, back + FOUND_WITHIN + 1) if t in frames]
        result.returns += 1
        result.found += any(j > FOUND_ABOVE for j in soon)
    if absences:
        result.after_return = _mean([(score.j + score.f) / 2 for t, score in frames.items() if t >= absences[0]])
    return result


def named(answer: Answer, track: Track) -> str | None:
    """Return the class that a tracked object is given: of the highest mean probability over frames it is seen on."""
    sums: dict[str, float] = {}
    for t in track.frames[1:]:
        scores = answer.scores(t)
        if scores is not None and scores.object_score > 0:
            for name, probability in scores.class_scores.items():
                sums[name] = sums.get(name, 0.0) + probability
    return max(sums, key=lambda name: sums[name]) if sums else None


def _returns(track: Track) -> Iterator[int]:
    """Yield the frames on which an object comes back after a long absence."""
    away = 0
    for t in track.frames:
        if not track.known[t].any():
            away += 1
            continue
        if away >= LONG_ABSENCE:
            yield t
        away = 0


def validate(
    model: SAM2S, cases: Iterable[Case], prompt: str = "mask", memory: str | MemoryPolicy = "divemem"
) -> tuple[FamilyScore, FamilyScore]:
    """Track and score cases; return the model's score and that of first masks frozen."""
    ours, frozen = FamilyScore(), FamilyScore()
    for case in cases:
        a, b = run_case(model, case, (prompt,), memory)[prompt]
        ours.results += a
        frozen.results += b
    return ours, frozen


def calibrate(model: SAM2S, cases: list[Case], thresholds: Iterable[float], prompt: str = "mask") -> dict[float, FamilyScore]:
    """Return how DiveMem fares on cases with each IoU threshold (the paper's gamma, which is for the paper's weights)."""
    return {g: validate(model, cases, prompt, replace(DIVEMEM, iou_threshold=g))[0] for g in thresholds}


def object_scores(model: SAM2S, cases: Iterable[Case], prompt: str = "mask") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the object scores (logits) of frames on which an object is visible, ``(N,)``, and on which it is absent, ``(M,)``.

    The prompted frames are left out.
    """
    visible: list[float] = []
    absent: list[float] = []
    for case in cases:
        for track, answer in zip(case.tracks, track_case(model, case, (prompt,))[prompt], strict=True):
            for t in track.frames[1:]:
                scores = answer.scores(t)
                if scores is not None:
                    (visible if track.known[t].any() else absent).append(scores.object_score)
    return np.array(visible), np.array(absent)
