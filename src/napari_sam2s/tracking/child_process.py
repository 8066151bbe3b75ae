"""Processes of ours beside this one: started by a command line, they say in their first line where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

from napari_sam2s.errors import TrackingError


class ChildProcess:
    """``python -m module arguments`` with so many ``threads`` for torch, which ends when its standard input closes.

    ``environment`` is what is another than here; one that is ``spared`` hears nothing of Ctrl+C in the terminal.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        threads: int | None = None,
        environment: dict[str, str] | None = None,
        spared: bool = False,
    ) -> None:
        own = {"OMP_WAIT_POLICY": "passive", **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, **(environment or {})},
            start_new_session=spared and os.name != "nt",
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def address(self, seconds: float, failed: str) -> str:
        """Wait so many seconds until it says where it is, ``{"address": ...}``, and return that.

        Raises :class:`TrackingError` if it does not say so; it is over then, as after Ctrl+C. ``{code}`` in the words
        ``failed`` is its exit code.
        """
        assert self._process.stdout is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        except BaseException:  # Ctrl+C among them
            self.end()
            raise
        finally:
            timer.cancel()
        if not line:
            self.end()
            raise TrackingError(failed.replace("{code}", str(self._process.returncode)))
        return str(json.loads(line)["address"])

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
