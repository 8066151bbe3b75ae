"""``napari-sam2s verify``: proof that the frames of a video are exact, as a page."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.terminal import progress_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "video", "--stream")
    parser.add_argument("--samples", type=int, default=200, metavar="N", help="number of random frames to check (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choice (default: 0)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report to this Markdown file as well")
    add_shared(parser, "--json", "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Verify; the exit code is 1 when something differs."""
    from napari_sam2s.errors import FormatError
    from napari_sam2s.formats.atomic_write import check_writable, refuse_taken, replacing, whole_file
    from napari_sam2s.video.verification import verify

    if args.report is not None:  # now, and not after the work
        with replacing(args.overwrite):
            refuse_taken(args.report)
        if not args.report.absolute().parent.is_dir():
            raise FormatError(f"{args.report} is in a folder that does not exist: choose another one.")
        check_writable(args.report.parent)
    with progress_bar("verify", "frame", quiet=args.json) as show:
        found = verify(args.video, stream=args.stream, samples=args.samples, seed=args.seed, progress=show)
    if args.report is not None:
        with whole_file(args.report) as part:
            part.write_text(found.page(), encoding="utf-8")
    print(json.dumps({"holds": found.holds, **asdict(found)}, indent=1) if args.json else found.page(), end="")
    return 0 if found.holds else 1
