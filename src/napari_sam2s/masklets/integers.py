"""Frame indices and object ids as they come in: any kind of integer, NumPy's too, and nothing else."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from napari_sam2s.errors import ProjectError


def as_int(value: SupportsIndex, what: str) -> int:
    """Return a whole number as Python's own integer; ``what`` it is begins the sentence that refuses anything else."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise ProjectError(f"{what} is a whole number, and {value!r} is none.") from error


def frame_of(value: SupportsIndex) -> int:
    """Return the index of a frame as an integer."""
    return as_int(value, "The index of a frame")


def id_of(value: SupportsIndex) -> int:
    """Return the id of an object as an integer."""
    return as_int(value, "The id of an object")
