"""The result of an evaluation: the scores of all objects, their means, and the protocol they were made under."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.score_tables import means_table, objects_table, over_time_table, write_objects
from napari_sam2s.evaluation.scores import FrameScore, MeanScore, ObjectScore, Protocol, finite, mean_score

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
        """Write one row an object; see :func:`napari_sam2s.evaluation.write_report` for all of it."""
        write_objects(self.objects, self.subset_of, path)

    def __str__(self) -> str:
        """Return the table of objects, of videos, classes and subsets where there are several, and the protocol below."""
        parts = [objects_table(self.objects, self.overall, self.protocol)]
        for title, names, mean in (
            ("video", self.videos, self.video),
            ("class", self.classes, self.of_class),
            ("subset", self.subsets, self.subset),
        ):
            if len(names) > 1:
                parts.append(means_table(title, {name: mean(name) for name in names}, self.protocol))
        return "\n\n".join([*parts, *over_time_table(self.objects), f"Protocol: {self.protocol}."])


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
