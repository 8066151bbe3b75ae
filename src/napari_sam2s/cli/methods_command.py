"""``napari-sam2s methods``: how a project's masks were made, for a paper and to repeat it."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

from napari_sam2s.cli.common_options import add_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "project")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write PROJECT_methods.txt, .bib and .json to this folder")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the paragraph and BibTeX")
    add_shared(parser, "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Print, and write if wanted."""
    from napari_sam2s.formats.atomic_write import replacing, whole_file
    from napari_sam2s.formats.methods_record import methods_paragraph, methods_record
    from napari_sam2s.formats.references import bibtex
    from napari_sam2s.masklets import Project

    with Project.open(args.project, mode="r") as project:
        record = methods_record(project)
        stem = project.path.stem
    texts = {"txt": methods_paragraph(record) + "\n", "bib": bibtex(record), "json": json.dumps(record, indent=1) + "\n"}
    if args.out is not None:
        with ExitStack() as parts:  # all three or none
            parts.enter_context(replacing(args.overwrite))
            for ending, text in texts.items():
                part = parts.enter_context(whole_file(args.out / f"{stem}_methods.{ending}"))
                part.write_text(text, encoding="utf-8")
    print(texts["json"] if args.json else f"{texts['txt']}\n{texts['bib']}", end="")
    return 0
