"""``napari-sam2s train``: train or fine-tune a network."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.training.data import Family, Ordered, StepDataset
    from napari_sam2s.training.loop import TrainingRun
    from napari_sam2s.training.validation_run import MakeCases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("config", type=Path, help="a TOML file with the settings, such as configs/finetune.toml")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; if it holds a run, that run is resumed")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        help="a project or a DAVIS folder to train on, for the family `recorded`; repeat for more",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        action="append",
        default=[],
        help="a project or a DAVIS folder to validate on; it must not be among --data; repeat for more",
    )
    add_shared(parser, "--device")
    parser.add_argument("--minutes", type=float, help="stop after this many minutes; run the same command again to resume")
    parser.add_argument("--workers", type=int, default=1, help="number of processes that prepare clips (default: 1)")
    parser.add_argument("--threads", type=int, help="number of threads that PyTorch uses")


def run(args: argparse.Namespace) -> int:
    """Train."""
    train(args)
    return 0


def train(
    args: argparse.Namespace,
    families: Mapping[str, Family] | None = None,
    cases: Mapping[str, MakeCases] | None = None,
    order: Callable[[StepDataset], Iterable[Ordered]] | None = None,
) -> TrainingRun:
    """Train as the command's arguments say; further families, cases and steps may come from outside of this package."""
    import math
    import re
    import sys

    from tqdm import tqdm

    from napari_sam2s.training.setup import start

    _check_numbers(args)
    options = {"recorded": args.data, "threads": args.threads, "validation": args.validation, "device": args.device}
    run, dataset = start(args.config, args.out, families=families, cases=cases, **options)
    finished = run.step >= run.config.steps
    with tqdm(total=None if order else run.config.steps, initial=run.step, unit="step", disable=not run.main) as bar:

        def report(line: str) -> None:
            bar.update(run.step - bar.n)
            bar.set_postfix_str(re.sub(r"^step \d+(/\d+)? ", "", line))  # the bar counts the steps itself

        seconds = args.minutes * 60 if args.minutes else math.inf
        ordered = order(dataset) if order else None
        try:
            run.train(dataset, workers=args.workers, seconds=seconds, ordered=ordered, report=report)
        except KeyboardInterrupt:
            if run.main and (args.out / "last.pt").exists():
                then = "a run --within a time cannot be resumed" if order else "the same command resumes it"
                bar.write(f"Stopped after step {run.step}, which {args.out / 'model.pt'} has; {then}.", file=sys.stderr)
            raise
        bar.update(run.step - bar.n)
    if run.main:
        _tell(run, args.out, finished)
    return run


def _check_numbers(args: argparse.Namespace) -> None:
    from napari_sam2s.errors import TrainingError

    if args.minutes is not None and not args.minutes > 0:
        raise TrainingError(
            f"--minutes {args.minutes:g} leaves no time to train: give more, or leave it out to train to the end."
        )
    if args.workers < 0 or (args.threads is not None and args.threads < 1):
        raise TrainingError("--workers must be at least 0, and --threads at least 1.")


def _tell(run: TrainingRun, out: Path, finished: bool) -> None:
    """Say what there is now."""
    before = "This run is already finished. To train more, choose another folder, or add a stage. "
    best = f", the best in validation {out / 'best.pt'}" if (out / "best.pt").exists() else ""
    curves = f"; {out / 'curves.png'} shows it" if (out / "curves.png").exists() else ""
    print(
        f"{before if finished else ''}{out / 'model.pt'} after {run.step} of {counted(run.config.steps, 'step')}{best}{curves}"
    )
