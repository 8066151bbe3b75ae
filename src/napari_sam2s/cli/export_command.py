"""``napari-sam2s export``: a project in another format."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.terminal import progress_bar, project_video
from napari_sam2s.errors import FormatError
from napari_sam2s.formats.registry import FORMATS, format_by_ending

OPTIONS = {option.name: option for known in FORMATS.values() for option in known.options}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "project")
    parser.add_argument("out", type=Path, help="a new folder, or a file for some formats, such as overlay.mp4")
    titles = "; ".join(f"{known.name}: {known.title}" for known in FORMATS.values())
    parser.add_argument(
        "--format", choices=tuple(FORMATS), help=f"{titles} (default: overlay for OUT.mp4, gif for OUT.gif, else davis)"
    )
    parser.add_argument("--video", help="path of the video, if it has moved (for times, overlay and gif)")
    for option in OPTIONS.values():
        owners = ", ".join(known.name for known in FORMATS.values() if option in known.options)
        parser.add_argument(_flag(option.name), metavar=option.metavar, help=f"{option.help} (for {owners})")
    add_shared(parser, "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Export."""
    from napari_sam2s.masklets import Project

    options = {name: _read(name, getattr(args, name)) for name in OPTIONS if getattr(args, name) is not None}
    chosen = args.format or format_by_ending(args.out)
    with ExitStack() as opened:
        project = opened.enter_context(Project.open(args.project, mode="r"))
        known = project.video.path
        if FORMATS[chosen].needs_video or args.video or (known is not None and known.exists()):
            options["video"] = opened.enter_context(project_video(project, args.video, "export"))
        options["progress"] = opened.enter_context(progress_bar("export", "frame"))
        made = project.export(args.out, chosen, overwrite=args.overwrite, **options)
    print(made)  # below the bar
    return 0


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read(name: str, word: str) -> Any:
    try:
        return OPTIONS[name].read(word)
    except FormatError as error:
        raise FormatError(f"{_flag(name)} {error}") from error
