"""Whether the pieces of a Matroska or WebM file are as they were written, where the writer noted their checksums."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from napari_sam2s.errors import VideoError
from napari_sam2s.wording import counted

SEGMENT, CLUSTER, CRC, TIME = 0x18538067, 0x1F43B675, 0xBF, 0xE7  # RFC 9559, section 5.1, and RFC 8794, section 11.3.1
CRC_BYTES = 6  # of the element


def changed_pieces(path: Path, progress: Callable[[float], bool] | None = None) -> list[str]:
    """Say how many clusters have other content than their checksum says, and where the first is.

    Reads the whole file once; a gigabyte takes about a second beside the pass of ffmpeg over it.

    Parameters
    ----------
    path
        The file.
    progress
        Called after each cluster with the part of the file that is done, 0 to 1; no more are read when it returns False.

    Raises
    ------
    VideoError
        If it was stopped.
    """
    wrong: list[int] = []
    count = 0
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for start, end in _clusters(content):
                if content[start] != CRC or content[start + 1] != 0x84:  # four bytes, as it must be
                    continue
                count += 1
                noted = int.from_bytes(content[start + 2 : start + CRC_BYTES], "little")
                with memoryview(content)[start + CRC_BYTES : end] as piece:
                    if zlib.crc32(piece) != noted:
                        wrong.append(_milliseconds(content, start + CRC_BYTES))
                if progress is not None and not progress(end / len(content)):
                    raise VideoError(f"Indexing {path} was stopped.")
    except (OSError, ValueError, IndexError):
        return []  # ffmpeg says what is wrong with it
    if not wrong:
        return []
    return [
        f"{len(wrong)} of {counted(count, 'piece')} of the file {'differs' if len(wrong) == 1 else 'differ'} from what was "
        "written, the first at about "
        f"{wrong[0] / 1000:.1f} s. Pictures there may be damaged. If you have another copy of the file, copy it again."
    ]


def _clusters(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield where the content of each cluster begins and ends; stops where one is of unknown length, as in live recordings."""
    place, end = 0, len(content)
    while place < end:
        kind, place = _number(content, place, keep=True)
        length, place = _number(content, place)
        if kind == SEGMENT:
            continue  # its children follow
        if length is None or kind is None or place + length > end:
            return
        if kind == CLUSTER:
            yield place, place + length
        place += length


def _number(content: mmap.mmap, place: int, *, keep: bool = False) -> tuple[int | None, int]:
    """Return a number of variable length and where it ends; ``None`` where all its bits are set. ``keep`` its marker: an id."""
    first = content[place]
    width = 9 - first.bit_length()
    if width > 8:
        raise ValueError("no number of EBML")
    value = int.from_bytes(content[place : place + width], "big")
    plain = value & ~(1 << (7 * width))
    unknown = plain == (1 << (7 * width)) - 1
    return (value if keep else None if unknown else plain), place + width


def _milliseconds(content: mmap.mmap, place: int) -> int:
    """Return the time of a cluster, at the usual scale, 0 if it does not begin with it."""
    if content[place] != TIME:
        return 0
    length = content[place + 1] & 0x7F
    return int.from_bytes(content[place + 2 : place + 2 + length], "big")
