"""The report of an evaluation: a folder with a page, tables for other programs, and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.report_pictures import draw_track, worst_frames
from napari_sam2s.evaluation.result import Evaluation
from napari_sam2s.evaluation.score_tables import object_name, write_csv, write_objects
from napari_sam2s.formats.atomic_write import whole_folder
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.validation import markdown_cell

MOST_LANES = 12  # objects in one picture over time


def _write_frames(scores: Evaluation, path: Path | str) -> None:
    """Write a CSV with one row an object and frame."""
    rows = (
        [video, i, t, s.j, s.f, (s.j + s.f) / 2, int(s.present), int(s.predicted)]
        for (video, i), frames in scores.frames.items()
        for t, s in frames.items()
    )
    write_csv(path, ["video", "object_id", "frame", "j", "f", "jf", "present", "predicted"], rows)


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
    with whole_folder(folder) as part:
        (part / "pictures").mkdir()
        (part / "scores.json").write_text(scores.to_json(frames=True), encoding="utf-8")
        write_objects(scores.objects, scores.subset_of, part / "objects.csv")
        _write_frames(scores, part / "frames.csv")
        pages = ["# Evaluation", str(scores)]
        for n, name in enumerate(scores.videos):
            pages.append(f"## {markdown_cell(name)}")
            lanes = {object_name(o): scores.frames[name, o.object_id] for o in scores.objects if o.video == name}
            path = part / "pictures" / f"{n:03d}-over-time.png"
            draw_track(dict(list(lanes.items())[:MOST_LANES])).save(path)
            pages.append(
                f"J&F over time; grey where the object is absent, red where a mask is wrong about it.\n\n![]({_link(path)})"
            )
            if prediction is None or truth is None or not worst:
                continue
            for t, jf, picture in worst_frames(scores, name, prediction[name], truth[name], (videos or {}).get(name), worst):
                path = part / "pictures" / f"{n:03d}-frame-{t:06d}.jpg"
                picture.save(path, quality=90)
                pages.append(f"Frame {t}, J&F {100 * jf:.1f}: masks tinted, the truth outlined in white.\n\n![]({_link(path)})")
        (part / "report.md").write_text("\n\n".join(pages) + "\n", encoding="utf-8")
    return folder / "report.md"


def check_report_folder(folder: Path, inputs: Iterable[Path | str] = ()) -> None:
    """Raise an :class:`EvaluationError` if the folder is not empty, or inside of an input."""
    for path in map(Path, inputs):
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            raise EvaluationError(f"{folder} lies in {path}, which was scored: choose a folder elsewhere for the report.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EvaluationError(f"{folder} exists already and is not empty: choose another folder for the report.")


def _link(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
