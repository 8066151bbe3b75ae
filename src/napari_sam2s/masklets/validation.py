"""Frame indices and object ids as they come in: any kind of integer, NumPy's too, and nothing else."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from napari_sam2s.errors import ProjectError, Sam2sError


def whole_number(value: SupportsIndex, otherwise: Sam2sError) -> int:
    """Return an integer of any type as Python's own, or raise ``otherwise``.

    NumPy's small integers overflow when one counts with them, and SQLite keeps all of NumPy's as bytes that are never found
    again.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise otherwise from None


def frame_of(value: SupportsIndex) -> int:
    """Return the index of a frame as an integer, or raise a :class:`ProjectError`."""
    return whole_number(value, ProjectError(f"The index of a frame is a whole number, and {value!r} is none."))


def id_of(value: SupportsIndex) -> int:
    """Return the id of an object as an integer, or raise a :class:`ProjectError`."""
    return whole_number(value, ProjectError(f"The id of an object is a whole number, and {value!r} is none."))
