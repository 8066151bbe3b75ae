"""Masklets as they are exported: with the times of their video, and with somebody who watches how far one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.mask_entries import entries_of, sightings_of
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.types import Object
from napari_sam2s.masklets.validation import whole_number
from napari_sam2s.wording import counted

LARGEST_ID = 2**53 - 1  # that JSON and graphs hold


class ExportView:
    """Masklets with ``timestamps``, in seconds by frame, and a ``progress`` of the frames that were asked for.

    Raises
    ------
    FormatError
        If objects are not numbered from 1 on, each by its own number, or frames not from 0 on to the end of the video.
    """

    def __init__(
        self, masklets: Any, timestamps: NDArray[np.float64] | None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self._masklets = masklets
        self.timestamps = timestamps
        self.objects: tuple[Object, ...] = tuple(masklets.objects)
        self.frames: Sequence[int] = list(masklets.frames)
        _check_ids([known.id for known in self.objects])
        if any(t < 0 for t in self.frames[:1]) or any(b <= a for a, b in pairwise(self.frames)):
            raise FormatError("The frames of the masks are below 0 or out of order: number them from 0 on, each once.")
        shape = getattr(masklets, "shape", None)
        if shape is not None and self.frames and self.frames[-1] >= shape[0]:
            raise FormatError(
                f"Masks lie on frame {self.frames[-1]}, but the video has {counted(shape[0], 'frame')}: give the right video."
            )
        self.masks = _WatchedMasks(masklets, self, progress)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._masklets, name)


def _check_ids(ids: Sequence[int]) -> None:
    for i in ids:
        bad = FormatError(f"There is an object {i!r}: ids are whole numbers from 1 to {LARGEST_ID}; number the objects again.")
        if not 1 <= whole_number(i, bad) <= LARGEST_ID:
            raise bad
    if len(set(ids)) < len(ids):
        twice = next(i for n, i in enumerate(ids) if i in ids[:n])
        raise FormatError(f"Two objects have the id {twice}: give each its own.")


class _WatchedMasks:
    def __init__(self, masklets: Any, view: ExportView, progress: Callable[[int, int], None] | None) -> None:
        self._masklets, self._progress = masklets, progress
        self._ids = {known.id for known in view.objects}
        self._own = hasattr(masklets.masks, "entries")  # a project, of which what is removed may have masks
        self._total = len(view.frames)
        self._place = {frame: n for n, frame in enumerate(view.frames, 1)}

    def __call__(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        self._tell(frame)
        masks: dict[int, NDArray[np.bool_]] = self._masklets.masks(frame)
        return masks

    def entries(self, frame: int) -> list[Entry]:
        """Return what is known of a frame, see :func:`entries_of`."""
        self._tell(frame)
        found = entries_of(self._masklets, frame)
        for entry in found:
            self._refuse_stranger(frame, entry.object_id)
        return found

    def seen(self) -> Iterator[tuple[int, int, rle.Mask]]:
        """Yield frame, object id and mask wherever an object is seen, see :func:`sightings_of`."""
        last = None
        for frame, object_id, mask in sightings_of(self._masklets):
            if frame != last:
                self._tell(frame)
                last = frame
            self._refuse_stranger(frame, object_id)
            yield frame, object_id, mask
        if self._progress is not None:
            self._progress(self._total, self._total)

    @property
    def places(self) -> Callable[[], NDArray[np.float64]]:
        """What returns where the objects of a project are; others have no such thing."""
        read: Callable[[], NDArray[np.float64]] = self._masklets.masks.places

        def places() -> NDArray[np.float64]:
            found = read()
            if self._progress is not None:
                self._progress(self._total, self._total)
            return found

        return places

    def _refuse_stranger(self, frame: int, object_id: int) -> None:
        if object_id not in self._ids and not self._own:
            raise FormatError(f"Frame {frame} has a mask of object {object_id}, which is not among the objects: add it.")

    def _tell(self, frame: int) -> None:
        if self._progress is not None and frame in self._place:
            self._progress(self._place[frame], self._total)
