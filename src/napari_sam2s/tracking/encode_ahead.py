"""Encode the next frame beside the one that is tracked, on a CPU.

To encode a frame needs nothing of what is found on the frame before. Small matrices gain almost nothing from a second core,
so two threads that each have half of the cores finish earlier than one that has all (``docs/explanation/speed.md``). The
masks are those of half of the threads: all of them may round otherwise at a pixel of a mask's border.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam2s.model.stages import Features


class EncodeAhead:
    """One frame that is being encoded in a thread.

    Parameters
    ----------
    encode
        Encodes a frame ``(S, S, 3)``, for outlines as well if the second argument says so.
    """

    def __init__(self, encode: Callable[[NDArray[np.uint8], bool], Features]) -> None:
        self._encode = encode
        self._pool: ThreadPoolExecutor | None = None  # ends with this object
        self._next: tuple[int, Future[Features]] | None = None

    def start(self, frame: int, pixels: NDArray[np.uint8], outlined: bool) -> None:
        """Begin to encode a frame; it takes the place of another one that nobody took."""
        self.forget()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="sam2s-encode")
        threads = max(torch.get_num_threads(), 1)
        self._next = frame, self._pool.submit(_encoded, self._encode, pixels, outlined, threads)

    def take(self, frame: int) -> Features | None:
        """Return the encoding of a frame, or ``None`` if it was not begun. What encoding raised is raised here."""
        if self._next is None or self._next[0] != frame:
            return None
        (_, future), self._next = self._next, None
        return future.result()

    def has(self, frame: int) -> bool:
        """Whether a frame was begun and not taken yet."""
        return self._next is not None and self._next[0] == frame

    def forget(self) -> None:
        """Drop what was begun, and wait until the thread has left it."""
        if self._next is not None:
            if not self._next[1].cancel():
                self._next[1].exception()
            self._next = None


def _encoded(
    encode: Callable[[NDArray[np.uint8], bool], Features], pixels: NDArray[np.uint8], outlined: bool, threads: int
) -> Features:
    if torch.get_num_threads() != threads:  # torch counts them for each thread that starts work
        torch.set_num_threads(threads)
    with torch.inference_mode():
        return encode(pixels, outlined)


class HalfOfTheThreads:
    """Lets torch use half of its threads inside of it, so that another thread has the rest; may be entered again inside."""

    def __init__(self) -> None:
        self._depth = 0
        self._threads = 1

    @property
    def spares(self) -> bool:
        """Whether there is a rest, inside."""
        return self._threads > 1

    def __enter__(self) -> Self:
        if self._depth == 0:
            self._threads = torch.get_num_threads()
            if self.spares:
                torch.set_num_threads(self._threads // 2)
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self.spares:
            torch.set_num_threads(self._threads)
