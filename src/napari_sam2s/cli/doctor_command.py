"""``napari-sam2s doctor``: what works here, what does not, and how to mend it; or what of a project is damaged."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.errors import ProjectError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Check Python, Qt, OpenGL, ffmpeg, PyTorch, the engine and the models. With PROJECT, check every page and mask of that "
        "project. The exit code is 1 if something is broken. You can paste the text into an issue: personal paths "
        "are shortened to <folder>/NAME."
    )
    parser.add_argument("project", type=Path, nargs="?", help="check this project instead of the installation")
    parser.add_argument("--paths", action="store_true", help="show all paths in full; do not paste this text into an issue")
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Print what was found."""
    from napari_sam2s.doctor import as_json, as_text, examine, worst
    from napari_sam2s.doctor.findings import INSTALLATION_VERDICTS, PROJECT_VERDICTS
    from napari_sam2s.doctor.project_checks import examine_project

    if args.project is not None and not args.project.is_file():
        raise ProjectError(f"There is no project {args.project}.")
    findings = list(examine() if args.project is None else examine_project(args.project))
    if args.json:
        print(as_json(findings, paths=args.paths))
    else:
        print(as_text(findings, INSTALLATION_VERDICTS if args.project is None else PROJECT_VERDICTS, paths=args.paths))
    return 1 if worst(findings) == "broken" else 0
