"""A video's frames at the network's resolution: read when they are asked for, or ahead in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.model.frames import resize_frame

Pixels = NDArray[np.uint8]  # (size, size, 3)
Following = tuple[int, Pixels | None]
AHEAD = 2  # frames: while one is tracked, the next one is encoded and the one after it is read


class SmallFrames:
    """Call it with a frame for its pixels, ``(size, size, 3)``; the latest one is kept."""

    def __init__(self, video: Any, size: int) -> None:
        self._video = video
        self.size = size
        self._latest: tuple[int, Pixels] | None = None
        self._next: deque[tuple[int, Future[Pixels]]] = deque()  # what is being read ahead, in order
        self._order: Iterator[int] = iter(())
        self._pool: ThreadPoolExecutor | None = None
        self._sent: int | None = None  # the frame that an engine was sent ahead

    def __call__(self, frame: int) -> Pixels:
        """Return the pixels of a frame."""
        while any(frame == ahead for ahead, _ in self._next):  # what was passed over is not asked for any more
            ahead, future = self._next.popleft()
            if ahead == frame and (self._latest is None or self._latest[0] != frame):
                self._latest = frame, future.result()
            self._advance()
        if self._latest is None or self._latest[0] != frame:
            self._latest = frame, self._read(frame)
        return self._latest[1]

    @contextmanager
    def sent_for(self, frame: int, following: int | None, remote: bool) -> Iterator[tuple[Pixels | None, Following | None]]:
        """Give what goes along when a frame is tracked: its pixels, and the frame that follows, with its pixels.

        An actor in this process takes pixels when it needs them. An engine is sent each frame once; the following one goes
        along if it was read by now, so that it is encoded meanwhile.
        """
        if not remote:
            yield None, None if following is None else (following, None)
            return
        pixels, sent = self(frame), self._sent
        ahead = None if following is None else self._arrived(following)
        self._sent = None  # what fails is sent anew
        yield (None if sent == frame else pixels), (None if following is None or ahead is None else (following, ahead))
        self._sent = None if ahead is None else following

    def _arrived(self, frame: int) -> Pixels | None:
        """Return the pixels of a frame if they were read ahead by now, without waiting."""
        for ahead, future in self._next:
            if ahead == frame and future.done() and not future.cancelled() and future.exception() is None:
                return future.result()
        return None

    def forget(self) -> None:
        """Forget the latest frame, and what an engine was sent."""
        self._latest = self._sent = None

    @contextmanager
    def ahead(self, order: Sequence[int]) -> Iterator[None]:
        """Read some frames ahead of those that are asked for, in an order that is known beforehand."""
        with ThreadPoolExecutor(1, thread_name_prefix="sam2s-read") as pool:
            self._pool, self._order = pool, iter(order)
            self._advance()
            try:
                yield
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None
                self._next.clear()

    def _advance(self) -> None:
        while self._pool is not None and len(self._next) < AHEAD:
            following = next(self._order, None)
            if following is None:
                return
            self._next.append((following, self._pool.submit(self._read, following)))

    def _read(self, frame: int) -> Pixels:
        return resize_frame(np.asarray(self._video[frame]), self.size)
