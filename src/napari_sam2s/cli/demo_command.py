"""``napari-sam2s demo``: the whole of it on built-in data, offline."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from napari_sam2s.cli.common_options import PROMPTS, add_shared
from napari_sam2s.wording import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--out", type=Path, default=Path("napari-sam2s-demo"), help="a new folder for the results (default: napari-sam2s-demo)"
    )
    parser.add_argument("--frames", type=int, default=80, help="number of frames to draw and track (default: 80)")
    parser.add_argument(
        "--prompt", default="mask", choices=PROMPTS, help="how each object is prompted on its first frame (default: mask)"
    )
    add_shared(parser, "--memory")


def run(args: argparse.Namespace) -> int:
    """Make the case, track it, score it, show it."""
    from napari_sam2s.errors import FormatError
    from napari_sam2s.formats.atomic_write import folder_for, refuse_full

    if args.frames < 3:
        raise FormatError(f"--frames {args.frames} is too short to score: take at least 3.")
    refuse_full(args.out)
    with folder_for(args.out):
        _make(args)
    print(f"Look at {args.out / 'masks.png'} and {args.out / 'masks.mp4'}; the project is {args.out / 'case.sam2s'}.")
    return 0


def _make(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from napari_sam2s.evaluation import evaluate
    from napari_sam2s.evaluation.clicks import prompt_first
    from napari_sam2s.formats import contact_sheet, write_davis, write_overlay, write_video
    from napari_sam2s.masklets import Project
    from napari_sam2s.model import load_model
    from napari_sam2s.synthetic.samples import demo_case
    from napari_sam2s.tracking import ProjectRun, Tracker
    from napari_sam2s.video import open_video

    case = demo_case(args.frames)
    path = write_video((case[t] for t in tqdm(range(len(case)), unit="frame", desc="making the case")), args.out / "case.mp4")
    write_davis(case, args.out / "truth", "case")
    model = load_model()
    with open_video(path) as video, Project.create(args.out / "case.sam2s", video) as project:
        tracker = Tracker(model, video, project, args.memory)
        for known in case.objects:
            added = project.add_object(known.name, known.class_name)
            prompt_first(tracker, added.id, 0, case.masks(0)[known.id], args.prompt)
        started = time.perf_counter()
        propagation = ProjectRun(tracker)
        for _ in tqdm(propagation, total=len(propagation), unit="frame", desc="tracking"):
            pass
        seconds = time.perf_counter() - started
        scores = evaluate(project, case, skip="prompt")
        print(scores)
        print(
            f"\n{counted(len(case), 'frame')}, {counted(len(case.objects), 'object')}, {len(case) / seconds:.1f} frames per"
            " second."
        )
        contact_sheet(video, project).save(args.out / "masks.png")
        write_overlay(video, project, args.out / "masks.mp4")
