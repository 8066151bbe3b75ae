"""Whether the times of packets name the frames that come out of the decoder, when they are played and when they are jumped to.

Most files pass. Those that do not were written by recorders that store decoding times as times to show, by AVI writers that
lost a piece, or in a codec whose palette stands at the beginning only: their frames can be counted from the start, and that
is all that is sure of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.video.ffmpeg import BIT_ERRORS, EndMismatches, Packets, Probe, Source, decode_text, packets_from

CHECKED_FRAMES = 60  # from the beginning,
CHECKED_PIXELS = 125_000_000  # as far as they have not more: 60 frames of 1080p, 15 of 4K
LEAST_FRAMES = 8
AFTER_JUMP = 3  # frames that are compared
JUMPS = 4  # where every frame is called a key frame by a file whose codec has others
WHOLE_FRAMES = {"mjpeg", "prores", "rawvideo", "ffv1", "png", "dnxhd", "dvvideo", "jpeg2000", "huffyuv", "ffvhuff", "utvideo"}
WHOLE_FRAMES |= {"magicyuv", "cfhd", "v210", "v410", "r210", "yuv4", "bmp", "tiff", "targa", "hap", "asv1", "asv2", "y41p"}
LATE, LATE_PACKETS = 0.9, 20  # of the packets: where a second jump goes, and how many are compared
SEEK_BACK = Fraction(14, 100)  # seconds: ffmpeg goes 3/23 s before where it is told to, for B-frames
LATE_FRAMES = 20  # that are decoded there, where the next key frame is farther than is checked
_SIZE = re.compile(r"pts_time:\S+ .*? s:(\d+x\d+)")
# Decoders write from threads of their own: what one says may stand between a frame's time and its checksum, and end the line.
_SHOWN = re.compile(r"n:\s*\d+ pts:\s*(-?\d+)(?:(?! pts:).)*? checksum:([0-9A-F]+)", re.DOTALL)
_SPREAD = re.compile(r" stdev:\[([\d.]+)")
_DAMAGE = re.compile(f"{BIT_ERRORS}|Invalid data|[Mm]issing reference|reference picture missing")
_END_OF_GXF = re.compile(r"\[in#0/gxf.*?Error during demuxing: .*")  # of whole files, too
# Of a palette the indices are the same after a jump, and their colours may not be.
_CHECKSUMS, _OF_COLOURS = "showinfo=checksum=1", "format=rgb24,showinfo=checksum=1"


@dataclass(frozen=True)
class Verdict:
    """What the first frames, and two jumps, tell of a file."""

    lies: str = ""  # why its times do not name its frames; "" where they do
    resized: bool = False  # frames have several sizes
    damaged: bool = False  # the decoder complains, so pixels may depend on the way to a frame


def check_times(source: Source, pts: NDArray[np.int64], keys: NDArray[np.int64], packets: Packets, first: Probe) -> Verdict:
    """Compare the index of a file with what its decoder gives.

    Parameters
    ----------
    source
        File and stream.
    pts, keys
        Of the index: times in the time base of ``first``, ascending, and the frames that decoding may start at.
    packets, first
        As they were listed, and what the first frame says.

    Notes
    -----
    Decodes 60 frames (fewer beyond 1080p), and three after a jump to a key frame among them; then the same at the last tenth,
    where parts that were appended lie. Of AVI and MXF, which have one list of packets for playing and another for jumping, it
    lists 20 packets after a jump there.

    Raises
    ------
    VideoError
        If pictures are of a palette that the file does not have.
    """
    pixels = first.streams[source.stream].pixels if source.stream < len(first.streams) else ""
    show = _OF_COLOURS if pixels == "pal8" else _CHECKSUMS
    count = min(max(CHECKED_PIXELS // (first.size[0] * first.size[1]), LEAST_FRAMES), CHECKED_FRAMES)
    played = _play(source, count, show)
    if pixels == "pal8" and played.plain and not _play(source, count, _CHECKSUMS).plain:
        last = int(pts[keys[-1]]) * first.time_base
        if keys[-1] < count or _play(source, AFTER_JUMP, show, last).plain:  # else it only begins with black
            raise VideoError(_no_palette(source.path))
    if not len(played.times):
        return Verdict(damaged=played.damaged)
    if played.runs_back:
        return Verdict("its times run back while it is played")
    if not played.damaged and played.lacks(pts):
        return Verdict("the decoder gives frames other times than the packets do")
    if _differs_after_jump(source, played.checksums, pts, keys, first, show):
        return Verdict("a jump shows other pictures than playback does")
    if first.container in ("avi", "mxf") and packets.crc is not None and _other_packets_after_jump(source, packets):
        return Verdict("a piece of it is lost, so jumps go to other frames")
    later = _look_later(source, pts, keys, first, count, show)
    return later if later.lies else replace(later, resized=later.resized or len(played.sizes) > 1, damaged=played.damaged)


class _Played:
    """What the decoder says of some frames in a row."""

    def __init__(self, text: str, count: int) -> None:
        text = _END_OF_GXF.sub("", text)
        shown = [(int(time), checksum) for time, checksum in _SHOWN.findall(text)][:count]
        self.times = np.array([time for time, _ in shown], np.int64)
        self.checksums = dict(shown)
        mismatches = EndMismatches()
        unsound = [mismatches.show_damage(line, frame=_SHOWN.search(line) is not None) for line in text.splitlines()]
        self.damaged = _DAMAGE.search(text) is not None or any(unsound[-1:])
        self.sizes = set(_SIZE.findall(text))
        self.plain = set(_SPREAD.findall(text)) == {"0.0"}  # frames of one shade of grey
        self.runs_back = bool((np.diff(self.times) < 0).any())

    def lacks(self, pts: NDArray[np.int64], since: int | None = None) -> bool:
        """Whether frames of the index, from a time on to the last that was shown, were not among them."""
        reached = pts[: np.searchsorted(pts, self.times[-1], side="right")]
        return not np.isin(reached if since is None else reached[reached >= since], self.times).all()


def _play(source: Source, count: int, show: str, seek: Fraction | None = None) -> _Played:
    return _Played(decode_text(source, count, show=show, seek=seek), count)


def _look_later(
    source: Source, pts: NDArray[np.int64], keys: NDArray[np.int64], first: Probe, count: int, show: str
) -> Verdict:
    """Say whether times, key frames or sizes far from the beginning are others: of files put together from two parts."""
    place = int(np.searchsorted(keys, LATE * len(pts), side="right")) - 1
    if place == len(keys) - 1 and place and keys[place - 1] >= count:
        place -= 1  # so that there is one to jump to
    key, following = int(keys[place]), int(keys[place + 1]) if place + 1 < len(keys) else len(pts)
    if key < count or first.codec in WHOLE_FRAMES:
        return Verdict()
    jump = following < len(pts) and following + AFTER_JUMP - key <= count
    frames = following + AFTER_JUMP - key if jump else min(count, LATE_FRAMES)
    played = _play(source, frames, show, int(pts[key]) * first.time_base)
    resized = bool(played.sizes - {f"{first.size[1]}x{first.size[0]}"})
    if not len(played.times) or played.damaged:
        return Verdict(resized=resized)
    # The jump may have gone to an earlier key frame; what is shown before that one may refer to what was jumped over.
    landed = min(int(np.searchsorted(pts[keys], played.times[0])), len(keys) - 1)
    if played.runs_back or played.lacks(pts, int(pts[keys[landed]])):
        return Verdict(f"near frame {key} the decoder gives frames other times than the packets do")
    if jump and _differs_at(source, played.checksums, int(pts[following]), first, show):
        return Verdict(f"another picture is shown after a jump to frame {following} than when it is played")
    return Verdict(resized=resized)


def _differs_after_jump(
    source: Source, played: dict[int, str], pts: NDArray[np.int64], keys: NDArray[np.int64], first: Probe, show: str
) -> bool:
    near = [int(k) for k in keys if 0 < k < len(played) - AFTER_JUMP]
    doubted = len(near) > JUMPS and len(keys) == len(pts) and first.codec not in WHOLE_FRAMES
    places = near[:: -(len(near) // JUMPS)] if doubted else near[-1:]
    return any(_differs_at(source, played, int(pts[k]), first, show, doubted=doubted) for k in places)


def _differs_at(source: Source, played: dict[int, str], key: int, first: Probe, show: str, *, doubted: bool = False) -> bool:
    text = decode_text(source, AFTER_JUMP, show=show, seek=key * first.time_base)
    # The jump goes behind the end. In MXF a reader's would go there, too; in others it tries earlier places.
    if first.container == "mxf" and _SHOWN.search(text) is None:
        return True
    # What is shown before the key frame may refer to what was jumped over (an open group of pictures).
    shown = [(int(time), checksum) for time, checksum in _SHOWN.findall(text)[:AFTER_JUMP] if int(time) >= key]
    if doubted and shown and shown[0][0] != key:  # what is called a key frame gives no picture of its own
        return True
    return any(played.get(time, checksum) != checksum for time, checksum in shown)


def _other_packets_after_jump(source: Source, packets: Packets) -> bool:
    assert packets.crc is not None
    place = int(LATE * len(packets.dts))
    if place < LATE_PACKETS:
        return False
    known = dict(zip(packets.dts.tolist(), packets.crc.tolist(), strict=True))
    seek = (packets.dts[place] - 1) * packets.time_base
    found = packets_from(source, float(seek), LATE_PACKETS)
    return any(known.get(dts, crc) != crc for dts, crc in found)


def other_sizes(source: Source, packets: Packets, first: Probe) -> bool:
    """Whether pictures have another size where the header of the stream is another one."""
    size = f"{first.size[1]}x{first.size[0]}"
    places = [int(np.argmax(packets.dts == dts)) for dts in packets.headers]
    times = [int(max(packets.pts[place], packets.dts[place])) * packets.time_base for place in places]  # NO_PTS is the least
    return any(_play(source, LATE_FRAMES, _CHECKSUMS, time + SEEK_BACK).sizes - {size} for time in times)


def _no_palette(path: Path) -> str:
    return (
        f"{path} has no palette, so every frame would be black. Copies into Matroska lose the colours of some codecs. Make it "
        f"again from the original: ffmpeg -i ORIGINAL -c:v ffv1 {quoted(f'{path.stem}-anew.mkv')}."
    )


def warning_of(verdict: Verdict, source: Source, rate: float | None) -> str:
    """Say what a user is to know of it."""
    if verdict.lies:
        return (
            f"The times in the file do not name its frames ({verdict.lies}). They are counted from its start, so jumps are "
            f"slow. A copy has quick jumps; make it with: {counted_copy(source, rate)}."
        )
    return "The stream is damaged. Near the damage, a frame may look different after a jump than during playback."


def counted_copy(source: Source, rate: float | None) -> str:
    """Return the command that makes a copy of a file whose frames have the times of their numbers."""
    path, every = source.path, "-ignore_editlist 1 " if source.all_samples else ""
    return (
        f"ffmpeg {every}-i {quoted(path.name)} -map 0:V:{source.stream} -vf settb=1/1000,setpts=N*1000/{rate or 25:g} "
        f"-fps_mode passthrough -c:v ffv1 {quoted(f'{path.stem}-counted.mkv')}"
    )
