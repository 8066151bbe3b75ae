"""``napari-sam2s resume``: resume where tracking stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("resume", help="resume the interrupted run of a project")
    parser.add_argument("project", type=Path)
    parser.add_argument("--video", help="where the video is now, if it has moved")
    parser.add_argument("--relink", action="store_true", help="take --video although its content differs (a copy encoded anew)")
    parser.add_argument("--device", default="auto")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Resume."""
    from napari_sam2s.cli.track_command import show, tell_warnings
    from napari_sam2s.errors import ProjectError
    from napari_sam2s.masklets import Project
    from napari_sam2s.tracking import resume_run, segment_runs
    from napari_sam2s.video import open_video

    with Project.open(args.project) as project:
        source = args.video or project.video_path
        if source is None or not Path(source).exists():
            raise ProjectError(f"The video {source} of {args.project} is gone: say where it is with --video.")
        with open_video(source, fps=project.fps) as video:  # which pictures and arrays do not know
            tell_warnings("resume", video)
            if args.relink:
                project.relink(video)
            project.check_video(video)
            run = resume_run(project, video, device=args.device)
            show(run)
            for later in segment_runs(run.tracker, run.later):
                show(later)
    print(args.project)
    return 0
