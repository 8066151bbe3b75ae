"""Code in a process of its own, which dies, or leaves the environment changed."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
import warnings
from pathlib import Path


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
    with said.open("wb") as file, warnings.catch_warnings():
        if not hasattr(os, "fork"):
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
            command = [sys.executable, "-W", "ignore", "-c", code, *words]
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
            return done.returncode, said.read_text(encoding="utf-8")
        warnings.simplefilter("ignore")
        pid = os.fork()
        if pid == 0:
            _do(code, words, paths, file.fileno())
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return ended, said.read_text(encoding="utf-8")


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
