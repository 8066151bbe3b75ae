"""Scores of objects, videos, subsets and the whole: what :func:`evaluate` returns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
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
        if self.surface is not None and not self.surface >= 0:
            raise EvaluationError(f"surface={self.surface} is not a distance.")
        if self.spacing is not None and (len(self.spacing) != 2 or min(self.spacing) <= 0):
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


Frames = dict[tuple[str, int], dict[int, FrameScore]]


@dataclass(frozen=True)
class Evaluation:
    """Scores of a prediction, and the protocol they were made under."""

    protocol: Protocol
    objects: tuple[ObjectScore, ...]
    frames: Frames = field(repr=False)  # (video, object): {frame: scores}
    subset_of: Mapping[str, str] = field(default_factory=dict)  # of a video; empty if there are no subsets

    @property
    def overall(self) -> MeanScore:
        """The mean over all objects of all videos, as DAVIS and SA-V report it."""
        return mean_score(self.objects)

    @property
    def videos(self) -> tuple[str, ...]:
        """Names of the videos."""
        return tuple(dict.fromkeys(o.video for o in self.objects))

    @property
    def subsets(self) -> tuple[str, ...]:
        """Names of the subsets."""
        return tuple(dict.fromkeys(self.subset_of[v] for v in self.videos if v in self.subset_of))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, if the ground truth has any."""
        return tuple(sorted({o.class_name for o in self.objects} - {""}))

    def video(self, name: str) -> MeanScore:
        """Return the mean over the objects of one video."""
        chosen = [o for o in self.objects if o.video == name]
        if not chosen:
            raise EvaluationError(f"No video {name!r} was scored; there are {', '.join(self.videos) or 'none'}.")
        return mean_score(chosen)

    def subset(self, name: str) -> MeanScore:
        """Return the mean over the objects of one subset."""
        chosen = [o for o in self.objects if self.subset_of.get(o.video) == name]
        if not chosen:
            raise EvaluationError(f"No subset {name!r} was scored; there are {', '.join(self.subsets) or 'none'}.")
        return mean_score(chosen)

    def of_class(self, name: str) -> MeanScore:
        """Return the mean over the objects of one class."""
        return mean_score(o for o in self.objects if o.class_name == name)

    def object(self, video: str, object_id: int) -> ObjectScore:
        """Return the score of one object."""
        for score in self.objects:
            if (score.video, score.object_id) == (video, object_id):
                return score
        raise EvaluationError(f"No object {object_id} of video {video!r} was scored.")

    def to_dict(self, *, frames: bool = False) -> dict[str, Any]:
        """Return plain data; with ``frames``, what :meth:`from_dict` needs to make all of it again."""

        def described(mean: MeanScore) -> dict[str, Any]:
            return {**asdict(mean), "jf": mean.jf}

        data: dict[str, Any] = {"protocol": asdict(self.protocol), "overall": described(self.overall)}
        data["videos"] = {v: described(self.video(v)) for v in self.videos}
        if self.subsets:
            data["subsets"] = {s: described(self.subset(s)) for s in self.subsets}
            data["subset_of"] = dict(self.subset_of)
        data["objects"] = [{**asdict(o), "jf": o.jf} for o in self.objects]
        if frames:
            data["frames"] = [
                {"video": video, "object_id": i, "scores": [[t, *score] for t, score in rows.items()]}
                for (video, i), rows in self.frames.items()
            ]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Make again what :meth:`to_dict` described, also after it went through JSON."""
        spacing = data["protocol"]["spacing"]
        protocol = Protocol(**{**data["protocol"], "spacing": tuple(spacing) if spacing is not None else None})
        names = {f.name for f in fields(ObjectScore)}
        rows: list[dict[str, Any]] = [
            {k: math.nan if v is None else v for k, v in row.items() if k in names} for row in data["objects"]
        ]
        objects = tuple(ObjectScore(**row) for row in rows)
        frames = {
            (row["video"], row["object_id"]): {
                t: FrameScore(j, f, bool(there), bool(ours)) for t, j, f, there, ours in row["scores"]
            }
            for row in data.get("frames", [])
        }
        return cls(protocol, objects, frames, data.get("subset_of", {}))

    def to_json(self, *, frames: bool = False) -> str:
        """Return JSON; what is not a number becomes null."""
        return json.dumps(finite(self.to_dict(frames=frames)), indent=1)

    def write_csv(self, path: Any) -> None:
        """Write one row an object; see :func:`napari_sam2s.evaluation.report.write_report` for all of it."""
        from napari_sam2s.evaluation.report import write_objects

        write_objects(self, path)

    def __str__(self) -> str:
        """Return a Markdown table, the protocol below it."""
        from napari_sam2s.evaluation.report import markdown

        return markdown(self)


def merge(evaluations: Iterable[Evaluation]) -> Evaluation:
    """Put the scores of several videos together; they must be of one protocol and of different videos."""
    parts = list(evaluations)
    protocols = {part.protocol for part in parts}
    if len(protocols) != 1:
        raise EvaluationError(f"Scores of {len(protocols)} protocols cannot be put together; score again under one.")
    videos = [video for part in parts for video in part.videos]
    if len(set(videos)) < len(videos):
        raise EvaluationError("Scores of the same video came twice; give each video a name of its own.")
    return Evaluation(
        parts[0].protocol,
        tuple(o for part in parts for o in part.objects),
        {key: rows for part in parts for key, rows in part.frames.items()},
        {video: subset for part in parts for video, subset in part.subset_of.items()},
    )


def finite(value: Any) -> Any:
    """Return plain data with ``None`` for what is not a number."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
