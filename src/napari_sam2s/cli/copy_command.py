"""``napari-sam2s copy``: a project, whole, also while it is open elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("copy", help="copy a project, also while it is open elsewhere")
    parser.add_argument("project", type=Path)
    parser.add_argument("target", type=Path, help="a new file, or a folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Copy it."""
    from napari_sam2s.masklets.copies import copy_project

    print(copy_project(args.project, args.target))
    return 0
