"""Scores as tables: Markdown for people, CSV for other programs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_sam2s.evaluation.scores import MeanScore, ObjectScore, Protocol
from napari_sam2s.formats.atomic_write import whole_file
from napari_sam2s.formats.text_cells import csv_cell, csv_place
from napari_sam2s.masklets.validation import markdown_cell


def objects_table(objects: Iterable[ObjectScore], whole: MeanScore, protocol: Protocol) -> str:
    """Return a row for each object and one for all of them."""
    surface = protocol.surface is not None
    heads = ["video", "object", "J&F", "J", "F", "Dice", *_surface_heads(protocol), "frames"]
    rows = [[o.video, object_name(o), *_percents(o), *(_distances(o) if surface else []), str(o.frames)] for o in objects]
    rows.append(["**all**", str(whole.objects), *_percents(whole), *(_distances(whole) if surface else []), ""])
    return table(heads, rows)


def means_table(title: str, means: Mapping[str, MeanScore], protocol: Protocol) -> str:
    """Return a row for each mean by its name."""
    surface = protocol.surface is not None
    heads = [title, "objects", "J&F", "J", "F", "Dice", *_surface_heads(protocol)]
    return table(heads, [[n, str(m.objects), *_percents(m), *(_distances(m) if surface else [])] for n, m in means.items()])


def over_time_table(objects: Iterable[ObjectScore]) -> list[str]:
    """Return a table of what happened to each object over time, of those to which anything did; none if nothing did."""
    heads = ["video", "object", "longest lost", "returns found", "frames to find", "mask while absent", "id switches"]
    rows = [
        [
            o.video,
            object_name(o),
            str(o.longest_lost),
            f"{o.reidentified} of {o.returns}",
            _number(o.reidentified_after),
            f"{o.false_presence} of {o.absent_frames}",
            str(o.id_switches),
        ]
        for o in objects
        if o.longest_lost or o.returns or o.absent_frames or o.id_switches
    ]
    return [table(heads, rows)] if rows else []


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    shown = ([markdown_cell(cell) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *shown))


def object_name(score: ObjectScore) -> str:
    """Return an object's id, and its class if it has one."""
    return f"{score.object_id} ({score.class_name})" if score.class_name else str(score.object_id)


def _surface_heads(protocol: Protocol) -> list[str]:
    return [] if protocol.surface is None else [f"HD95 ({protocol.unit})", f"NSD at {protocol.surface:g} {protocol.unit}"]


def _percents(score: ObjectScore | MeanScore) -> list[str]:
    return [f"{100 * value:.1f}" for value in (score.jf, score.j, score.f, score.dice)]


def _distances(score: ObjectScore | MeanScore) -> list[str]:
    left_out = f" ({score.hd95_undefined} left out)" if isinstance(score, ObjectScore) and score.hd95_undefined else ""
    return [_number(score.hd95) + left_out, f"{100 * score.nsd:.1f}"]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def write_objects(objects: Iterable[ObjectScore], subset_of: Mapping[str, str], path: Path | str) -> None:
    """Write a CSV with one row an object."""
    names = [f.name for f in fields(ObjectScore)]
    rows = ([*(getattr(o, n) for n in names), o.jf, subset_of.get(o.video, "")] for o in objects)
    write_csv(path, [*names, "jf", "subset"], rows)


def write_csv(path: Path | str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV; see :func:`napari_sam2s.formats.text_cells.csv_place`."""
    with whole_file(csv_place(path)) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows([csv_cell(cell) for cell in row] for row in rows)
