"""The packets of a Matroska or WebM file from the headers of its blocks, without looking into them.

Elements are those of RFC 8794 (EBML) and RFC 9559 (Matroska). Whatever is not plain (laced or invisible blocks, a track with
its own time scale, a cut or damaged file) gives ``None``: then the packets are listed by ffmpeg.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from napari_sam2s.errors import VideoError
from napari_sam2s.video.ffmpeg import FLAG_KEY, Packets

WINDOW_BYTES = 2**20  # read at once: forward and in large pieces, as disks and networks like it
LONGEST_HEAD = 32  # bytes of an id, a size, and the number or the head of a block behind them, generously
EBML, SEGMENT, INFO, TRACKS, TRACK = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE
CLUSTER, GROUP = 0x1F43B675, 0xA0
TIMESTAMP_SCALE, CLUSTER_TIMESTAMP = 0x2AD7B1, 0xE7
TRACK_NUMBER, TRACK_TYPE, TRACK_TIMESTAMP_SCALE = 0xD7, 0x83, 0x23314F
SIMPLE_BLOCK, BLOCK, REFERENCE = 0xA3, 0xA1, 0xFB
ENTERED = {SEGMENT, INFO, TRACKS, TRACK, CLUSTER, GROUP}  # their children are looked at
PARENTS = {EBML: 0, SEGMENT: 0, INFO: SEGMENT, TRACKS: SEGMENT, CLUSTER: SEGMENT, TRACK: TRACKS, GROUP: CLUSTER}
PARENTS |= {SIMPLE_BLOCK: CLUSTER, BLOCK: GROUP, REFERENCE: GROUP, CLUSTER_TIMESTAMP: CLUSTER}
NUMBERS = {TIMESTAMP_SCALE, CLUSTER_TIMESTAMP, TRACK_NUMBER, TRACK_TYPE}
# What may stand among and after the clusters without changing what the frames are; anything else there is damage.
SEEK_HEAD, CUES, CHAPTERS, TAGS, ATTACHMENTS, VOID, CRC = 0x114D9B74, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469, 0xEC, 0xBF
POSITION, PREVIOUS_SIZE, DURATION, PRIORITY, STATE, PADDING, ADDITIONS = 0xA7, 0xAB, 0x9B, 0xFA, 0xA4, 0x75A2, 0x75A1
SKIPPED = {SEEK_HEAD, CUES, CHAPTERS, TAGS, ATTACHMENTS, VOID, CRC}
SKIPPED |= {POSITION, PREVIOUS_SIZE, DURATION, PRIORITY, STATE, PADDING, ADDITIONS}
VIDEO = 1
KEY_BIT, INVISIBLE_BIT, LACING_BITS = 0x80, 0x08, 0x06


class _NotPlain(Exception):
    """A file that the heads of its blocks alone do not describe."""


@dataclass
class _Found:
    """What the elements so far have said."""

    scale: int = 1_000_000  # nanoseconds of a tick, unless the file says otherwise
    tracks: list[dict[int, int]] = field(default_factory=list)
    video: int | None = None  # number of the first video track
    cluster: int | None = None  # its timestamp
    pts: list[int] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    in_video: bool = False  # whether the last block was of the video track


def read_blocks(path: Path, progress: Callable[[float], bool] | None = None) -> Packets | None:
    """List the packets of the first video track in the order of the file, or return ``None`` where that takes more.

    Parameters
    ----------
    path
        Of the file.
    progress
        Called now and then with the part of the file that is done, 0 to 1; the pass stops when it returns False.

    Raises
    ------
    VideoError
        If it was stopped.
    """
    found, size = _Found(), path.stat().st_size
    with path.open("rb", buffering=0) as file:
        if file.read(4) != EBML.to_bytes(4, "big"):
            return None
        try:
            if not _walk(file, size, found, progress):
                raise VideoError(f"Indexing {path} was stopped.")
        except (_NotPlain, struct.error, IndexError, OverflowError, OSError):  # of a disk that fails ffmpeg says more
            return None
    if not found.pts:
        return None
    pts = np.array(found.pts, np.int64)
    flags = np.where(found.keys, FLAG_KEY, 0).astype(np.int64)
    # Blocks have no decoding times. Nothing asks for them where there are times to show.
    return Packets(pts, pts, flags, Fraction(found.scale, 1_000_000_000), partial=False)


def _walk(file: BinaryIO, size: int, found: _Found, progress: Callable[[float], bool] | None) -> bool:
    """Look at every element of the file once; false if ``progress`` stopped it."""
    window, start, place = b"", 0, 0
    ends = [(0, size)]  # of the elements we are in, the innermost last, with their ids
    while place < size:
        at = place - start
        if at + LONGEST_HEAD > len(window) and start + len(window) < size:
            if progress is not None and not progress(place / size):
                return False
            file.seek(place)
            window, start, at = file.read(WINDOW_BYTES), place, 0
        kind, length, body = _head(window, at)
        while place == ends[-1][1]:
            ends.pop()
        if kind == CLUSTER and ends[-1] == (CLUSTER, size):  # one of unknown size ends where the next begins
            ends.pop()
        end = size if length is None else start + body + length
        if end > ends[-1][1] or PARENTS.get(kind, ends[-1][0]) != ends[-1][0]:
            raise _NotPlain
        if kind in ENTERED:
            _enter(found, kind)
            ends.append((kind, end))
            place = start + body
            continue
        if kind in (SIMPLE_BLOCK, BLOCK):
            _block(found, window, body, kind == SIMPLE_BLOCK)
        elif kind in NUMBERS:
            assert length is not None
            _number(found, kind, int.from_bytes(window[body : body + length], "big"))
        elif kind == REFERENCE:
            if found.in_video:
                found.keys[-1] = False
        elif kind == TRACK_TIMESTAMP_SCALE or (found.pts and kind not in SKIPPED):
            raise _NotPlain
        place = end
    return progress is None or progress(1.0)


def _head(window: bytes, at: int) -> tuple[int, int | None, int]:
    """Return an element's id, the bytes of its content (``None`` if unknown), and where in the window that begins."""
    first = window[at]
    width = 9 - first.bit_length()
    if width > 4:
        raise _NotPlain
    kind = int.from_bytes(window[at : at + width], "big")
    at += width
    first = window[at]
    width = 9 - first.bit_length()
    if width > 8:
        raise _NotPlain
    mask = (1 << 7 * width) - 1
    length = int.from_bytes(window[at : at + width], "big") & mask
    if length == mask:
        if kind not in (SEGMENT, CLUSTER):
            raise _NotPlain
        return kind, None, at + width
    return kind, length, at + width


def _enter(found: _Found, kind: int) -> None:
    if kind == TRACK:
        found.tracks.append({})
    elif kind == CLUSTER:
        if found.video is None:
            videos = [track for track in found.tracks if track.get(TRACK_TYPE) == VIDEO]
            if not videos or TRACK_NUMBER not in videos[0]:
                raise _NotPlain
            found.video = videos[0][TRACK_NUMBER]
        found.cluster = None
    elif kind == GROUP:
        found.in_video = False
    elif kind in (INFO, TRACKS) and found.pts:  # a second segment, or a header at the end
        raise _NotPlain


def _number(found: _Found, kind: int, value: int) -> None:
    if kind == TIMESTAMP_SCALE:
        found.scale = value
    elif kind == CLUSTER_TIMESTAMP:
        found.cluster = value
    elif found.tracks:
        found.tracks[-1][kind] = value


def _block(found: _Found, window: bytes, at: int, simple: bool) -> None:
    """Note a block's time; that of a group is a key frame until a reference is met."""
    width = 9 - window[at].bit_length()
    number = int.from_bytes(window[at : at + width], "big") & ((1 << 7 * width) - 1)
    found.in_video = number == found.video
    if not found.in_video:
        if all(track.get(TRACK_NUMBER) != number for track in found.tracks):
            raise _NotPlain
        return
    relative, bits = struct.unpack_from(">hB", window, at + width)
    if found.cluster is None or bits & (INVISIBLE_BIT | LACING_BITS):
        raise _NotPlain
    found.pts.append(found.cluster + relative)
    found.keys.append(bool(bits & KEY_BIT) if simple else True)
