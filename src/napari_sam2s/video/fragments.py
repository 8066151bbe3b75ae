"""Pieces that are missing, by their numbers: fragments of an MP4 (segments of DASH or HLS), parts that a script names."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.video.picture_names import order_of


def missing_parts(named: tuple[Path, ...]) -> list[str]:
    """Say how many files an ffconcat script leaves out, by the numbers in the names."""
    try:
        order = order_of([part.stem for part in named]) if len(named) > 2 else None
    except VideoError:
        return []
    missing, after = _between(np.unique(order.numbers)) if order is not None and order.counted else (0, 0)
    return (
        [f"Files are missing in the script, as their numbers show: {missing}, the first after number {after}."]
        if missing
        else []
    )


def missing_fragments(path: Path) -> list[str]:
    """Say how many fragments are missing between others, and what the first one is if it is not the first of the recording.

    Reads the heads of boxes only. Numbers are those of ISO/IEC 14496-12, 8.8.5: they rise from fragment to fragment; of files
    that were taken out of one of several tracks perhaps by more than one.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            numbers = np.unique(np.fromiter(_numbers(content), np.int64))
    except (OSError, ValueError, struct.error):
        return []  # ffmpeg says what is wrong with it
    told = []
    if 1 in np.diff(numbers) and numbers[0] > 1:
        told.append(f"The file begins with its fragment number {numbers[0]}: frame 0 is not the first of the recording.")
    missing, after = _between(numbers)
    if missing:
        told.append(f"Fragments of the file are missing: {missing}, the first after number {after}. Their frames are lost.")
    return told


def _between(numbers: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many numbers are missing among ascending ones, usually of equal steps, and the last before them."""
    steps = np.diff(numbers)
    usual = int(np.sort(steps)[(len(steps) - 1) // 2]) if len(steps) else 1
    if not (steps > usual).any() or (steps % usual).any():
        return 0, 0
    return int((steps // usual - 1).sum()), int(numbers[np.argmax(steps > usual)])


def _numbers(content: mmap.mmap) -> Iterator[int]:
    place = 0
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if length == 1:
            length = struct.unpack_from(">Q", content, place + 8)[0]
        if kind == b"moof" and content[place + 12 : place + 16] == b"mfhd":
            yield struct.unpack_from(">I", content, place + 20)[0]
        if length < 8:
            return
        place += length
