"""``napari-sam2s doctor``: what works here, what does not, and how to mend it."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this installation",
        description="Check Python, Qt, OpenGL, ffmpeg, torch, the engine and the models. Exit code 1 if something is broken. "
        "The text holds no personal paths, so it can go into an issue.",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found."""
    from napari_sam2s.doctor import as_json, as_text, examine, worst

    findings = list(examine())
    print(as_json(findings) if args.json else as_text(findings))
    return 1 if worst(findings) == "broken" else 0
