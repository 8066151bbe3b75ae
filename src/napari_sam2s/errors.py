"""The exceptions this package raises for bad input and broken files.

Every message is one sentence that says what is wrong, with the value, and what to do about it. The command line prints
that sentence and exits with code 2; the widget shows it. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence


class Sam2sError(Exception):
    """Base of every error a user can cause and mend."""


class VideoError(Sam2sError):
    """A video, image folder or array that cannot be opened or read."""


class ModelError(Sam2sError):
    """A checkpoint, model name or device that cannot be used."""


class InputSizeUnknown(ModelError):
    """A checkpoint that does not say at which input size it was trained: the user has to, once."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class CheckpointDiffers(ModelError):
    """A checkpoint that does not hold just the tensors of its network; it can be loaded without them (``strict=False``)."""

    def __init__(
        self, message: str, missing: Sequence[str] = (), unknown: Sequence[str] = (), shapes: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.missing, self.unknown, self.shapes = tuple(missing), tuple(unknown), tuple(shapes)  # names of tensors


class PromptError(Sam2sError, ValueError):
    """A prompt that does not fit the video or the object."""


class TrackingError(Sam2sError):
    """A propagation that cannot be started or carried on."""


class ProjectError(Sam2sError):
    """A project file that cannot be created, opened or written."""


class ProjectInUse(ProjectError):
    """A project that somebody else has open for writing."""


class FormatError(Sam2sError):
    """A file or folder that does not follow the format it is read as, or masks that a format cannot hold."""


class DatasetError(Sam2sError):
    """A source dataset that differs from what its documentation promises."""


class EvaluationError(Sam2sError):
    """A prediction or ground truth that cannot be scored."""


class TrainingError(Sam2sError):
    """A training configuration or dataset that cannot be trained on, or a run that went wrong."""


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk is full, or what a user may have of it: the system and SQLite say so by number, pyarrow in words."""
    return (
        getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        or getattr(error, "sqlite_errorname", None) == "SQLITE_FULL"
        or "No space left" in str(error)
    )


def remedy(error: BaseException, otherwise: str = "choose a folder that can") -> str:
    """Say what to do about a file that cannot be written."""
    return "make room on its disk, or choose another disk" if is_disk_full(error) else otherwise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or this machine ran out of memory: torch says so by a class of its own on a GPU, in words on a CPU."""
    words = str(error)
    return (
        isinstance(error, MemoryError)
        or "OutOfMemory" in type(error).__name__
        or "out of memory" in words
        or "can't allocate memory" in words
    )
