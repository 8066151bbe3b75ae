"""``napari-sam2s measure``: numbers of a project's masks as a table."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.terminal import progress_bar, project_video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "project")
    parser.add_argument("--out", type=Path, required=True, help="a new .csv or .parquet file")
    tables = {
        "frames": "one row for each object and frame",
        "objects": "one row for each object",
        "pairs": "one row for each pair",
    }
    what = "; ".join(f"{name}: {title}" for name, title in tables.items())
    parser.add_argument("--table", default="frames", choices=tuple(tables), help=f"{what} (default: frames)")
    parser.add_argument("--objects", type=int, nargs="+", metavar="ID", help="measure only these objects (default: all)")
    add_shared(parser, "--video")
    parser.add_argument("--no-video", action="store_true", help="do not open the video; there are no intensities then")
    parser.add_argument("--pixel-size", metavar="Y[,X]", help="size of a pixel, if the video does not state it")
    parser.add_argument("--unit", default="", help="unit of the pixel size, such as micrometer")
    parser.add_argument("--no-shape", action="store_true", help="leave out perimeter, axes and solidity: several times faster")
    parser.add_argument(
        "--idle-speed",
        type=float,
        default=10.0,
        metavar="PIXELS",
        help="speed below which an object is idle, in pixels per second (default: 10)",
    )
    add_shared(parser, "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Measure."""
    from napari_sam2s.errors import FormatError
    from napari_sam2s.formats.atomic_write import replacing
    from napari_sam2s.formats.measurements import read_pixel_size
    from napari_sam2s.masklets import Project
    from napari_sam2s.measurements import measure, write_table
    from napari_sam2s.measurements.table_files import check_target

    size = None if args.pixel_size is None else read_pixel_size(args.pixel_size)
    with ExitStack() as opened:
        opened.enter_context(replacing(args.overwrite))
        check_target(args.out)  # now, and not after an hour
        project = opened.enter_context(Project.open(args.project, mode="r"))
        if not project.frames:
            raise FormatError(f"{args.project} has no masks to measure.")
        video = None if args.no_video else opened.enter_context(project_video(project, args.video, "measure"))
        show = opened.enter_context(progress_bar("measure", "frame"))
        table = measure(
            project,
            video,
            args.table,
            objects=args.objects,
            pixel_size=size,
            unit=args.unit,
            shape=not args.no_shape,
            idle_speed=args.idle_speed,
            progress=show,
        )
        made = write_table(table, args.out)
    print(made)
    return 0
