"""A scheduler and workers in processes of their own on this machine."""

from __future__ import annotations

import json
import os
import shutil

from napari_sam2s.errors import TrackingError
from napari_sam2s.tracking.engine import count_gpus
from napari_sam2s.tracking.engine_keys import make_keys
from napari_sam2s.tracking.engine_process import START_TIMEOUT_S, ServerProcess
from napari_sam2s.wording import counted

MEMORY_PER_WORKER = 2 * 2**30  # bytes: the built-in model on a video of 1080p takes less than one
RESTARTS = 10  # of a worker that keeps dying, before the batch gives up on it


def usual_count(videos: int) -> int:
    """Return how many workers suit this machine: two cores and two gigabytes each, no more than there are videos."""
    import psutil

    fitting = min((os.cpu_count() or 2) // 2, psutil.virtual_memory().available // MEMORY_PER_WORKER)
    return max(1, min(videos, int(fitting)))


_FAILED = (
    f"A process of the batch did not start within {START_TIMEOUT_S:.0f} s (exit code {{code}}). Run `napari-sam2s doctor` to "
    "see whether the installation is whole."
)


class LocalWorkers:
    """A scheduler and workers on the loopback interface, which let in only who has their keys and end with this process.

    Parameters
    ----------
    count
        How many workers.
    gpus
        How many GPUs, one for each worker; 0 for none. With GPUs ``count`` is their number.

    threads
        How many cores torch may use in each; by default they share the cores evenly.

    Raises
    ------
    TrackingError
        If one does not start, or there are fewer GPUs.
    """

    def __init__(self, count: int, gpus: int = 0, threads: int | None = None) -> None:
        if gpus:
            _check_gpus(gpus)
        self.count = gpus or count
        self._gpus = gpus
        self._threads = threads or max(1, (os.cpu_count() or 1) // self.count)
        self.keys = make_keys()
        self.restarted = 0
        self._workers: list[ServerProcess] = []
        try:
            self._scheduler = ServerProcess(str(self.keys), "alone", spared=True)
            self.address = self._scheduler.wait_for_address(_FAILED)
            # Together: each imports for a second.
            starting = [self._spawn(n) for n in range(self.count)]
            self._workers += starting
            for process in starting:
                process.wait_for_address(_FAILED)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [process.pid for process in self._workers]

    def mend(self) -> int:
        """Start workers anew that have died; return how many there were.

        Raises :class:`TrackingError` if they die over and over, or the scheduler has died.
        """
        if self._scheduler.over:
            raise TrackingError(
                "The scheduler of the batch ended unexpectedly: give the same command again to track what is missing."
            )
        dead = [n for n, process in enumerate(self._workers) if process.over]
        for n in dead:
            self.restarted += 1
            if self.restarted > RESTARTS * self.count:
                raise TrackingError("The workers crash again and again: try one video with `napari-sam2s track` to see why.")
            self._workers[n].end()
            self._workers[n] = self._spawn(n)
        return len(dead)

    def close(self) -> None:
        """End all of them, and remove the keys."""
        for process in [*self._workers, *([self._scheduler] if hasattr(self, "_scheduler") else [])]:
            process.end()
        shutil.rmtree(self.keys, ignore_errors=True)

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _spawn(self, n: int) -> ServerProcess:
        environment = {"CUDA_VISIBLE_DEVICES": _visible_gpus()[n]} if self._gpus else None
        resources = json.dumps({"GPU": 1} if self._gpus else {})
        arguments = str(self.keys), self.address, resources
        # Ctrl+C is for the client, which lets them come to a pause.
        return ServerProcess(*arguments, threads=self._threads, environment=environment, spared=True)


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [word.strip() for word in named.split(",") if word.strip()]
    return [str(n) for n in range(count_gpus())]


def _check_gpus(gpus: int) -> None:
    found = len(_visible_gpus())
    if found < gpus:
        raise TrackingError(
            f"{counted(gpus, 'GPU is', 'GPUs are')} wanted, but this machine has {found}: give --gpus {found}, or leave it out."
        )
