"""The packets of an MP4 or MOV file from the tables in its header: milliseconds, however long the file is.

Boxes are those of ISO/IEC 14496-12 (the ISO base media file format), section 8. Whatever is not plain (fragments, several
edits, several video tracks, a cut file) gives ``None``: then the packets are listed by reading the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.video.ffmpeg import FLAG_KEY, Packets

LARGEST_HEADER_BYTES = 512 * 2**20
ENCRYPTED = (b"encv", b"drmi")  # kinds of samples: ISO/IEC 14496-12, 8.12; Apple's
Boxes = dict[bytes, list[memoryview]]
Edits = list[tuple[int, ...]]


class _NotPlain(Exception):
    """A file that these tables alone do not describe."""


def read_sample_tables(path: Path) -> Packets | None:
    """List the packets of the video track in the order of the file, or return ``None`` where the tables are not enough."""
    try:
        header = _header(path)
        return None if header is None else _packets(header, path.stat().st_size)
    except (_NotPlain, struct.error, ValueError, IndexError, OverflowError):
        return None


def samples_of_an_early_edit(path: Path) -> int:
    """Return how many frames the only video track has, if its edit list begins before the first of them, else 0.

    Writers that forget the delay of B-frames make such lists: they end too early by as much.
    """
    try:
        track, _, tables = _video_tables(_boxes(_header(path) or memoryview(b"")))
        edits = _edits(track)
        count = len(_sizes(_only(tables, b"stsz")))
        first = int((_decoding_times(_only(tables, b"stts"), count) + _offsets(tables, count)).min())
        return count if len(edits) == 1 and 0 <= edits[0][1] < first else 0
    except (_NotPlain, struct.error, ValueError, IndexError):
        return 0


def has_pauses_or_speeds(edits: Edits) -> bool:
    """Whether an edit list has what ffmpeg does not follow: gaps between edits, other speeds."""
    return any(start == -1 for _, start, *_ in edits[1:]) or any(edit[2:] != (1, 0) for edit in edits if edit[1] != -1)


def edits_of(path: Path) -> Edits:
    """Return the edit list of the only video track: duration in the movie's units, start in the track's, speed as two numbers.

    The start is -1 for a gap. Without such a list, or with several tracks, nothing is returned.
    """
    try:
        return _edits(_video_tables(_boxes(_header(path) or memoryview(b"")))[0])
    except (_NotPlain, struct.error, ValueError, IndexError):
        return []


def is_encrypted(path: Path) -> bool:
    """Whether the samples of the only video track are encrypted, as those of shops and streaming services are."""
    try:
        tables = _video_tables(_boxes(_header(path) or memoryview(b"")))[2]
        return bytes(_only(tables, b"stsd")[12:16]) in ENCRYPTED
    except (_NotPlain, struct.error, ValueError, IndexError):
        return False


def _header(path: Path) -> memoryview | None:
    """Return the content of ``moov``."""
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            head = 8
            if length == 1:
                length, head = struct.unpack(">Q", file.read(8))[0], 16
            if kind == b"moov":
                if not head < length <= min(size - place, LARGEST_HEADER_BYTES):
                    return None
                return memoryview(file.read(length - head))
            if kind == b"moof" or length < head:  # fragments; or a last box without a length
                return None
            place += length
    return None


def _boxes(content: memoryview) -> Boxes:
    """Return the boxes in one, by kind."""
    found: Boxes = {}
    for kind, body in _walk(content):
        found.setdefault(kind, []).append(body)
    return found


def _walk(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    place = 0
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if length == 0 and kind == b"\0\0\0\0":  # QuickTime ends some lists with a zero
            return
        if not 8 <= length <= len(content) - place:
            raise _NotPlain
        yield kind, content[place + 8 : place + length]
        place += length


def _only(boxes: Boxes, kind: bytes) -> memoryview:
    found = boxes.get(kind, [])
    if len(found) != 1:
        raise _NotPlain
    return found[0]


def _video_tables(movie: Boxes) -> tuple[Boxes, Boxes, Boxes]:
    """Return the boxes of the only video track, of its media and of its tables of samples."""
    tracks = [_boxes(track) for track in movie.get(b"trak", [])]
    media = [(track, _boxes(_only(track, b"mdia"))) for track in tracks]
    shown = [(track, parts) for track, parts in media if bytes(_only(parts, b"hdlr")[8:12]) == b"vide"]
    if len(shown) != 1:
        raise _NotPlain
    track, parts = shown[0]
    return track, parts, _boxes(_only(_boxes(_only(parts, b"minf")), b"stbl"))


def _packets(header: memoryview, file_size: int) -> Packets:
    movie = _boxes(header)
    if b"mvex" in movie:
        raise _NotPlain
    track, parts, tables = _video_tables(movie)
    if b"stps" in tables or _count(_only(tables, b"stsd")) != 1:
        raise _NotPlain
    sizes = _sizes(_only(tables, b"stsz"))
    _check_all_there(tables, sizes, file_size)
    dts = _decoding_times(_only(tables, b"stts"), len(sizes))
    pts = dts + _offsets(tables, len(sizes))
    timescale = _timescale(_only(parts, b"mdhd"))
    shift = _edit(track, pts, timescale, _timescale(_only(movie, b"mvhd")))
    flags = np.full(len(sizes), FLAG_KEY, np.int64)
    if b"stss" in tables:
        keys = _table(_only(tables, b"stss"), ">u4", 1)[:, 0] - 1
        if not len(keys):
            raise _NotPlain
        flags[:] = 0
        flags[keys] = FLAG_KEY
    return Packets(pts + shift, dts + shift, flags, Fraction(1, timescale), partial=False, sizes=sizes)


def _count(box: memoryview) -> int:
    return int(struct.unpack_from(">I", box, 4)[0])


def _table(box: memoryview, kind: str, columns: int) -> NDArray[np.int64]:
    """Return the rows of a table: version and flags, a count, then rows of equal columns."""
    rows = _count(box)
    return np.frombuffer(box, kind, rows * columns, 8).astype(np.int64).reshape(rows, columns)


def _timescale(box: memoryview) -> int:
    scale = int(struct.unpack_from(">I", box, 20 if box[0] else 12)[0])
    if not scale:
        raise _NotPlain
    return scale


def _sizes(box: memoryview) -> NDArray[np.int64]:
    """Return the bytes of every sample."""
    size, count = struct.unpack_from(">II", box, 4)
    sizes = np.full(count, size, np.int64) if size else np.frombuffer(box, ">u4", count, 12).astype(np.int64)
    if not count or not sizes.all():
        raise _NotPlain
    return sizes


def _check_all_there(tables: Boxes, sizes: NDArray[np.int64], file_size: int) -> None:
    """Refuse a file that ends before its last sample."""
    wide = b"co64" in tables
    starts = _table(_only(tables, b"co64" if wide else b"stco"), ">u8" if wide else ">u4", 1)[:, 0]
    runs = _table(_only(tables, b"stsc"), ">u4", 3)  # (first chunk from 1, samples in each, description)
    chunks = np.diff(np.append(runs[:, 0] - 1, len(starts)))
    if (chunks < 0).any() or chunks.sum() != len(starts) or (runs[:, 1] > len(sizes)).any():
        raise _NotPlain
    ends = np.cumsum(np.repeat(runs[:, 1], chunks))
    if not len(ends) or ends[-1] != len(sizes):
        raise _NotPlain
    upto = np.concatenate(([0], np.cumsum(sizes)))
    lengths = np.diff(upto[np.concatenate(([0], ends))])
    if (starts + lengths > file_size).any():
        raise _NotPlain


def _decoding_times(box: memoryview, samples: int) -> NDArray[np.int64]:
    runs = _table(box, ">u4", 2)  # (samples, duration of each)
    durations = _expand(runs, samples)
    if (durations[:-1] <= 0).any() or durations.max() >= 2**31:
        raise _NotPlain
    return np.concatenate(([0], np.cumsum(durations[:-1])))


def _expand(runs: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
    """Return one value a sample, of rows ``(samples, value)``."""
    if runs[:, 0].sum() != samples:
        raise _NotPlain
    return np.repeat(runs[:, 1], runs[:, 0])


def _offsets(tables: Boxes, samples: int) -> NDArray[np.int64]:
    """Return what is added to the decoding time of every sample to get the time it is shown."""
    if b"ctts" not in tables:
        return np.zeros(samples, np.int64)
    runs = _table(_only(tables, b"ctts"), ">i4", 2)  # signed in practice, whatever the version of the box
    return _expand(runs, samples)


def _edits(track: Boxes) -> Edits:
    if b"edts" not in track:
        return []
    box = _only(_boxes(_only(track, b"edts")), b"elst")
    row = ">Qqhh" if box[0] else ">Iihh"
    return [struct.unpack_from(row, box, 8 + n * struct.calcsize(row)) for n in range(_count(box))]


def _edit(track: Boxes, pts: NDArray[np.int64], timescale: int, movie_timescale: int) -> int:
    """Return what the edit list adds to every time; it must show all frames, once, at their own speed."""
    edits, delay = _edits(track), 0
    if not edits:
        return 0
    if len(edits) == 2 and edits[0][1] == -1:  # an empty edit: the track starts later
        delay = round(Fraction(edits[0][0] * timescale, movie_timescale))
        edits = edits[1:]
    if len(edits) != 1 or edits[0][2:] != (1, 0):
        raise _NotPlain
    duration, start = edits[0][0] * timescale // movie_timescale, edits[0][1]
    if pts.min() != start or pts.max() >= start + duration:  # some frames are cut away
        raise _NotPlain
    return delay - start
