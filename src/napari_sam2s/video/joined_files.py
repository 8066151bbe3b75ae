"""Files joined byte by byte in containers of which ffmpeg reads the first part only, without a word."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable
from pathlib import Path

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import quoted

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # its GUIDs: Advanced Systems Format, section 10
PNG = b"\x89PNG\r\n\x1a\n"
NUT = b"nut/multimedia container\0"
WTV = bytes.fromhex("b7d800203749da11a64e0007e95ead8d")
REAL = b".RMF\0\0\0\x12\0"  # with the length of its header
LONGEST_FTYP = 1024  # bytes
LAYOUTS = ("420", "411", "422", "444alpha", "444", "mono")  # of YUV4MPEG2, as their names begin


class _OutOfOrder(Exception):
    """A fragment begins at an earlier time than one of its track before it."""


def refuse_joined(path: Path) -> None:
    """Make sure that no second file begins where the first one ends, and that fragments (of DASH, say) are in order.

    Raises :class:`VideoError` if one does, or they are not; the sentence says where, and how to join them rightly.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            finder = _finder(content[:32])
            place = None if finder is None else finder(content)
    except _OutOfOrder as error:
        raise VideoError(
            f"{path}: the piece at byte {error.args[0]} is in the wrong place, so its frames would be lost. Join the "
            "segments again, the header first, then in the order of their numbers: cat init.mp4 1.m4s 2.m4s ... > VIDEO.mp4."
        ) from None
    except (OSError, ValueError, struct.error, IndexError):
        return  # ffmpeg says what is wrong with it
    if place is not None:
        name, part = quoted(path.name), quoted(f"{path.stem}-2{path.suffix}")
        raise VideoError(
            f"{path}: a second file starts at byte {place}, as in files joined byte by byte, and only the first would be "
            f"shown. Open its parts one by one, or join them with ffmpeg -f concat -i LIST.txt -c copy JOINED.mkv; the "
            f"second is cut out with: tail -c +{place + 1} {name} > {part}."
        )


def _finder(head: bytes) -> Callable[[mmap.mmap], int | None] | None:
    """Return what walks through files that begin so, to the place where another begins."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return _mp4
    known = ((b"FLV", _flv), (ASF_HEADER, _asf), (PNG, _png), (b"DKIF", _ivf), (b"YUV4MPEG2", _y4m), (b"FWS", _swf))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp
    again = ((start, _again(start)) for start in (NUT, WTV, REAL))
    return next((finder for start, finder in (*known, *again) if head.startswith(start)), None)


def _mp4(content: mmap.mmap) -> int | None:
    """Walk over the boxes of ISO/IEC 14496-12. A second ``moov`` begins another file, but where fragments carry times on."""
    place, begins, headers, found = 0, 0, 0, None
    last: dict[int, int] = {}  # time of a track's latest fragment
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if length == 1:
            length = struct.unpack_from(">Q", content, place + 8)[0]
        if kind == b"moof":
            track, started = _fragment(content[place + 8 : place + length])
            if headers > 1 and started <= last.get(track, -1):
                return found
            if started < last.get(track, 0):
                raise _OutOfOrder(place)
            last[track] = started
        if kind == b"ftyp" or (kind in (b"wide", b"mdat", b"moov") and headers and not begins):
            begins = place
        if kind == b"moov":
            headers += 1
            if headers == 2:
                found = begins or place
        if length < 8:  # the last box, or what was filled in between two files
            later = max(content.find(b"ftyp", place) - 4, 0)
            another = later > 0 and 8 <= int.from_bytes(content[later : later + 4], "big") <= LONGEST_FTYP
            return None if last else found or (later if another else None)
        place += length
    return None if last else found


def _fragment(content: bytes) -> tuple[int, int]:
    """Return the track of a fragment's first part and its time in the track's units (8.8.7 and 8.8.12)."""
    head, time = content.index(b"tfhd"), content.find(b"tfdt")
    track = int(struct.unpack_from(">I", content, head + 8)[0])
    if time < 0:
        return track, 0
    return track, int(struct.unpack_from(">Q" if content[time + 4] else ">I", content, time + 8)[0])


def _flv(content: mmap.mmap) -> int | None:
    """Walk over the tags (Adobe Flash Video File Format Specification 10.1, annex E)."""
    place = int.from_bytes(content[5:9], "big") + 4
    while place + 11 <= len(content):
        if content[place : place + 3] == b"FLV":
            return place
        place += 11 + int.from_bytes(content[place + 1 : place + 4], "big") + 4
    return None


def _asf(content: mmap.mmap) -> int | None:
    place = 0
    while place + 24 <= len(content):
        length = struct.unpack_from("<Q", content, place + 16)[0]
        if place and content[place : place + 16] == ASF_HEADER:
            return place
        if length < 24:
            return None
        place += length
    return None


def _png(content: mmap.mmap) -> int | None:
    place = len(PNG)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        place += 12 + length
        if kind == b"IEND":
            return place if content[place : place + len(PNG)] == PNG else None
    return None


def _webp(content: mmap.mmap) -> int | None:
    length = struct.unpack_from("<I", content, 4)[0]
    place = 8 + length + length % 2
    return place if content[place : place + 4] == b"RIFF" else None


def _ivf(content: mmap.mmap) -> int | None:
    place = int(struct.unpack_from("<H", content, 6)[0])
    while place + 12 <= len(content):
        if content[place : place + 4] == b"DKIF":
            return place
        place += 12 + struct.unpack_from("<I", content, place)[0]
    return None


def _y4m(content: mmap.mmap) -> int | None:
    place = content.find(b"\n") + 1
    size = y4m_frame_bytes(content[:place])
    while size is not None and place < len(content):
        if content[place : place + 9] == b"YUV4MPEG2":
            return place
        if content[place : place + 5] != b"FRAME":
            return None
        place = content.find(b"\n", place) + 1 + size
    return None


def y4m_frame_bytes(head: bytes) -> int | None:
    """Return the bytes of a frame of YUV4MPEG2, without its own header, by the first line; ``None`` if it is not understood."""
    words = {word[:1]: word[1:] for word in head.partition(b"\n")[0].decode("latin-1").split()[1:]}
    layout = words.get("C", "420")
    kind = next((start for start in LAYOUTS if layout.startswith(start)), None)
    if kind is None or not {"W", "H"} <= set(words):
        return None
    deep = re.match(r"p?(9|1\d)", layout.removeprefix(kind)) is not None
    return _samples(kind, int(words["W"]), int(words["H"])) * (2 if deep else 1)


def _samples(layout: str, width: int, height: int) -> int:
    half, quarter = (width + 1) // 2, (width + 3) // 4
    chroma = {"420": half * ((height + 1) // 2), "411": quarter * height, "422": half * height}.get(layout)
    if chroma is not None:
        return width * height + 2 * chroma
    return width * height * {"444alpha": 4, "444": 3}.get(layout, 1)


def _again(start: bytes) -> Callable[[mmap.mmap], int | None]:
    """Return what looks for the same start once more, of files that are too long a word to occur by chance."""
    return lambda content: place if (place := content.find(start, 1)) > 0 else None


def _swf(content: mmap.mmap) -> int | None:
    length = struct.unpack_from("<I", content, 4)[0]
    return length if content[length : length + 3] == b"FWS" else None
