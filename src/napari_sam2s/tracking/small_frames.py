"""A video's frames at the network's resolution: read when they are asked for, or one ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.model.frames import resize_frame


class SmallFrames:
    """Call it with a frame for its pixels, ``(size, size, 3)``; the latest one is kept."""

    def __init__(self, video: Any, size: int) -> None:
        self._video = video
        self.size = size
        self._latest: tuple[int, NDArray[np.uint8]] | None = None
        self._next: tuple[int, Future[NDArray[np.uint8]]] | None = None  # what is being read ahead
        self._order: Iterator[int] = iter(())
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, frame: int) -> NDArray[np.uint8]:
        """Return the pixels of a frame."""
        if self._latest is None or self._latest[0] != frame:
            if self._next is not None and self._next[0] == frame:
                self._latest = frame, self._next[1].result()
                self._advance()
            else:
                self._latest = frame, self._read(frame)
        return self._latest[1]

    def forget(self) -> None:
        """Forget the latest frame."""
        self._latest = None

    @contextmanager
    def ahead(self, order: Sequence[int]) -> Iterator[None]:
        """Read one frame ahead of those that are asked for, in an order that is known beforehand."""
        with ThreadPoolExecutor(1, thread_name_prefix="sam2s-read") as pool:
            self._pool, self._order = pool, iter(order)
            self._advance()
            try:
                yield
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                self._pool, self._next = None, None

    def _advance(self) -> None:
        following = next(self._order, None)
        if following is None or self._pool is None:
            self._next = None
        else:
            self._next = following, self._pool.submit(self._read, following)

    def _read(self, frame: int) -> NDArray[np.uint8]:
        return resize_frame(np.asarray(self._video[frame]), self.size)
