"""``napari-sam2s show``: what is in a project."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.wording import counted

SPANS = 20  # that are printed of an object


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "project")
    parser.add_argument("--review", action="store_true", help="list the frames where a mistake is likely, worst first")
    parser.add_argument(
        "--private", action="store_true", help="list only what the project says about patients, paths and people"
    )
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Print the project."""
    from napari_sam2s.masklets import Project
    from napari_sam2s.masklets.page_check import page_problems
    from napari_sam2s.masklets.privacy import private_facts

    with Project.open(args.project, mode="r") as project:
        if args.private:
            return _print_private(private_facts(project.store), args)
        facts = describe(project) | {"damage": page_problems(project.store.db, quick=True)}
        if args.review:
            facts["review"] = describe_review(project)
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    gone = "" if facts["video_found"] or facts["video"] is None else " (not there: say where it is with resume --video)"
    print(
        f"{args.project}: {counted(facts['frames'], 'frame')} of {facts['height']} x {facts['width']}, video"
        f" {facts['video']}{gone}"
    )
    if facts["damage"]:
        print(f"  damaged: {facts['damage'][0]}; `napari-sam2s doctor {quoted(args.project)}` says what can be saved, and how")
    for item in facts["objects"]:
        _print_object(item)
    for phase in facts["phases"]:
        last = "not ended" if phase["last_frame"] is None else f"to {phase['last_frame']:7}"
        print(f"  phase {phase['start_frame']:7} {last}  {phase['phase']}")
    for item in facts["runs"]:
        _print_run(item, args.project, latest=item is facts["runs"][-1])
    if args.review:
        review = facts["review"]
        print(
            f"  to review: {counted(len(review['spans']), 'span')}, {counted(review['frames'], 'frame')}, about"
            f" {counted(review['minutes'], 'minute')}"
        )
        for span in review["spans"]:
            who = " and ".join(map(str, span["objects"]))
            print(f"       {span['start']:7} to {span['stop'] - 1:7}  {span['severity']:.2f}  object {who}: {span['text']}")
    return 0


def _print_private(facts: dict[str, Any], args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    print(f"video: {facts['video'] or 'its path is not in the project'}")
    titles = {"names": "names and classes", "removed_names": "old names", "model_files": "files of models"}
    for key, title in (titles | {"models": "other models", "model_classes": "classes of models"}).items():
        print(f"{title}: {', '.join(facts[key]) or 'none'}")
    print(f"times: {facts['first']} to {facts['last']}" if facts["first"] else "times: none")
    print(f"undo history: {counted(facts['steps'], 'step')}")
    if any(facts[key] for key in ("video", "model_files", "first", "steps")):
        command = f"`napari-sam2s copy --strip {args.project} TARGET`"
        print(f"{command} makes a copy without this. Names and classes stay: rename them first.")
    return 0


def _print_object(item: dict[str, Any]) -> None:
    notes = [item["class"]] if item["class"] else []
    notes += ["locked"] if item["locked"] else []
    print(f"  {item['id']:3}  {item['name']}" + (f" ({', '.join(notes)})" if notes else ""))
    scores = item["scores"]
    if item["masks"]:
        made = ", ".join(f"{count} {origin}" for origin, count in item["origins"].items())
        print(f"       {counted(item['masks'], 'mask')} ({made}), mean area {item['mean_area']:.0f} pixels")
    if scores is not None:
        print(
            f"       predicted IoU {scores['iou_mean']:.2f} on average, {scores['iou_min']:.2f} at worst (frame "
            f"{scores['iou_min_frame']}); object score {scores['object_score_mean']:.1f} on average"
        )
    for span in item["presence"][:SPANS]:
        print(f"       {span['start']:7} to {span['stop'] - 1:7}  {span['state']}")
    if len(item["presence"]) > SPANS:
        print(f"       and {counted(len(item['presence']) - SPANS, 'more span')}: --json lists them")


def _print_run(item: dict[str, Any], project: Path, *, latest: bool) -> None:
    print(
        f"  run {item['id']}: {item['model']}, {item['memory']}, {item['direction']}, {item['status']}, frames "
        f"{item['start_frame']} to {item['stop_frame']} (not included), {item['seconds']:.1f} s"
    )
    if item["status"] == "running" and latest:
        hint = f"if no program is working on it, resume it with: napari-sam2s resume {quoted(project)}"
        print(f"         at frame {item['next_frame']}; {hint}")
    if item["status"] in ("paused", "interrupted", "failed"):
        hint = f"resume it with: napari-sam2s resume {quoted(project)}" if latest else "a later run took its place"
        print(f"         stopped at frame {item['next_frame']}; {hint}")


def describe_review(project: Any) -> dict[str, Any]:
    """Return a project's review queue as plain data."""
    review = project.review()
    return {
        "frames": review.frames,
        "minutes": round(review.minutes, 1),
        "spans": [
            {
                "start": s.start,
                "stop": s.stop,
                "objects": list(s.objects),
                "severity": round(s.severity, 3),
                "text": s.text,
                "reasons": [vars(r) for r in s.reasons],
            }
            for s in review
        ],
    }


def describe(project: Any) -> dict[str, Any]:
    """Return a project's facts as plain data."""
    from napari_sam2s.formats.phase_table import facts_of_phases

    frames, height, width = project.shape
    video = project.video.path
    return {
        "frames": frames,
        "height": height,
        "width": width,
        "video": None if video is None else str(video),
        "video_found": video is not None and video.exists(),
        "objects": [_describe_object(project, o) for o in project.objects],
        "phases": facts_of_phases(project),
        "runs": [_describe_run(r) for r in project.runs],
        "history": [name for name, undone in project.history.steps if not undone],
    }


def _describe_object(project: Any, o: Any) -> dict[str, Any]:
    from napari_sam2s.masklets.mask_statistics import ORIGINS

    series = project.masks.series(o.id)
    shown, judged = series.area > 0, np.flatnonzero((series.area > 0) & ~np.isnan(series.iou))
    scores = None
    if len(judged):
        worst = judged[np.argmin(series.iou[judged])]
        scores = {
            "iou_mean": round(float(series.iou[judged].mean()), 4),
            "iou_min": round(float(series.iou[worst]), 4),
            "iou_min_frame": int(series.frames[worst]),
            "object_score_mean": round(float(series.object_score[judged].mean()), 3),
        }
    made = np.bincount(series.origin, minlength=len(ORIGINS))
    guess = project.masks.suggested_class(o.id)
    return {
        "id": o.id,
        "name": o.name,
        "class": o.class_name,
        "suggested_class": None if guess is None else {"name": guess[0], "probability": round(guess[1], 4)},
        "colour": list(o.colour),
        "locked": o.locked,
        "visible": o.visible,
        "masks": int(shown.sum()),
        "mean_area": round(float(series.area[shown].mean()), 1) if shown.any() else None,
        "origins": {name: int(n) for name, n in zip(ORIGINS, made, strict=True) if n},
        "scores": scores,
        "presence": [vars(s) for s in project.masks.presence(o.id) if s.state != "unseen"],
        "prompts": sorted({p.frame for p in project.prompts(o.id)}),
        "confirmed": project.masks.confirmed_frames(o.id),
    }


def _describe_run(r: Any) -> dict[str, Any]:
    facts = ("id", "status", "direction", "start_frame", "next_frame", "stop_frame")
    return {
        **{name: getattr(r, name) for name in facts},
        "model": r.provenance.get("model"),
        "memory": (r.provenance.get("memory") or {}).get("name"),
        "seconds": round(r.seconds, 2),
        "provenance": dict(r.provenance),
    }
