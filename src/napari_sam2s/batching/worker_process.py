"""One process of a batch on this machine: the scheduler, or a worker.

Started by :class:`napari_sam2s.batching.local_workers.LocalWorkers` with a command line, as the engine is. It prints a line of
JSON when it is ready, lets in only who has the keys, and ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

from napari_sam2s.tracking.engine_keys import security_of
from napari_sam2s.tracking.engine_process import be_patient, give_way, in_plain_words, silent_classes, until_input_closes


def main(keys: str, scheduler: str = "", resources: str = "{}") -> None:
    """Be the scheduler, or a worker of the one at an address, with resources as JSON."""
    give_way()
    be_patient()
    warnings.showwarning = in_plain_words(warnings.showwarning)
    asyncio.run(_serve(Path(keys), scheduler, json.loads(resources)))


async def _serve(keys: Path, scheduler: str, resources: dict[str, float]) -> None:
    scheduler_class, worker_class = silent_classes()
    here: dict[str, Any] = {"host": "127.0.0.1", "protocol": "tls", "security": security_of(keys)}
    if scheduler:
        # What a video needs is bounded by itself; dask must not spill or pause it. One thread: one video at a time.
        own = {**here, "nthreads": 1, "memory_limit": 0, "local_directory": str(keys), "resources": resources}
        serving = worker_class(scheduler, **own)
    else:
        serving = scheduler_class(port=0, dashboard=False, **here)
    async with serving:
        sys.stdout.write(json.dumps({"address": serving.address}) + "\n")
        sys.stdout.flush()
        await until_input_closes()
        # At once: a video that is at work would be tracked to its end first. What it has found is in its project.
        shutil.rmtree(keys, ignore_errors=True)
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
