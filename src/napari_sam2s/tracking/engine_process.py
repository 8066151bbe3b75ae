"""The process of an engine, and of a batch: started here, by a command line; its first line says where it is.

What runs in it is :mod:`engine_server`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading

from napari_sam2s.errors import TrackingError
from napari_sam2s.tracking.engine_keys import make_keys

START_TIMEOUT_S = 60.0
SERVER = "napari_sam2s.tracking.engine_server"
_NOT_STARTED = (
    f"The engine did not start within {START_TIMEOUT_S:.0f} s (exit code {{code}}). Run `{sys.executable} -m {SERVER}` to see "
    "why."
)


class ServerProcess:
    """:mod:`engine_server` with these arguments and so many ``threads`` for torch; it ends when its standard input closes.

    ``environment`` is what is another than here; one that is ``spared`` hears nothing of Ctrl+C in the terminal.
    """

    def __init__(
        self,
        *arguments: str,
        threads: int | None = None,
        environment: dict[str, str] | None = None,
        spared: bool = False,
    ) -> None:
        own = {"OMP_WAIT_POLICY": "passive", **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", SERVER, *arguments],
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

    def wait_for_address(self, failed: str) -> str:
        """Wait until it says where it is, ``{"address": ...}``, and return that.

        Raises :class:`TrackingError` if it does not say so; it is over then, as after Ctrl+C. ``{code}`` in the words
        ``failed`` is its exit code.
        """
        assert self._process.stdout is not None
        timer = threading.Timer(START_TIMEOUT_S, self._process.kill)
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


class EngineProcess(ServerProcess):
    """The process of an engine on this machine, with keys of its own; see :class:`ServerProcess`."""

    def __init__(self, threads: int | None = None) -> None:
        self.keys = make_keys()
        try:
            super().__init__(str(self.keys), threads=threads)
            self.address = self.wait_for_address(_NOT_STARTED)
        except BaseException:
            shutil.rmtree(self.keys, ignore_errors=True)
            raise

    def end(self) -> None:
        """End it, and remove its keys."""
        super().end()
        shutil.rmtree(self.keys, ignore_errors=True)
