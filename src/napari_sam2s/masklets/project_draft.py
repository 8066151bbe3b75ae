"""Projects that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_sam2s.errors import ProjectError

_BESIDE = ("", "-wal", "-shm", ".lock", ".holder")  # the file, SQLite's own, and what says who writes it (lock.py)


@contextmanager
def project_draft(target: Path) -> Iterator[Path]:
    """Give the name of a project to write, which becomes ``target`` when all of it is written and closed.

    Whatever ends the block early, nothing of the draft is left; what a killed process left goes first.
    """
    draft = target.with_name(f"{target.name}.part")
    remove_project(draft)
    try:
        yield draft
        draft.rename(target)
    except ProjectError as error:  # of the draft, whose name nobody knows
        raise ProjectError(str(error).replace(draft.name, target.name)) from error
    finally:
        remove_project(draft)


def remove_project(path: Path) -> None:
    """Remove a project that nobody has open, with what stands beside it; other files stay, however they are called."""
    for ending in _BESIDE:
        with suppress(OSError):  # who then makes a project there is told why it cannot be
            path.with_name(path.name + ending).unlink(missing_ok=True)
