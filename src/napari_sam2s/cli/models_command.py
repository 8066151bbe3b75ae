"""``napari-sam2s models``: which models there are, fetch one, check one."""

from __future__ import annotations

import argparse
from typing import Any

from napari_sam2s.cli.terminal import progress_bar


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("models", help="list, download and check models")
    parser.add_argument("action", nargs="?", choices=("list", "get", "verify"), default="list")
    parser.add_argument("name", nargs="?", help="such as sam2.1-base-plus")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, download or verify."""
    from napari_sam2s.errors import ModelError
    from napari_sam2s.model.downloads import DOWNLOADS, download, verify

    if args.action == "list":
        _list()
        return 0
    if args.name not in DOWNLOADS:
        raise ModelError(f"There is no model {args.name!r} to {args.action}: choose one of {', '.join(DOWNLOADS)}.")
    item = DOWNLOADS[args.name]
    if args.action == "verify":
        print(f"{item.name}: SHA-256 {verify(item)}")
        return 0
    with progress_bar(item.name, "B", unit_scale=True) as show:
        print(download(item, show))
    return 0


def _list() -> None:
    from napari_sam2s.model.downloads import DOWNLOADS, weights_folder

    print(f"{'sam2s-nano':18} built in (demo)")
    for item in DOWNLOADS.values():
        there = (weights_folder() / f"{item.name}.pt").is_file()
        print(f"{item.name:18} {item.megabytes:4} MB  {item.licence}  {'downloaded' if there else 'napari-sam2s models get'}")
