"""What a review was computed from, of which after a change only what has changed is computed anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.mask_statistics import Series
from napari_sam2s.masklets.quality_checks import Doubts, Thresholds, doubts_of, falls_in_two, overlapping_boxes, overlaps

MOST_TOUCHED = 20_000  # masks that are noted one by one; of more, all is computed anew
MOST_SHARED = 100_000  # pairs of masks whose common pixels are remembered


class ReviewCache:
    """Doubts of objects and of pairs, as they were last computed.

    Parameters
    ----------
    shared, likeness
        As in :func:`quality_checks.overlaps` and :func:`quality_checks.falls_in_two`.
    guard
        The store's lock: changes are noted inside its transactions.
    """

    def __init__(
        self, shared: Callable[[int, int, int], float], likeness: Callable[[int, int], float], guard: threading.RLock
    ) -> None:
        self._count_shared, self._likeness, self._guard = shared, likeness, guard
        self._in_use = threading.Lock()
        self._touched: set[tuple[int, int]] = set()
        self._limits: Thresholds | None = None  # those of what is known; ``None``: nothing is
        self._ids: tuple[int, ...] = ()
        self._of_objects: dict[int, tuple[Series, list[Doubts]]] = {}
        self._boxes: NDArray[np.int64] = np.empty((0, 3), np.int64)
        self._known_shared: dict[tuple[int, int, int], float] = {}
        self._looked: dict[int, set[int]] = {}  # frames on which an object's parts were counted, which others may lie between

    def touch(self, keys: Sequence[Sequence[int]]) -> None:
        """Note that masks, by ``(frame, object id)``, have changed."""
        with self._guard:
            if len(self._touched) + len(keys) > MOST_TOUCHED:
                self.clear()
            else:
                self._touched.update((frame, i) for frame, i in keys)

    def clear(self) -> None:
        """Forget everything: anything may have changed."""
        with self._guard:
            self._limits, self._touched = None, set()

    def doubts(
        self, read: Callable[[], Mapping[int, Series]], pixels: int, limits: Thresholds, within: tuple[int, int]
    ) -> list[Sequence[Doubts]]:
        """Return the doubts about each object, and about each pair, on frames ``within`` (start, stop).

        Parameters
        ----------
        read
            Returns the series of all objects, by object id.
        pixels
            Of a frame.
        """
        # Not to be waited for: who holds it may wait for the store, and who waits may hold that.
        if not self._in_use.acquire(blocking=False):
            return ReviewCache(self._count_shared, self._likeness, self._guard).doubts(read, pixels, limits, within)
        try:
            with self._guard:  # first: what changes while the series are read counts for the next time
                touched, self._touched = self._touched, set()
                known, self._limits = self._limits == limits, limits
            series = read()
            self._take_up(series, limits, touched if known else None)
            boxes = self._boxes[(self._boxes[:, 2] >= within[0]) & (self._boxes[:, 2] < within[1])]
            of_pairs = [[found] for found in overlaps(boxes, self._shared, limits)]
            return [*(self._of_object(i, mine, pixels, limits) for i, mine in series.items()), *of_pairs]
        except BaseException:
            self.clear()
            raise
        finally:
            self._in_use.release()

    def _of_object(self, object_id: int, series: Series, pixels: int, limits: Thresholds) -> list[Doubts]:
        known = self._of_objects.get(object_id)
        if known is None or known[0] is not series:
            looked = self._looked[object_id] = set()

            def likeness(frame: int, i: int) -> float:
                looked.add(frame)
                return self._likeness(frame, i)

            found = [*doubts_of(object_id, series, pixels, limits), *falls_in_two(object_id, series, likeness, limits)]
            known = self._of_objects[object_id] = series, found
        return known[1]

    def _take_up(self, series: Mapping[int, Series], limits: Thresholds, touched: set[tuple[int, int]] | None) -> None:
        """Forget what has changed, which is anything where ``touched`` is ``None``, and find boxes that overlap there."""
        if touched is None or self._ids != tuple(series) or len(self._known_shared) > MOST_SHARED:
            self._ids, self._of_objects, self._known_shared = tuple(series), {}, {}
            self._boxes = overlapping_boxes(series, limits, (0, np.iinfo(np.int32).max))
            return
        frames = {frame for frame, _ in touched}
        for i in [i for i in self._of_objects if not frames.isdisjoint(self._looked[i])]:
            del self._of_objects[i]
        for frame, i in touched:
            for j in self._ids:
                self._known_shared.pop((frame, min(i, j), max(i, j)), None)
        if touched:
            self._update_boxes(series, limits, sorted(frames))

    def _update_boxes(self, series: Mapping[int, Series], limits: Thresholds, frames: list[int]) -> None:
        """Find the boxes that overlap anew, from the first of some frames to the last."""
        start, stop = frames[0], frames[-1] + 1
        here = (self._boxes[:, 2] >= start) & (self._boxes[:, 2] < stop)
        self._boxes = np.concatenate((self._boxes[~here], overlapping_boxes(series, limits, (start, stop))))

    def _shared(self, frame: int, first: int, second: int) -> float:
        key = frame, first, second
        if key not in self._known_shared:
            self._known_shared[key] = self._count_shared(*key)
        return self._known_shared[key]
