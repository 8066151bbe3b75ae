"""``napari-sam2s resume``: an interrupted run, from where it stopped."""

from __future__ import annotations

import argparse

from napari_sam2s.cli.common_options import add_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "project", "--video")
    parser.add_argument(
        "--relink", action="store_true", help="accept --video although its content differs (it was encoded again)"
    )
    add_shared(parser, "--device")


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
