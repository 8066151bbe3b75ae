"""The jobs of a benchmark done: here, in processes of this machine, or by the workers of a dask scheduler."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import numpy as np
from tqdm import tqdm

from napari_sam2s.errors import Sam2sError, TrackingError
from napari_sam2s.evaluation.benchmark import Job, Setting, finished, run_video, save, settings_of
from napari_sam2s.wording import counted

SCHEDULER_SECONDS = 10  # to wait for a dask scheduler's answer
Result = tuple[Job, dict[str, Any] | Sam2sError]


def work(
    jobs: list[Job], *, device: str = "auto", processes: int = 1, scheduler: str | None = None, again: bool = False
) -> list[tuple[Job, str]]:
    """Do the jobs whose results are missing; return those that failed, and why."""
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
                    tell(f"{name}: {done} of {counted(total, 'frame')}")

            yield do(job, device, progress)


def _in_processes(jobs: list[Job], device: str, processes: int) -> Iterator[Result]:
    threads = max((os.cpu_count() or 1) // processes, 1)
    with ProcessPoolExecutor(processes, get_context("spawn"), _share_cores, (threads,)) as pool:
        futures = [pool.submit(do, job, device) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:  # when interrupted, what was begun ends, and nothing else begins
            pool.shutdown(wait=False, cancel_futures=True)


def _share_cores(threads: int) -> None:
    """Say how many threads torch may use; it is imported in this process only later, when it has something to do."""
    os.environ["OMP_NUM_THREADS"] = str(threads)


def _on_cluster(jobs: list[Job], device: str, address: str) -> Iterator[Result]:
    from distributed import Client
    from distributed import as_completed as as_computed

    try:
        client = Client(address, timeout=SCHEDULER_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise TrackingError(f"No dask scheduler answers at {address!r} ({error}).") from error
    with client:
        futures = [client.submit(do, job, device, pure=False) for job in jobs]
        for future in as_computed(futures):
            yield future.result()


def do(job: Job, device: str, progress: Callable[[int, int], None] | None = None) -> Result:
    """Do one job, here."""
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
    from napari_sam2s.tracking import Tracker

    model = _load(setting.model, device, setting.image_size, setting.strict)
    return Tracker(model, np.zeros((1, 8, 8, 3), np.uint8), None, setting.memory).describe()
