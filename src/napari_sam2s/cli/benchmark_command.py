"""``napari-sam2s benchmark``: the paper's table, from the data that one has."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from napari_sam2s.cli.common_options import PROMPTS, add_shared
from napari_sam2s.errors import EvaluationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("root", type=Path, help="a folder of subsets, made by `napari-sam2s convert`")
    parser.add_argument("--subset", action="append", default=[], help="run only this subset; repeat for more (default: all)")
    parser.add_argument(
        "--model", action="append", help="a name that `napari-sam2s models` lists, or a checkpoint file; repeat for more"
    )
    parser.add_argument(
        "--memory", action="append", choices=("divemem", "vanilla"), help="memory policy; repeat for both (default: divemem)"
    )
    parser.add_argument(
        "--prompt",
        action="append",
        choices=PROMPTS,
        help="how each object is prompted on its first frame; repeat for more (default: 3-click)",
    )
    add_shared(parser, "--image-size", "--ignore-differences", "--skip")
    add_shared(parser, "--late", default="own-clip")
    parser.add_argument(
        "--nsd", type=float, metavar="PIXELS", help="compute HD95 too, and NSD at this tolerance, for the reports"
    )
    add_shared(parser, "--device")
    parser.add_argument(
        "--processes", type=int, default=1, help="number of processes on this machine, which share its cores (default: 1)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="use the workers of a dask scheduler; they must see ROOT under the same path"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("benchmark"),
        help="folder for the results (default: benchmark); run the same command again to resume",
    )
    parser.add_argument("--keep-masks", action="store_true", help="write the masks too; the reports then show the worst frames")
    parser.add_argument("--again", action="store_true", help="replace results that were made with other settings")
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Run what is missing, print the tables of all."""
    from napari_sam2s.batching.benchmark_work import work
    from napari_sam2s.evaluation.benchmark import Setting, collect, plan, write_reports
    from napari_sam2s.evaluation.benchmark_page import page
    from napari_sam2s.evaluation.benchmark_videos import find_benchmark_videos
    from napari_sam2s.evaluation.scores import Protocol
    from napari_sam2s.formats.atomic_write import check_writable

    if args.processes < 1:
        raise EvaluationError(f"--processes {args.processes}: there must be at least one.")
    if args.out.resolve().is_relative_to(args.root.resolve()):
        raise EvaluationError(f"{args.out} lies in {args.root}, which is scored: choose a folder elsewhere with --out.")
    videos = find_benchmark_videos(args.root, args.subset)
    models, memories = args.model or ["sam2s-nano"], args.memory or ["divemem"]
    settings = [
        Setting(model, memory, prompt, args.image_size, args.strict)
        for prompt in dict.fromkeys(args.prompt or ["3-click"])
        for model in dict.fromkeys(models)
        for memory in dict.fromkeys(memories)
    ]
    protocol = Protocol(args.skip, "error", 255, args.late, surface=args.nsd)
    jobs = plan(videos, settings, args.out, protocol=protocol, keep_masks=args.keep_masks)
    check_writable(args.out)  # now, and not when the first video is done
    failed = work(jobs, device=args.device, processes=args.processes, scheduler=args.scheduler, again=args.again)
    broken = [job for job, _ in failed]  # which may have results of other settings still
    done = [job for job in jobs if job not in broken]
    outcomes = list(collect(done))
    if outcomes:
        text = page(outcomes, videos=Counter(v.subset for v in videos))
        path = write_reports(done, outcomes, text)
        print(_as_json(outcomes) if args.json else f"{text}\n\n{path}")
    for job, error in failed:
        print(f"{job.source.subset}/{job.source.name} ({job.setting.folder}): {error}", file=sys.stderr)
    return 2 if failed else 0


def _as_json(outcomes: Any) -> str:
    import json

    from napari_sam2s.evaluation.scores import finite

    rows = [
        {
            "model": o.setting.model,
            "memory": o.setting.memory,
            "prompt": o.setting.prompt,
            "fps": o.fps,
            "average": o.average,
            "made_with": dict(o.made_with),
            **o.evaluation.to_dict(),
        }
        for o in outcomes
    ]
    return json.dumps(finite(rows), indent=1)
