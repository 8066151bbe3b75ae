"""``napari-sam2s copy``: a project, whole, also while it is open elsewhere; or what can be read of a damaged one."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.errors import ProjectError
from napari_sam2s.wording import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "project")
    parser.add_argument("target", type=Path, help="a new file, or a folder")
    parser.add_argument(
        "--salvage", action="store_true", help="copy everything that can be read of a damaged project; the damaged file stays"
    )
    parser.add_argument(
        "--strip",
        action="store_true",
        help="leave out paths, files of models, times of day, removed objects, undo history and the memory of runs",
    )


def run(args: argparse.Namespace) -> int:
    """Copy it."""
    from napari_sam2s.masklets.copies import copy_project
    from napari_sam2s.masklets.privacy import copy_stripped
    from napari_sam2s.masklets.salvage import salvage_project

    if args.strip and args.salvage:
        raise ProjectError(
            "--strip and --salvage do not go together: salvage the project first, then copy the result with --strip."
        )
    if not args.salvage:
        print((copy_stripped if args.strip else copy_project)(args.project, args.target))
        return 0
    made, damage = salvage_project(args.project, args.target)
    print(made)
    print(
        f"{counted(damage.masks, 'mask')} of {counted(len(damage.names), 'object')} {'was' if damage.masks == 1 else 'were'}"
        " saved."
    )
    for text in damage.parts.values():
        print(f"Left out: {text}")
    if damage.lost:
        print(f"These masks could not be read. Track or paint them again: {damage.lost_text}.")
    return 0
