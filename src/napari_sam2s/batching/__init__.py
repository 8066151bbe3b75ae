"""Many videos, one task each, on workers of this machine or of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2s.lazy_names import lazy_names

if TYPE_CHECKING:
    from napari_sam2s.batching.batch_rows import BatchRow
    from napari_sam2s.batching.batch_run import batch

__all__ = ["BatchRow", "batch"]

__getattr__ = lazy_names(
    __name__,
    batch_rows="BatchRow",
    batch_run="batch",
)
