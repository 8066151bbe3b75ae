"""The process in which the model runs: a dask scheduler and one worker, on this machine only.

Started by :class:`napari_sam2s.tracking.engine.Engine` with a command line, never by fork or by re-importing
``__main__``, so that it starts with ``OMP_WAIT_POLICY=passive`` and shares nothing with the viewer. It prints its address
as one line of JSON and ends when its standard input closes, that is, when whoever started it is gone.
"""

from __future__ import annotations

import json
import logging
import os
import sys

import dask
import psutil  # comes with dask.distributed

STEPS_BELOW = 5  # of niceness: all of the processor when the viewer is still, a quarter of what both want when it is not


def give_way() -> None:
    """Let the viewer draw before the model works; every thread that is started afterwards does so too."""
    process = psutil.Process()
    if os.name == "nt":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        process.nice(min(process.nice() + STEPS_BELOW, 19))


def main() -> None:
    """Serve until the standard input closes."""
    give_way()
    # A frame on a slow machine may take minutes; nothing here should be declared dead for being busy.
    dask.config.set({"distributed.admin.tick.limit": "1h", "distributed.comm.timeouts.tcp": "1h"})
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit=0,  # the memory bank is bounded by itself; dask must not spill or pause it
        silence_logs=logging.CRITICAL,
    )
    sys.stdout.write(json.dumps({"address": cluster.scheduler_address}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.close(timeout=1)


if __name__ == "__main__":
    main()
