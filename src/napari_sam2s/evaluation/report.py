"""Scores for people and for other programs: Markdown, CSV, JSON, and the folder that holds all of it with pictures."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.pictures import draw_track, worst_frames
from napari_sam2s.evaluation.scores import Evaluation, MeanScore, ObjectScore
from napari_sam2s.masklets.protocol import Masklets

MOST_LANES = 12  # objects in one picture over time


def markdown(scores: Evaluation) -> str:
    """Return the table of objects, of videos, classes and subsets where there are several, and the protocol below."""
    parts = [_objects_table(scores)]
    for title, names, mean in (
        ("video", scores.videos, scores.video),
        ("class", scores.classes, scores.of_class),
        ("subset", scores.subsets, scores.subset),
    ):
        if len(names) > 1:
            parts.append(_means_table(scores, title, [(name, mean(name)) for name in names]))
    over_time = _over_time_table(scores)
    return "\n\n".join([*parts, *([over_time] if over_time else []), f"Protocol: {scores.protocol}."])


def _objects_table(scores: Evaluation) -> str:
    surface = scores.protocol.surface is not None
    heads = ["video", "object", "J&F", "J", "F", "Dice", *_surface_heads(scores), "frames"]
    rows = [[o.video, _named(o), *_percents(o), *(_distances(o) if surface else []), str(o.frames)] for o in scores.objects]
    whole = scores.overall
    rows.append(["**all**", str(whole.objects), *_percents(whole), *(_distances(whole) if surface else []), ""])
    return table(heads, rows)


def _means_table(scores: Evaluation, title: str, means: Iterable[tuple[str, MeanScore]]) -> str:
    surface = scores.protocol.surface is not None
    heads = [title, "objects", "J&F", "J", "F", "Dice", *_surface_heads(scores)]
    return table(heads, [[n, str(m.objects), *_percents(m), *(_distances(m) if surface else [])] for n, m in means])


def _over_time_table(scores: Evaluation) -> str:
    """Return what happened to each object over time, of those to which anything did."""
    heads = ["video", "object", "longest lost", "returns found", "frames to find", "mask while absent", "id switches"]
    rows = [
        [
            o.video,
            _named(o),
            str(o.longest_lost),
            f"{o.reidentified} of {o.returns}",
            _number(o.reidentified_after),
            f"{o.false_presence} of {o.absent_frames}",
            str(o.id_switches),
        ]
        for o in scores.objects
        if o.longest_lost or o.returns or o.absent_frames or o.id_switches
    ]
    return table(heads, rows) if rows else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))


def _named(score: ObjectScore) -> str:
    return f"{score.object_id} ({score.class_name})" if score.class_name else str(score.object_id)


def _surface_heads(scores: Evaluation) -> list[str]:
    protocol = scores.protocol
    return [] if protocol.surface is None else [f"HD95 ({protocol.unit})", f"NSD at {protocol.surface:g} {protocol.unit}"]


def _percents(score: ObjectScore | MeanScore) -> list[str]:
    return [f"{100 * value:.1f}" for value in (score.jf, score.j, score.f, score.dice)]


def _distances(score: ObjectScore | MeanScore) -> list[str]:
    left_out = f" ({score.hd95_undefined} left out)" if isinstance(score, ObjectScore) and score.hd95_undefined else ""
    return [_number(score.hd95) + left_out, f"{100 * score.nsd:.1f}"]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def write_objects(scores: Evaluation, path: Path | str) -> None:
    """Write a CSV with one row an object."""
    names = [f.name for f in fields(ObjectScore)]
    rows = ([*(getattr(o, n) for n in names), o.jf, scores.subset_of.get(o.video, "")] for o in scores.objects)
    _write_csv(path, [*names, "jf", "subset"], rows)


def write_frames(scores: Evaluation, path: Path | str) -> None:
    """Write a CSV with one row an object and frame."""
    rows = (
        [video, i, t, s.j, s.f, (s.j + s.f) / 2, int(s.present), int(s.predicted)]
        for (video, i), frames in scores.frames.items()
        for t, s in frames.items()
    )
    _write_csv(path, ["video", "object_id", "frame", "j", "f", "jf", "present", "predicted"], rows)


def _write_csv(path: Path | str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(rows)


def write_report(
    scores: Evaluation,
    folder: Path | str,
    *,
    prediction: Mapping[str, Masklets] | None = None,
    truth: Mapping[str, Masklets] | None = None,
    videos: Mapping[str, Any] | None = None,
    inputs: Iterable[Path | str] = (),
    worst: int = 6,
) -> Path:
    """Write ``scores.json``, ``objects.csv``, ``frames.csv``, ``report.md`` and the pictures it shows; return the last.

    Parameters
    ----------
    folder
        A new or empty folder, which is not inside of what was scored.
    prediction, truth
        Masklets by the names of the videos, for the worst frames as overlays.
    videos
        Frames by the names of the videos; overlays are drawn over black where there are none.
    inputs
        What was scored, which nothing is written into.
    worst
        How many frames of each video to show; 0 for none.

    Raises
    ------
    EvaluationError
        If the folder is not empty, or inside of an input.
    """
    folder = Path(folder)
    check_report_folder(folder, inputs)
    (folder / "pictures").mkdir(parents=True)
    (folder / "scores.json").write_text(scores.to_json(frames=True), encoding="utf-8")
    write_objects(scores, folder / "objects.csv")
    write_frames(scores, folder / "frames.csv")
    pages = ["# Evaluation", markdown(scores)]
    for n, name in enumerate(scores.videos):
        pages.append(f"## {name}")
        lanes = {_named(o): scores.frames[name, o.object_id] for o in scores.objects if o.video == name}
        path = folder / "pictures" / f"{n:03d}-over-time.png"
        draw_track(dict(list(lanes.items())[:MOST_LANES])).save(path)
        pages.append(
            f"J&F over time; grey where the object is absent, red where a mask is wrong about it.\n\n![]({_link(path)})"
        )
        if prediction is None or truth is None or not worst:
            continue
        for t, jf, picture in worst_frames(scores, name, prediction[name], truth[name], (videos or {}).get(name), worst):
            path = folder / "pictures" / f"{n:03d}-frame-{t:06d}.jpg"
            picture.save(path, quality=90)
            pages.append(f"Frame {t}, J&F {100 * jf:.1f}: masks tinted, the truth outlined in white.\n\n![]({_link(path)})")
    page = folder / "report.md"
    page.write_text("\n\n".join(pages) + "\n", encoding="utf-8")
    return page


def check_report_folder(folder: Path, inputs: Iterable[Path | str] = ()) -> None:
    """Raise an :class:`EvaluationError` if the folder is not empty, or inside of an input."""
    for path in map(Path, inputs):
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            raise EvaluationError(f"{folder} lies in {path}, which was scored: choose a folder elsewhere for the report.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EvaluationError(f"{folder} exists already and is not empty: choose another folder for the report.")


def _link(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
