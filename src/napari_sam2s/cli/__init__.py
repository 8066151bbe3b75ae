"""``napari-sam2s``: the command line, a thin reading of the public functions.

Each command is one module of this package with ``add_arguments(parser)`` and ``run``, a function of the parsed arguments that
returns the exit code. Bad input is an exception of ours (:mod:`errors`),
printed as one sentence, with exit code 2; commands never print tracebacks for it.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from types import FrameType
from typing import Any

from napari_sam2s import __version__
from napari_sam2s.cli.terminal import Harmless, say
from napari_sam2s.errors import Sam2sError, is_out_of_memory
from napari_sam2s.wording import tell_warnings_by

# In the order of ``--help``, with what it says of each: so help is instant. A command's module is imported when it is used, and
# imports what is heavy inside its ``run``.
COMMANDS: dict[str, str] = {
    "demo": "draw a short surgical clip, track it and score the masks",
    "info": "print the facts of a video: codec, size, frames, duration, key frames",
    "verify": "check that random access to a video returns exactly the right frames",
    "track": "track objects through a video",
    "resume": "resume an interrupted run of a project",
    "batch": "track many videos, each into its own project",
    "show": "print the objects, tracked frames, phases and runs of a project",
    "copy": "copy a project, even while it is open",
    "import": "make a project from masks in another format",
    "export": "write the masks of a project in another format",
    "measure": "write a table of areas, shapes, intensities, paths and contacts",
    "methods": "describe how the masks were made: a paragraph for a paper, BibTeX and JSON",
    "evaluate": "score masks against ground truth (J&F)",
    "benchmark": "score models on the converted subsets of SA-SV",
    "convert": "convert a source dataset of SA-SV to masklets",
    "train": "train or fine-tune a network",
    "models": "list, download, check, add and compare models",
    "doctor": "check this installation, or a project",
}

EPILOG = (
    "`napari-sam2s COMMAND --help` lists the options of a command. Documentation: https://napari-sam2s.github.io/napari-sam2s/"
)


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of every command; with ``only`` of that one, the others being known by name alone."""
    parser = argparse.ArgumentParser(
        prog="napari-sam2s", description="Segment and track objects in videos of any length.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, says in COMMANDS.items():
        chosen = subparsers.add_parser(name, help=says, description=f"{says[0].upper()}{says[1:]}.")
        if only is None or only == name:
            command = importlib.import_module(f"napari_sam2s.cli.{name}_command")
            chosen.set_defaults(run=command.run)
            command.add_arguments(chosen)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (0 done, 2 bad input, 130 interrupted)."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    command = next((word for word in words if not word.startswith("-")), "")
    if (empty := _empty(words)) is not None:
        say(command, empty)
        return 2
    args = build_parser(command).parse_args(words)
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of a damaged file we say in our words
    # Read when torch is imported, which no command has done yet. Threads that spin while they wait starve each other wherever
    # anything else runs: up to 9 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        output: Any = sys.stdout and Harmless(sys.stdout)
        with warnings.catch_warnings(), redirect_stdout(output), _asked_to_end():
            warnings.filterwarnings("always", category=UserWarning, module="napari_sam2s")
            tell_warnings_by(partial(say, args.command))
            return int(args.run(args) or 0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as ``head``, went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Sam2sError, OSError, MemoryError, RuntimeError) as error:
        say(args.command, _sentence(error))
        return 2


@contextmanager
def _asked_to_end() -> Iterator[None]:
    """Take what ``kill``, a closed terminal and cluster schedulers send as Ctrl-C, so that nothing half-done is left.

    Where such a signal is ignored (``nohup``) or handled already nothing is changed.
    """
    ours = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != ours:  # a forked process, which is to end as it always does
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        else:  # Ctrl-C is ignored, as it is of jobs that a script has put into the background
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has one of them
    taken = [number for number in known if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _empty(words: Sequence[str]) -> str | None:
    """Say which word is empty, as a variable of a shell is that was never set: as a path it would be this very folder."""
    for word in words:
        if "\0" in word:
            return f"{word!r} has a character that no path and no number has: leave it out."
        if not word.strip() or (word.startswith("--") and word.endswith("=")):
            return f"{word!r} is empty: give a value, or leave the option out."
    return None


def _sentence(error: Exception) -> str:
    """Say what a user can mend; anything else is a bug of ours, and raised again."""
    if isinstance(error, Sam2sError):
        return str(error)
    if is_out_of_memory(error):
        return "there is too little memory. Use a smaller --image-size or model."
    if not isinstance(error, OSError):
        raise error
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}. Check the path, its permissions and the free space on its disk."


if __name__ == "__main__":
    sys.exit(main())
