"""Scores of a frame, an object and of several, and the protocol that they depend on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from napari_sam2s.errors import EvaluationError


@dataclass(frozen=True)
class Protocol:
    """The choices that a score depends on; printed with every score.

    Parameters
    ----------
    skip
        Frames that are not scored: ``"ends"`` the first and the last annotated one (DAVIS, vos-benchmark, SA-V),
        ``"prompt"`` the first one (where the prompt was), ``"none"``.
    missing
        What a frame without prediction is: an ``"error"``, or ``"empty"`` masks.
    void
        Value of ground-truth pictures whose pixels count nowhere, as in DAVIS; ``None`` makes it an object like any other.
    late
        From when an object is scored: from the scored frame on which ground truth or prediction first show it
        (``"first-seen"``, as vos-benchmark does), on ``"all"`` scored frames, or as its own clip that starts where the ground
        truth first shows it (``"own-clip"``: what ``skip`` says of the first frame then means that one, where a late
        object is prompted).
    tolerance
        Of boundaries, as a share of the picture's diagonal.
    surface
        Tolerance of NSD. ``None`` leaves HD95 and NSD out, which take longer than all else.
    spacing
        Millimetres of a pixel ``(y, x)``: HD95 and the tolerance of NSD are in millimetres then, else in pixels.
    offset
        What is added to the prediction's frame numbers, as 1 where the prediction counts from 0 and the ground truth's
        pictures from 1. ``None`` adds nothing, and refuses what looks as if it were numbered differently.
    """

    skip: str = "ends"
    missing: str = "error"
    void: int | None = 255
    late: str = "first-seen"
    tolerance: float = 0.008
    surface: float | None = None
    spacing: tuple[float, float] | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("skip", ("ends", "prompt", "none")),
            ("missing", ("error", "empty")),
            ("late", ("first-seen", "all", "own-clip")),
        ):
            if getattr(self, name) not in known:
                raise EvaluationError(f"{name}={getattr(self, name)!r} is not one of {', '.join(known)}.")
        if not 0 < self.tolerance < 1:
            raise EvaluationError(f"tolerance={self.tolerance} is not a share of the diagonal between 0 and 1.")
        if self.surface is not None and not 0 <= self.surface < math.inf:
            raise EvaluationError(f"surface={self.surface} is not a distance.")
        if self.spacing is not None and (len(self.spacing) != 2 or not all(0 < side < math.inf for side in self.spacing)):
            raise EvaluationError(f"spacing={self.spacing} is not (y, x) in millimetres a pixel, above 0.")

    @property
    def unit(self) -> str:
        """Unit of distances."""
        return "px" if self.spacing is None else "mm"

    def __str__(self) -> str:
        parts = [f"{f.name} {getattr(self, f.name)}" for f in fields(self) if f.name not in ("surface", "spacing", "offset")]
        if self.surface is not None:
            parts.append(f"NSD within {self.surface:g} {self.unit}")
        if self.spacing is not None:
            parts.append("spacing {:g} x {:g} mm".format(*self.spacing))
        if self.offset:
            parts.append(f"frames of the prediction {self.offset:+d}")
        return ", ".join([*parts, "ids from the ground truth"])


class FrameScore(NamedTuple):
    """One object on one frame."""

    j: float
    f: float
    present: bool  # in the ground truth
    predicted: bool


@dataclass(frozen=True)
class ObjectScore:
    """One object over its scored frames; means are fractions in [0, 1], counts are of scored frames."""

    video: str
    object_id: int
    frames: int
    j: float
    f: float
    dice: float
    absent_frames: int  # on which the ground truth is empty
    false_presence: int  # of these, how many have a mask
    visibility_switches: int  # how often it appears or disappears in the ground truth
    predicted_switches: int  # and in the prediction
    longest_lost: int  # longest run of frames with the object there and J below 0.1
    returns: int  # how often it comes back after an absence
    reidentified: int  # of these, how often J gets above 0.5 before it leaves again
    reidentified_after: float  # mean frames from the return until then, or until it leaves again; nan without returns
    id_switches: int  # how often another predicted id covers it (IoU above 0.5) than before
    hd95: float = math.nan  # mean over the frames where it is defined; nan if it was not asked for
    hd95_undefined: int = 0  # frames on which just one of the masks is empty
    nsd: float = math.nan
    class_name: str = ""

    @property
    def jf(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2


MEANS = ("j", "f", "dice", "hd95", "nsd")


@dataclass(frozen=True)
class MeanScore:
    """The mean over objects, each counting once."""

    objects: int
    j: float
    f: float
    dice: float
    hd95: float = math.nan
    nsd: float = math.nan

    @property
    def jf(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2


def mean_score(objects: Iterable[ObjectScore]) -> MeanScore:
    """Average over objects, leaving out what is not defined for one; nan if there are none."""
    chosen = list(objects)
    means = []
    for name in MEANS:
        known = [value for o in chosen if not math.isnan(value := getattr(o, name))]
        means.append(float(np.mean(known)) if known else math.nan)
    return MeanScore(len(chosen), *means)


def finite(value: Any) -> Any:
    """Return plain data with ``None`` for what is not a number."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
