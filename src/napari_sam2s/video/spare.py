"""Memory for frames, used again once nobody holds the frame that was in it.

The system clears every page of new memory before it hands it out, which for a frame of 1080p costs more time than reading the
frame into it.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPARE_FRAMES = 4  # that may wait to be used


def _references(held: list[Any]) -> int:
    """Count the references to the only item of a list, this call's own ones among them."""
    return sys.getrefcount(held[0])


_ALONE = _references([np.empty(1, dtype=np.uint8)])  # what is counted when the list is the only holder, in this Python
_COUNTS = getattr(sys, "_is_gil_enabled", lambda: True)()  # without its lock, Python's counts are not the whole truth


class SpareMemory:
    """Blocks of memory for frames of one size; may be shared by threads."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._blocks: deque[NDArray[np.uint8]] = deque(maxlen=SPARE_FRAMES)

    def frame(self) -> NDArray[np.uint8]:
        """Return an array ``(Y, X, 3)`` of any content."""
        try:
            block = self._blocks.pop()
        except IndexError:
            block = np.empty(self._size[0] * self._size[1] * 3, dtype=np.uint8)
        return block.reshape(*self._size, 3)

    def take_back(self, held: list[NDArray[np.uint8]]) -> None:
        """Take the memory of the frame that is the only item of ``held`` (it is taken out), if nobody else holds it.

        Every view of a frame holds the block it lies in, so it is the block's references that count.
        """
        blocks: list[Any] = [held.pop().base]
        if _COUNTS and _references(blocks) == _ALONE:
            self._blocks.append(blocks.pop())
