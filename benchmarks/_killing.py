"""What `kills.py` kills with: a command in a process group of its own, what came of it, and the sums of what it has written."""

from __future__ import annotations

import collections
import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_sam2s.cli import main as command

LIMIT = 300  # seconds that a command may take


class Child:
    """A command in a forked child, which has torch loaded already."""

    def __init__(self, job: Callable[[], int | None], log: Path) -> None:
        self.log = log
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                os.setsid()
                out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                for stream in (1, 2):
                    os.dup2(out, stream)
                code = job() or 0
            except BaseException:  # noqa: BLE001 (to be read in the log)
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
            os._exit(code)

    def over(self) -> bool:
        """Whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def kill(self) -> None:
        """Kill it and all its children."""
        if not self.over():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has no group of its own yet
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.code = -9

    def wait(self) -> int:
        """Return its exit code; a hang is killed."""
        until = time.monotonic() + LIMIT
        while not self.over():
            if time.monotonic() > until:
                self.kill()
            time.sleep(0.01)
        assert self.code is not None
        return self.code


class Bench:
    """A folder to work in, and what came of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.wrong = 0

    def run(self, *words: object) -> int:
        """Run a command to its end."""
        return self.start(*words).wait()

    def start(self, *words: object) -> Child:
        """Start a command."""
        return Child(lambda: command([str(word) for word in words]), self.folder / "log.txt")

    def said(self) -> str:
        """Return the last line that the latest command wrote."""
        lines = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1][-200:] if lines else ""

    def note(self, what: str, troubles: Sequence[str], how: str) -> None:
        """Count a kill."""
        self.wrong += bool(troubles)
        self.outcomes[f"{what}: {how}{', BUT ' + ', '.join(troubles) if troubles else ''}"] += 1
        print(sum(self.outcomes.values()), "WRONG" if troubles else "right", what, how, *troubles, sep=": ", flush=True)


def tree_of(place: Path) -> dict[str, str]:
    """Return the sums of the files under a path, what is not finished left out."""
    files = [p for p in (place.rglob("*") if place.is_dir() else [place]) if p.is_file()]
    names = {p: str(p.relative_to(place.parent)) for p in files}
    finished = [p for p, name in names.items() if not any(".part" in part for part in Path(name).parts)]
    return {names[p]: hashlib.sha256(p.read_bytes()).hexdigest() for p in finished}


def renamed(tree: dict[str, str]) -> dict[str, str]:
    """Return a tree without its first folder."""
    return {str(Path(*Path(name).parts[1:])): digest for name, digest in tree.items()}
