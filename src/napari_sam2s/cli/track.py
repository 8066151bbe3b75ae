"""``napari-sam2s track``: prompts in, masks out."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.cli.prompts import add_options, read_prompts
from napari_sam2s.errors import FormatError, PromptError

if TYPE_CHECKING:
    from napari_sam2s.masklets import Project
    from napari_sam2s.model.speed import Mode
    from napari_sam2s.tracking import Tracker

PROJECT_ENDING = ".sam2s"


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("track", help="follow objects through a video")
    parser.add_argument("video", help="a file, a folder of pictures, a TIFF or a zarr")
    add_options(parser)
    parser.add_argument("--model", default="sam2s-nano", help="a name of `napari-sam2s models`, or a checkpoint")
    parser.add_argument("--memory", default="divemem", choices=("divemem", "vanilla"), help="memory policy (divemem)")
    parser.add_argument("--image-size", type=int, help="side of the network's input, a multiple of 32")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--start", type=int, help="first frame (the first prompted one)")
    parser.add_argument("--stop", type=int, help="frame to stop before (the end)")
    parser.add_argument("--direction", default="forward", choices=("forward", "backward", "both"))
    parser.add_argument("--rate", type=float, help="frames per second to track at; those between are filled (every frame)")
    parser.add_argument("--fps", type=float, help="frames per second of pictures and arrays, which do not know it")
    parser.add_argument("--fast", action="store_true", help="fast mode: less work for a slightly different result")
    parser.add_argument(
        "--out", type=Path, required=True, help=f"a folder for PNGs and scores, or a new project ({PROJECT_ENDING})"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Track."""
    prompts = read_prompts(args)
    if not prompts:
        raise PromptError("There is nothing to follow: give --point, --box or --mask.")
    if args.out.suffix != PROJECT_ENDING and args.out.exists() and any(args.out.iterdir() if args.out.is_dir() else [args.out]):
        raise FormatError(f"{args.out} exists already and is not empty: choose another folder.")

    from napari_sam2s.model import load_model
    from napari_sam2s.tracking import Tracker
    from napari_sam2s.tracking.whole import Masks
    from napari_sam2s.video import open_video

    ids = sorted({p.object_id for p in prompts})
    with open_video(args.video, fps=args.fps) as video:
        mode: Mode = "fast" if args.fast else "exact"
        model = load_model(args.model, device=args.device, image_size=args.image_size, mode=mode)
        if args.out.suffix == PROJECT_ENDING:
            return _into_project(args, video, model, prompts, ids)
        from napari_sam2s.masklets import Object

        results = Masks((video.shape[0], video.shape[1], video.shape[2]), tuple(Object(i, f"object {i}") for i in ids))
        tracker = Tracker(model, video, results, args.memory)
        give(tracker, prompts)
        _propagate(tracker, args)
        write_folder(results, args.out, video.name)
    print(args.out)
    return 0


def _into_project(args: argparse.Namespace, video: Any, model: Any, prompts: list[Any], ids: list[int]) -> int:
    from napari_sam2s.masklets import Project
    from napari_sam2s.tracking import Tracker

    if ids != list(range(1, len(ids) + 1)):
        raise PromptError(f"A new project numbers its objects 1 to {len(ids)}; the prompts name {ids}.")
    with Project.create(args.out, video) as project:
        for i in ids:
            project.add_object(f"object {i}")
        tracker = Tracker(model, video, project, args.memory)
        give(tracker, prompts)
        for direction in ("forward", "backward") if args.direction == "both" else (args.direction,):
            follow(tracker, project, args.start, args.stop if args.direction != "both" else None, direction, args.rate)
    print(args.out)
    return 0


def give(tracker: Tracker, prompts: list[Any]) -> None:
    """Prompt a tracker."""
    for p in prompts:
        tracker.prompt(p.object_id, p.frame, points=p.points or None, labels=p.labels or None, box=p.box, mask=p.mask)


def follow(
    tracker: Tracker, project: Project, start: int | None, stop: int | None, direction: Any, rate: float | None = None
) -> None:
    """Propagate into a project with a progress bar; when interrupted, the run can be resumed."""
    from napari_sam2s.tracking import ProjectRun

    show(ProjectRun(tracker, start, stop, direction, rate=rate))


def show(run: Any) -> None:
    """Run a :class:`ProjectRun` with a progress bar."""
    from tqdm import tqdm

    try:
        for _ in tqdm(run, total=len(run), unit="frame", desc=f"tracking {run.direction}"):
            pass
    except KeyboardInterrupt:
        run.pause()
        print(f"paused; go on with: napari-sam2s resume {run.project.path}")
        raise


def _propagate(tracker: Tracker, args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from napari_sam2s.tracking.whole import count_frames

    total = count_frames(tracker, args.start, args.stop, args.direction)
    frames = tracker.propagate(args.start, args.stop, args.direction, rate=args.rate)
    for _ in tqdm(frames, total=total, unit="frame", desc="tracking"):
        pass


def write_folder(results: Any, folder: Path, name: str) -> None:
    """Write palette PNGs, ``meta.json`` and ``scores.csv``."""
    from napari_sam2s.formats import write_davis

    write_davis(results, folder, name)
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "object", "area", "iou", "object_score", "class", "class_score"])
        for frame in results.frames:
            masks, scores = results.masks(frame), results.scores(frame)
            for i in sorted(masks):
                s = scores.get(i)
                best = max(s.class_scores.items(), key=lambda item: item[1]) if s and s.class_scores else ("", "")
                known = (f"{s.iou:.4f}", f"{s.object_score:.3f}") if s else ("", "")
                writer.writerow([frame, i, int(masks[i].sum()), *known, best[0], f"{best[1]:.3f}" if best[0] else ""])
