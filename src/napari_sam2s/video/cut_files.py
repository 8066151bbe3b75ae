"""Files that end too early, of containers in which ffmpeg does not notice: transport streams, Ogg, MXF and raw frames."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.video.ffmpeg import Packets, Probe
from napari_sam2s.video.joined_files import y4m_frame_bytes

SYNC = 0x47  # the first byte of a packet of a transport stream
PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, and where its first byte stands
UNKNOWN = 2**31 - 1  # frames: what recorders write before they know
OGG_PAGE, OGG_END, OGG_HEADER, OGG_MOST = b"OggS", 0x04, 27, 65307  # bytes; of a page at most
MXF_HEADER, MXF_RUN_IN = bytes.fromhex("060e2b34020501010d0102010102"), 65536  # bytes that may stand before it
Y4M_HEADER, AVI_HEADER = 4096, 16384  # bytes
DV_FRAMES = (120_000, 144_000)  # bytes of a frame of 60 and of 50 fields a second (IEC 61834-2); better formats have multiples
# Containers whose header says how long the file is, and the most steps between frames that it may be wrong by.
PROMISED = {"avi": 0.9, "ivf": 0.9, "matroska,webm": 2.5, "flv": 2.5, "asf": 2.5}
SOUND_AFTER_S = 1.0  # may go on after the last frame


def short_pictures(packets: Packets, codec: str) -> list[str]:
    """Say that uncompressed pictures are not whole: what is shown in place of the rest is anything."""
    if codec != "rawvideo" or packets.sizes is None:
        return []
    short = int(((packets.sizes > 0) & (packets.sizes < packets.sizes.max())).sum())
    return (
        [f"{short} of the uncompressed pictures are shorter than others: they are damaged, or have another codec."]
        if short
        else []
    )


def ends_before_its_time(path: Path, pts: NDArray[np.int64], first: Probe) -> list[str]:
    """Say that the last frame comes before the end that the header of the file names.

    Parameters
    ----------
    path
        The file.
    pts
        Times of the frames, ascending, in the time base of ``first``.
    """
    steps = PROMISED.get(first.container)
    duration = max(first.duration or 0.0, _avi_seconds(path) if first.container == "avi" else 0.0)
    if steps is None or not duration or len(pts) < 2:
        return []
    step = float(np.median(np.diff(pts)) * first.time_base)
    end = float(pts[-1] * first.time_base) + step
    lacks = duration - max(end, end - float(pts[0] * first.time_base))
    if lacks <= steps * step or duration >= UNKNOWN * step or (first.sound and lacks <= SOUND_AFTER_S):
        return []
    end_s = f"{duration:.2f} s long in its header, but its last frame is at {end - step:.2f} s"
    return [
        f"The file is {end_s}: frames are "
        f"lost" + (", or only the sound continues." if first.sound else ", or the last one stays on screen.")
    ]


def _avi_seconds(path: Path) -> float:
    """Return the length of the only video stream by its header (``strh``); ffmpeg's is that of the index, where one is lost."""
    with path.open("rb") as file:
        head = file.read(AVI_HEADER)
    place = head.find(b"vids")
    if place < 0 or head.find(b"vids", place + 4) > 0 or len(head) < place + 36:
        return 0.0
    scale, rate, _, frames = struct.unpack_from("<4I", head, place + 20)
    return float(frames * scale / rate) if rate else 0.0


def ends_early(path: Path, container: str) -> bool:
    """Whether a file says by itself that its end is missing. ``container`` is ffmpeg's name."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if container == "mpegts":
                return _ends_in_a_packet(file, size)
            if container == "ogg":
                return _lacks_last_page(file, size)
            if container == "yuv4mpegpipe":
                head = file.read(Y4M_HEADER)
                length = y4m_frame_bytes(head)
                return length is not None and (size - head.find(b"\n") - 1) % (len(b"FRAME\n") + length) > 0
            if container == "dv":
                return size % DV_FRAMES[file.read(4)[3] >> 7] > 0
            return container == "mxf" and _lacks_footer(file, size)
    except OSError:
        return False


def _ends_in_a_packet(file: BinaryIO, size: int) -> bool:
    """ISO/IEC 13818-1: packets of 188 bytes; of 192 in cameras and on Blu-ray, of 204 with a checksum."""
    for length, place in PACKETS:
        rest = size % length
        whole = (0, length, size - rest - length) if size >= 2 * length else ()
        if whole and all(_byte(file, start + place) == SYNC for start in whole):
            return rest > 0 and (rest <= place or _byte(file, size - rest + place) == SYNC)
    return False


def _lacks_last_page(file: BinaryIO, size: int) -> bool:
    """RFC 3533: the last page of a stream says so, and every page says how long it is."""
    file.seek(max(size - 2 * OGG_MOST, 0))
    tail = file.read()
    start = tail.rfind(OGG_PAGE)
    if start < 0 or len(tail) - start < OGG_HEADER:
        return True
    segments = tail[start + 26]
    length = OGG_HEADER + segments + sum(tail[start + OGG_HEADER : start + OGG_HEADER + segments])
    return length > len(tail) - start or not tail[start + 5] & OGG_END


def _lacks_footer(file: BinaryIO, size: int) -> bool:
    """SMPTE ST 377-1: the header partition says where the footer is, as far as that was known."""
    head = file.read(2 * MXF_RUN_IN)
    start = head.find(MXF_HEADER)
    if start < 0:
        return False
    length = head[start + 16]  # of the length itself, if above 127
    values = start + 17 + (length & 0x7F if length > 0x7F else 0)
    return int.from_bytes(head[values + 24 : values + 32], "big") >= size


def _byte(file: BinaryIO, place: int) -> int:
    file.seek(place)
    return (file.read(1) or b"\0")[0]
