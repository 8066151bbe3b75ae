"""``napari-sam2s resume``: an interrupted run, from where it stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("resume", help="resume an interrupted run of a project")
    parser.add_argument("project", type=Path, help="a project file (.sam2s)")
    parser.add_argument("--video", help="path of the video, if it has moved")
    parser.add_argument(
        "--relink", action="store_true", help="accept --video although its content differs (it was encoded again)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Resume."""
    from napari_sam2s.cli.terminal import project_video
    from napari_sam2s.cli.track_command import show
    from napari_sam2s.masklets import Project
    from napari_sam2s.tracking import resumable_run, resume_run, segment_runs

    with Project.open(args.project) as project, project_video(project, args.video, "resume", relink=args.relink) as video:
        if args.relink and resumable_run(project) is None:
            print(f"{args.project} now belongs to {video.path}. There is no interrupted run to resume.")
            return 0
        run = resume_run(project, video, device=args.device)
        show(run)
        for later in segment_runs(run.tracker, run.later):
            show(later)
    print(args.project)
    return 0
