"""Masklets as they are exported: with the times of their video, and with somebody who watches how far one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.formats.mask_entries import entries_of, sightings_of
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_queries import Entry


class ExportView:
    """Masklets with ``timestamps``, in seconds by frame, and a ``progress`` of the frames that were asked for."""

    def __init__(
        self, masklets: Any, timestamps: NDArray[np.float64] | None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self._masklets = masklets
        self.timestamps = timestamps
        self.objects = tuple(masklets.objects)
        self.frames: Sequence[int] = list(masklets.frames)
        self.masks = _WatchedMasks(masklets, self.frames, progress)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._masklets, name)


class _WatchedMasks:
    def __init__(self, masklets: Any, frames: Sequence[int], progress: Callable[[int, int], None] | None) -> None:
        self._masklets, self._progress = masklets, progress
        self._total = len(frames)
        self._place = {frame: n for n, frame in enumerate(frames, 1)}

    def __call__(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        self._tell(frame)
        masks: dict[int, NDArray[np.bool_]] = self._masklets.masks(frame)
        return masks

    def entries(self, frame: int) -> list[Entry]:
        """Return what is known of a frame, see :func:`entries_of`."""
        self._tell(frame)
        return entries_of(self._masklets, frame)

    def seen(self) -> Iterator[tuple[int, int, rle.Mask]]:
        """Yield frame, object id and mask wherever an object is seen, see :func:`sightings_of`."""
        last = None
        for frame, object_id, mask in sightings_of(self._masklets):
            if frame != last:
                self._tell(frame)
                last = frame
            yield frame, object_id, mask
        if self._progress is not None:
            self._progress(self._total, self._total)

    def _tell(self, frame: int) -> None:
        if self._progress is not None and frame in self._place:
            self._progress(self._place[frame], self._total)
