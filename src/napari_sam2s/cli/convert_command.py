"""``napari-sam2s convert``: a source dataset of SA-SV as masklets."""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.terminal import progress_bar
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.datasets.instance_linking import Propagate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a dataset that --list names, such as endovis17")
    parser.add_argument("source", nargs="?", type=Path, metavar="SRC", help="the folder of the download")
    parser.add_argument(
        "target", nargs="?", type=Path, metavar="DST", help="the target folder; each subset becomes a folder in it"
    )
    parser.add_argument("--list", action="store_true", help="list the datasets; with NAME, print everything about one")
    parser.add_argument("--dry-run", action="store_true", help="read everything, write nothing, and print what would be made")
    parser.add_argument("--apply-review", type=Path, metavar="SUBSET", help="apply your answers in SUBSET/review.json")
    parser.add_argument("--no-tracking", action="store_true", help="link objects by overlap only: faster, but more to review")
    parser.add_argument(
        "--model", default="sam2s-nano", help="the model that links objects if the source does not (default: sam2s-nano)"
    )
    add_shared(parser, "--device", "--ignore-differences", "--json")


def run(args: argparse.Namespace) -> int:
    """Convert."""
    from napari_sam2s.datasets import DATASETS, apply_review, convert, find_dataset
    from napari_sam2s.datasets.metadata import STATUS
    from napari_sam2s.errors import DatasetError

    if args.list:
        if args.name is None:
            _list(list(DATASETS.values()), args.json)
        else:
            _describe(find_dataset(args.name), args.json)
        return 0
    if args.apply_review is not None:
        joined, undecided = apply_review(args.apply_review)
        print(f"{counted(joined, 'object')} joined, {counted(undecided, 'link')} undecided")
        return 0
    if args.name is None or args.source is None or (args.target is None and not args.dry_run):
        raise DatasetError("Give NAME, SRC and DST (no DST with --dry-run); `napari-sam2s convert --list` lists the names.")
    dataset = find_dataset(args.name)
    if dataset.status != "verified":
        print(f"{dataset.title}: {STATUS[dataset.status]}. Read as: {dataset.layout}.", file=sys.stderr)
    propagate = None if args.dry_run or args.no_tracking else follow_with(args.model, args.device, strict=args.strict)
    target = None if args.dry_run else args.target
    with progress_bar(dataset.name, "frame", quiet=args.json) as show:
        report = convert(dataset, args.source, target, propagate=propagate, progress=lambda name, n, of: show(n, of, name))
    if args.json:
        print(json.dumps(report.as_json(), indent=1))
        return 0
    print(report)
    for line in report.differences:
        print(f"differs: {line}")
    for line in dataset.doubts:
        print(f"note: {line}")
    for made in report.made:
        if made.uncertain and target is not None:
            print(
                f"review: {counted(made.uncertain, 'uncertain link is', 'uncertain links are')} in"
                f" {target / made.subset.name / 'review.json'}"
            )
    return 0


def follow_with(model: str, device: str, *, strict: bool = True) -> Propagate:
    """Return our tracker as the linker asks for it; the model is loaded when it is first needed."""

    @cache
    def loaded() -> Any:
        from napari_sam2s.model import load_model

        return load_model(model, device=device, strict=strict)

    def propagate(pictures: Any, masks: Any) -> dict[int, Any]:
        """Follow masks from the first picture to the last."""
        import numpy as np

        from napari_sam2s.tracking import Tracker
        from napari_sam2s.tracking.track_video import Masks

        clip = np.stack(pictures)
        results = Masks.for_objects(clip, masks)
        tracker = Tracker(loaded(), clip, results)
        for i, mask in masks.items():
            tracker.prompt(i, 0, mask=mask)
        *_, (_, found) = tracker.propagate(start=0)
        return found

    return propagate


def _list(datasets: list[Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_facts(d) for d in datasets], indent=1))
        return
    print("| name | dataset | subsets | licence | layout |\n|---|---|---|---|---|")
    for d in datasets:
        subsets = ", ".join(f"{s.name} ({s.split})" for s in d.subsets)
        print(f"| {d.name} | {d.title} | {subsets} | {d.licence} | {d.status} |")


def _describe(dataset: Any, as_json: bool) -> None:
    facts = _facts(dataset)
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    for key, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        for n, line in enumerate(lines):
            print(f"{key if not n else '':<12}{line}")


def _facts(dataset: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from napari_sam2s.datasets.metadata import STATUS

    return {
        "name": dataset.name,
        "title": dataset.title,
        "procedure": dataset.procedure,
        "licence": dataset.licence,
        "link": dataset.link,
        "citation": dataset.citation,
        "obtain": dataset.obtain,
        "layout": dataset.layout,
        "status": f"{dataset.status}: {STATUS[dataset.status]}",
        "categories": [f"{i} {c.name}{'' if c.instrument else ' (tissue)'}" for i, c in dataset.categories.items()],
        "subsets": [
            f"{s.name} ({s.split}): "
            + ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in asdict(s.published).items() if v is not None)
            for s in dataset.subsets
        ],
        "notes": list(dataset.doubts),
    }
