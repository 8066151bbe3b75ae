"""Many videos, one task each, on workers of this machine or of a cluster."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2s.batching.batch_rows import BatchRow
    from napari_sam2s.batching.batch_run import batch

__all__ = ["BatchRow", "batch"]

_HOME = {"BatchRow": "batch_rows", "batch": "batch_run"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
