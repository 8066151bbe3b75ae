"""Processes of ours that say in their first line where they are."""

from __future__ import annotations

import json
import subprocess
import threading

from napari_sam2s.errors import TrackingError


def address_of(process: subprocess.Popen[str], seconds: float, failed: str) -> str:
    """Wait until a process says where it is, ``{"address": ...}``, and return that.

    Parameters
    ----------
    process
        With pipes for input and output.
    seconds
        How long to wait; then the process is ended.
    failed
        What is said if it does not start; ``{code}`` stands for its exit code.

    Raises
    ------
    TrackingError
        If it does not start in time. It is over then, and its pipes are closed.
    """
    assert process.stdout is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    if not line:
        process.kill()
        process.communicate()  # closes its pipes
        raise TrackingError(failed.replace("{code}", str(process.returncode)))
    return str(json.loads(line)["address"])
