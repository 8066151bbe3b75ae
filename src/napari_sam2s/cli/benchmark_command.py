"""``napari-sam2s benchmark``: the paper's table, from the data that one has."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.cli.common_options import PROMPTS, add_shared
from napari_sam2s.errors import EvaluationError, Sam2sError, TrackingError

if TYPE_CHECKING:
    from napari_sam2s.evaluation.benchmark import Job, Setting

SCHEDULER_SECONDS = 10  # to wait for a dask scheduler's answer


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


def work(
    jobs: list[Job], *, device: str = "auto", processes: int = 1, scheduler: str | None = None, again: bool = False
) -> list[tuple[Job, str]]:
    """Do the jobs whose results are missing; return those that failed, and why."""
    from tqdm import tqdm

    from napari_sam2s.evaluation.benchmark import finished, save, settings_of

    expected = {setting: _facts(setting, device) for setting in {job.setting for job in jobs}}
    todo = [job for job in jobs if not finished(job, settings_of(job, expected[job.setting]), again=again)]
    failed: list[tuple[Job, str]] = []
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), unit="video", desc="benchmark") as bar:
        for job, result in _results(todo, device, processes, scheduler, bar.set_postfix_str):
            if isinstance(result, Sam2sError):
                failed.append((job, str(result)))
            else:
                save(job, result)
            bar.update()
    return failed


Result = tuple["Job", "dict[str, Any] | Sam2sError"]


def _results(
    jobs: list[Job], device: str, processes: int, scheduler: str | None, tell: Callable[[str], None]
) -> Iterator[Result]:
    """Yield each job with its result or its error, as they come."""
    if scheduler is not None:
        yield from _on_cluster(jobs, device, scheduler)
    elif processes > 1 and len(jobs) > 1:
        yield from _in_processes(jobs, device, min(processes, len(jobs)))
    else:
        for job in jobs:
            name = f"{job.source.subset}/{job.source.name}"

            def progress(done: int, total: int, name: str = name) -> None:
                if done % 25 == 0 or done == total:
                    tell(f"{name}: {done} of {total} frames")

            yield do(job, device, progress)


def _in_processes(jobs: list[Job], device: str, processes: int) -> Iterator[Result]:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    threads = max((os.cpu_count() or 1) // processes, 1)
    with ProcessPoolExecutor(processes, get_context("spawn"), _share_cores, (threads,)) as pool:
        futures = [pool.submit(do, job, device) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:  # when interrupted, what was begun ends, and nothing else begins
            pool.shutdown(wait=False, cancel_futures=True)


def _share_cores(threads: int) -> None:
    """Say how many threads torch may use; it is imported in this process only later."""
    os.environ["OMP_NUM_THREADS"] = str(threads)


def _on_cluster(jobs: list[Job], device: str, address: str) -> Iterator[Result]:
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout=SCHEDULER_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise TrackingError(f"No dask scheduler answers at {address!r} ({error}).") from error
    with client:
        futures = [client.submit(do, job, device, pure=False) for job in jobs]
        for future in as_completed(futures):
            yield future.result()


def do(job: Job, device: str, progress: Callable[[int, int], None] | None = None) -> Result:
    """Do one job, here."""
    from napari_sam2s.evaluation.benchmark import run_video
    from napari_sam2s.tracking import Tracker

    setting = job.setting
    try:
        model = _load(setting.model, device, setting.image_size, setting.strict)
        return job, run_video(job, lambda video: Tracker(model, video, None, setting.memory), progress)
    except Sam2sError as error:
        return job, error


@lru_cache(maxsize=1)
def _load(name: str, device: str, image_size: int | None, strict: bool) -> Any:
    from napari_sam2s.model import load_model

    return load_model(name, device=device, image_size=image_size, strict=strict)


def _facts(setting: Setting, device: str) -> dict[str, Any]:
    """Return what a tracker of this setting says its results depend on."""
    import numpy as np

    from napari_sam2s.tracking import Tracker

    model = _load(setting.model, device, setting.image_size, setting.strict)
    return Tracker(model, np.zeros((1, 8, 8, 3), np.uint8), None, setting.memory).describe()


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
