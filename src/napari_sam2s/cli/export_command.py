"""``napari-sam2s export``: a project in another format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("export", help="write a project's masks in another format")
    parser.add_argument("project", type=Path)
    parser.add_argument("out", type=Path, help="a folder; for overlay a file such as overlay.mp4")
    parser.add_argument("--format", default="davis", choices=("davis", "coco", "csv", "sav", "ctc", "ome-zarr", "overlay"))
    parser.add_argument("--video", help="where the video is now, if it has moved (for overlay)")
    parser.add_argument("--pixel-size", metavar="Y[,X]", help="size of a pixel, for areas in physical units (for csv)")
    parser.add_argument("--unit", default="", help="of the pixel size, such as micrometer (for csv)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export."""
    from napari_sam2s.errors import ProjectError
    from napari_sam2s.formats import write_overlay
    from napari_sam2s.masklets import Project
    from napari_sam2s.video import open_video

    with Project.open(args.project, mode="r") as project:
        if args.format != "overlay":
            print(project.export(args.out, args.format, **_options(args)))
            return 0
        source = args.video or project.video_path
        if source is None or not Path(source).exists():
            raise ProjectError(f"The video {source} of {args.project} is gone: say where it is with --video.")
        with open_video(source) as video:
            project.check_video(video)
            print(write_overlay(video, project, args.out))
    return 0


def _options(args: argparse.Namespace) -> dict[str, Any]:
    from napari_sam2s.errors import FormatError

    if args.pixel_size is None:
        return {}
    try:
        sides = [float(side) for side in args.pixel_size.split(",")]
    except ValueError as error:
        raise FormatError(f"--pixel-size {args.pixel_size} is not one or two numbers, such as 0.5 or 0.5,0.4.") from error
    return {"pixel_size": (sides[0], sides[-1]) if len(sides) <= 2 else tuple(sides), "unit": args.unit}
