"""``napari-sam2s import``: masks of other tools as a project."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from napari_sam2s.cli.terminal import progress_bar, tell_warnings
from napari_sam2s.formats.registry import FORMATS
from napari_sam2s.wording import counted

PHASES = "phases"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a file or a folder in that format")
    readable = [known for known in FORMATS.values() if known.read is not None]
    titles = "; ".join(f"{known.name}: {known.title}" for known in readable)
    parser.add_argument(
        "--format", required=True, choices=[*(known.name for known in readable), PHASES], help=f"{titles}; {PHASES}: a table"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="PROJECT",
        help="a new project, such as case.sam2s; phases are added to one that exists",
    )
    parser.add_argument("--video", help="the video that the masks or phases belong to")
    parser.add_argument("--fps", type=float, help="frame rate of a table with one phase per frame, if not the video's")
    parser.add_argument("--name", help="name of the video, if SRC has several")
    parser.add_argument(
        "--as",
        dest="kind",
        default="masks",
        choices=("masks", "prompts"),
        help="masks: import all masks; prompts: use the first mask of each object as its prompt (default: masks)",
    )


def run(args: argparse.Namespace) -> int:
    """Import."""
    from napari_sam2s.errors import FormatError
    from napari_sam2s.formats.import_project import import_project
    from napari_sam2s.video import open_video

    with ExitStack() as opened:
        video = None if args.video is None else opened.enter_context(open_video(args.video))
        if video is not None:
            tell_warnings("import", video)
        if args.format == PHASES:
            return _import_phases(args, video)
        if args.fps is not None:
            raise FormatError("--fps is for tables of phases only: leave it out.")
        show = opened.enter_context(progress_bar("import", "frame"))
        made = import_project(args.source, args.format, args.out, video, name=args.name, kind=args.kind, progress=show)
    print(made)  # below the bar
    return 0


def _import_phases(args: argparse.Namespace, video: Any) -> int:
    from napari_sam2s.errors import FormatError
    from napari_sam2s.formats.phase_import import import_phases
    from napari_sam2s.masklets import Project
    from napari_sam2s.masklets.project_draft import project_draft

    if args.out.exists():
        with Project.open(args.out) as project:
            if video is not None:
                project.video.check(video)
            added = import_phases(project, args.source, video=video, fps=args.fps)
    elif video is None:
        raise FormatError(f"There is no project {args.out}: give --video to make it.")
    else:
        with project_draft(args.out) as draft, Project.create(draft, video) as project:
            added = import_phases(project, args.source, video=video, fps=args.fps)
    print(f"{args.out}: {counted(len(added), 'phase')}")
    return 0
