"""What runs in an engine's process: a dask scheduler and one worker, on this machine only; or one of the two, for a batch.

Started by :mod:`engine_process` with a command line, never by fork or by re-importing ``__main__``, so that it starts with
``OMP_WAIT_POLICY=passive`` and shares nothing with the viewer. It prints its address as one line of JSON and ends when its
standard input closes, that is, when whoever started it is gone. It lets in only who has the keys in the folder that it is given
(:mod:`engine_keys`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import dask
import psutil  # comes with dask.distributed

from napari_sam2s.tracking.engine_keys import make_keys, security_of
from napari_sam2s.wording import tell_warnings_by

STEPS_BELOW = 5  # of niceness: all of the processor when the viewer is still, a quarter of what both want when it is not


def give_way() -> None:
    """Let the viewer draw before the model works; every thread that is started afterwards does so too."""
    process = psutil.Process()
    if os.name == "nt":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        process.nice(min(process.nice() + STEPS_BELOW, 19))


def main(folder: str, scheduler: str = "", resources: str = "{}") -> None:
    """Serve whoever has the keys in a folder, until the standard input closes; then the folder goes.

    ``scheduler`` is ``"alone"`` for one without a worker, or the address of the one to work for, with the resources as JSON.
    """
    give_way()
    be_patient()
    tell_warnings_by(say)
    try:
        asyncio.run(_serve(Path(folder), scheduler, json.loads(resources)))
    finally:
        if not scheduler:  # those of a batch are shared
            shutil.rmtree(folder, ignore_errors=True)


def be_patient() -> None:
    """Let nothing here be declared dead for being busy: a frame on a slow machine may take minutes.

    Nor is it watched at work a hundred times a second, for a dashboard that there is not.
    """
    patient = {"distributed.admin.tick.limit": "1h", "distributed.comm.timeouts.tcp": "1h"}
    still = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms"}
    dask.config.set(patient | still | {"distributed.admin.system-monitor.interval": "5s"})


def say(warning: str) -> None:
    """Print a sentence; names of files, which may be any, are spelt out where they would command the terminal."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in warning)
    sys.stderr.write(f"napari-sam2s: {text}\n")


def silent_classes() -> tuple[type, type]:
    """Return dask's Scheduler and Worker without HTTP servers: those know no keys and tell everybody where to connect."""
    from distributed import Scheduler, Worker

    for name in ("distributed", *(n for n in logging.root.manager.loggerDict if n.startswith("distributed."))):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # who knocks without keys is no news for the viewer's console

    class SilentScheduler(Scheduler):
        def start_http_server(self, *_: object, **__: object) -> None:
            """Open no port but the one that asks for keys."""

    class SilentWorker(Worker):
        def start_http_server(self, *_: object, **__: object) -> None:
            """Open no port but the one that asks for keys."""

    return SilentScheduler, SilentWorker


async def until_input_closes() -> None:
    """Wait until whoever started this process is gone."""
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(closed.set)), daemon=True).start()
    await closed.wait()


async def _serve(folder: Path, scheduler: str, resources: dict[str, float]) -> None:
    scheduler_class, worker_class = silent_classes()
    here: dict[str, Any] = {"host": "127.0.0.1", "protocol": "tls", "security": security_of(folder)}
    # The memory bank is bounded by itself; dask must not spill or pause it. One thread: one video at a time.
    worker = {**here, "nthreads": 1, "memory_limit": 0, "local_directory": str(folder), "resources": resources}
    async with AsyncExitStack() as serving:
        address = scheduler
        if scheduler in ("", "alone"):
            address = (await serving.enter_async_context(scheduler_class(port=0, dashboard=False, **here))).address
        if scheduler != "alone":
            await serving.enter_async_context(worker_class(address, **worker))
        sys.stdout.write(json.dumps({"address": address, "keys": str(folder)}) + "\n")
        sys.stdout.flush()
        await until_input_closes()
        if scheduler:  # at once: a video that is at work would be tracked to its end first; what it has found is in its project
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)


if __name__ == "__main__":
    main(*(sys.argv[1:] or [str(make_keys())]))
