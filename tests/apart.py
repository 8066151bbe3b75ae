"""Code in a process of its own, which dies, or leaves the environment changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

FORK_SECONDS = 6.0  # most take a tenth of one; where this is too short it is only started anew
# A project's thread that brings commits into its file has just been started, or woken, and is in SQLite, whose locks a fork
# takes along as they are. Then it waits.
SETTLE_SECONDS = 0.05


def run_apart(code: str, *words: str, folder: Path, paths: tuple[Path, ...] = ()) -> tuple[int, str]:
    """Run what ``python -c code words`` would run, and return how it ended and what it said.

    Where this process can be forked nothing is imported again, which takes seconds. Torch is not to compute in there: its
    threads are not forked.

    Parameters
    ----------
    code, words
        The program and its arguments.
    folder
        Where what it says is kept meanwhile.
    paths
        Where Python looks for modules first.
    """
    said = folder / "said.txt"
    ended = _forked(code, words, paths, said) if hasattr(os, "fork") else None
    if ended is None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        command = [sys.executable, "-W", "ignore", "-c", code, *words]
        with said.open("wb") as file:
            ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    return ended, said.read_text(encoding="utf-8")


def _forked(code: str, words: tuple[str, ...], paths: tuple[Path, ...], said: Path) -> int | None:
    """Run it in a fork; ``None`` where that stands still: another thread held a lock when this process was forked."""
    with said.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        time.sleep(SETTLE_SECONDS)
        pid = os.fork()
        if pid == 0:
            _do(code, words, paths, file.fileno())
    late = time.monotonic() + FORK_SECONDS
    while time.monotonic() < late:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _do(code: str, words: tuple[str, ...], paths: tuple[Path, ...], said: int) -> None:
    """Run it in the fork, which ends here."""
    sys.stdout = sys.stderr = os.fdopen(os.dup(said), "w", encoding="utf-8")
    ended = 1
    try:
        sys.argv, sys.path[:0] = ["-c", *words], [str(path) for path in paths]
        exec(code, {"__name__": "__main__"})
        ended = 0
    finally:
        if sys.exc_info()[1] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(ended)
