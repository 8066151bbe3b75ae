"""The bundled ffmpeg: what a file is, and the list of its packets, without decoding them."""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.video.stream_headers import header_output, other_headers

PROGRESS_PACKETS = 2000  # between two reports
WAIT_S = 60.0  # the longest that one answer of ffmpeg is waited for
PASS_WAIT_S = 600.0  # the longest that the next packets are waited for: they come in blocks, and disks may be slow
NO_PTS = -(2**63)
FLAG_KEY, FLAG_DISCARD = 0x1, 0x4
# What decoders and demuxers say of bit errors, in any codec; not of references that are missing behind a jump, as in an open
# group of pictures. JPEG 2000's "End mismatch" is judged by EndMismatches.
BIT_ERRORS = (
    r"error while decoding|concealing|Concealing|corrupt|damaged at|Error at MB|bad vlc|overread|no frame!|CRC mismatch|"
    r"Failed to parse header of NALU|[Ii]nvalid NAL|error y=|error count|ac.?tex damaged|lines with errors|ACT flag set|"
    r"bits left after decoding|ignoring overflow|AC EOB marker|LZW decode failed|decode_failed|cinepak_decode failed|"
    r"inflate returned error"
)
# What demuxers say of files that end too early, or of which the rest cannot be found. MPEG-TS has none: it may end anywhere.
PARTIAL = (
    "partial file",
    "truncated",
    "ended prematurely",
    "exceeds containing master",
    "Skipping chunk",
)
_SHOWINFO = re.compile(r"n:\s*\d+ pts:\s*(-?\d+|NOPTS).*? sar:(\d+)/(\d+) s:(\d+)x(\d+)")
_TIME_BASE = re.compile(r"config in time_base: (\d+)/(\d+)")
_VIDEO = re.compile(r"Stream #0.*?: Video: (\w+)[^,]*, (\w+)(?:.*?, (\d+)x(\d+))?")
_FORMAT = re.compile(r"Input #0, ([^ ]+), from")
_DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}  # of ffmpeg's readers, those that draw any text or bytes as letters
_GUESSED = "detected only with low score of 1,"  # HDF5 is taken for karaoke
_NO_CLOCK = "Invalid mdhd time scale"  # of MP4: its edit list then leaves out nearly all frames
_SPEAKER = re.compile(r"^(\[[^\]]*\] )+")  # such as "[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x55] "
_RATE = re.compile(r"([\d.]+) fps")
_STREAMS = re.compile(r"Stream #0.*?: (Audio|Subtitle|Data|Attachment)")
_RUN_BACK = re.compile(r"Non-monoton\w+ DTS; previous: (-?\d+)")
_TORN = re.compile(r"Packet corrupt \(stream = \d+, dts = (\d+)")  # data before it are lost, or its own end is
# Decoding times that always rise, so that ffmpeg has no reason to change the times to show.
_RISING = ("-bsf:v", "setts=pts=PTS:dts=N-1000000000000000")


class EndMismatches:
    """What JPEG 2000's "End mismatch" means: damage where most frames have none; of some encoders all intact ones have it."""

    def __init__(self) -> None:
        self._with = self._without = 0  # frames
        self._here = False

    def show_damage(self, line: str, *, frame: bool) -> bool:
        """Take up a line of the decoder, and whether it tells of a frame; return whether there is damage so far."""
        self._here |= "End mismatch" in line
        if frame:
            self._with, self._without = self._with + self._here, self._without + (not self._here)
            self._here = False
        return 0 < self._with < self._without


@dataclass(frozen=True)
class Source:
    """A video stream of a file."""

    path: Path
    stream: int = 0  # among the video streams that are no cover pictures
    all_samples: bool = False  # of an MP4 whose edit list loses frames: as if there were none
    codec: str = ""  # as ffmpeg names it, where that is known

    @property
    def input(self) -> list[str]:
        """The options that name it, safe for any file name."""
        options = ["-ignore_editlist", "1"] if self.all_samples else []
        return [*options, *input_arguments(self.path), "-map", f"0:V:{self.stream}"]


@dataclass(frozen=True)
class Stream:
    """What the header says of a video stream."""

    codec: str
    pixels: str  # ffmpeg's name of their format
    size: tuple[int, int]  # (Y, X) as coded; (0, 0) of one that begins later in the file


@dataclass(frozen=True)
class Probe:
    """What the first decoded frame and the header say."""

    codec: str
    container: str
    size: tuple[int, int]  # (Y, X) as shown, after rotation
    first_pts: int  # in units of ``time_base``
    time_base: Fraction  # seconds
    duration: float | None  # seconds, by the header
    rate: float | None  # frames per second, by the header
    streams: tuple[Stream, ...]  # all video streams
    aspect: Fraction = Fraction(1)  # width of a pixel by its height, as shown; 1 where it is not known
    sound: bool = False  # or anything else beside video, which may be longer


def executable() -> str:
    """Return the path of ffmpeg."""
    return imageio_ffmpeg.get_ffmpeg_exe()


def input_arguments(path: Path) -> list[str]:
    """Return the options that name an input, safe for any file name."""
    return ["-i", f"file:{path}"]


def probe(source: Source) -> Probe:
    """Decode one frame, which proves that the stream can be.

    Raises :class:`VideoError` if the file has no video stream or cannot be decoded; the sentence says what was found.
    """
    path, text = source.path, decode_text(source, 1)
    frame, base = _SHOWINFO.search(text), _TIME_BASE.search(text)
    if frame is None or base is None:
        raise VideoError(_why_not(path, text))
    container = _first(_FORMAT, text) or ""
    if _GUESSED in text:
        raise VideoError(f"{path} cannot be recognised: it may be a {container}, or anything else. Give a video.")
    if container in TEXT_ART:
        raise VideoError(f"{path} is text, not a video: give a video file, or a folder of pictures.")
    if _NO_CLOCK in text:
        raise VideoError(
            f"{path} has no clock: its time scale is 0, and most frames would be lost. To write it again with 25 frames "
            f"a second, run: ffmpeg -r 25 -ignore_editlist 1 -i {quoted(path.name)} {quoted(path.stem + '_25fps.mkv')}."
        )
    if container == "jpeg_pipe" and path.suffix.lower() in (".mjpeg", ".mjpg"):
        raise VideoError(
            f"{path} is a series of JPEG pictures without a container. Put it into one with: "
            f"ffmpeg -f mjpeg -i {quoted(path.name)} -c copy {quoted(path.stem + '.mkv')}."
        )
    if container == "tiff_pipe":
        raise VideoError(
            f"{path} is a TIFF with another ending. Rename it so that it ends in .tif. Then its pages open as frames."
        )
    if container.endswith("_pipe") or container.startswith("image2"):
        raise VideoError(f"{path} is a still image, not a video. To open a sequence of images, open their folder.")
    duration = _DURATION.search(text)
    seconds = None if duration is None else int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])
    rate = _first(_RATE, text)
    streams = _streams(text)
    return Probe(
        codec=streams[source.stream].codec if source.stream < len(streams) else "unknown",
        container=container,
        size=(int(frame[5]), int(frame[4])),
        first_pts=NO_PTS if frame[1] == "NOPTS" else int(frame[1]),
        time_base=Fraction(int(base[1]), int(base[2])),
        duration=seconds,
        rate=float(rate) if rate else None,
        streams=streams,
        aspect=Fraction(int(frame[2]) or 1, int(frame[3]) or 1) if int(frame[2]) else Fraction(1),
        sound=bool(_STREAMS.search(text.partition("Stream mapping:")[0])),
    )


def _streams(text: str) -> tuple[Stream, ...]:
    """Return the video streams of the input that are no cover pictures."""
    lines = text.partition("Stream mapping:")[0].splitlines()
    found = [_VIDEO.search(line) for line in lines if "(attached pic)" not in line]
    return tuple(Stream(m[1], m[2], (int(m[4] or 0), int(m[3] or 0))) for m in found if m is not None)


def decoded_times(source: Source, frames: int, seek: Fraction | None = None) -> NDArray[np.int64]:
    """Decode the first so many frames, or those from a key frame, and return their times in the time base of :class:`Probe`."""
    found = _SHOWINFO.findall(decode_text(source, frames, seek=seek))[:frames]  # a filter may see more before ffmpeg stops
    return np.array([int(pts) for pts, *_ in found if pts != "NOPTS"], np.int64)


def seek_arguments(seconds: Fraction | float) -> list[str]:
    """Return the options that start at the key frame at or before a time, however far before that lies."""
    return ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", f"{float(seconds):.6f}"]


def decode_text(source: Source, frames: int, *, show: str = "showinfo=checksum=0", seek: Fraction | None = None) -> str:
    """Return what ffmpeg, and the filters ``show``, say while so many frames are decoded from the beginning or a key frame."""
    path = source.path
    command = [executable(), "-hide_banner", "-nostdin", "-copyts", *([] if seek is None else seek_arguments(seek))]
    command += [*source.input, "-an", "-sn", "-dn", "-frames:v", str(frames), "-fps_mode", "passthrough"]
    command += ["-vf", show, "-f", "null", "-"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise VideoError(f"{path} could not be opened within {WAIT_S:.0f} s; is the disk reachable?") from error
    return done.stderr.decode("utf-8", "replace")


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[1] if match else None


def _why_not(path: Path, text: str) -> str:
    """Say in one sentence why a file is no video."""
    found = sorted({kind.lower() for kind in _STREAMS.findall(text)})
    if "matches no streams" in text or (found and "Video:" not in text):
        return f"{path} has no video stream (found: {', '.join(found) or 'nothing'})."
    if path.suffix.lower() in (".yuv", ".rgb", ".raw"):
        return (
            f"{path} holds frames without a header, so their size is unknown. Write it again, with your own size and rate: "
            f"ffmpeg -f rawvideo -pix_fmt yuv420p -s 1920x1080 -r 25 -i {quoted(path.name)} {quoted(path.stem + '.mkv')}."
        )
    reasons = [_SPEAKER.sub("", line).strip() for line in text.splitlines() if "moov atom" in line or "Invalid data" in line]
    reason = reasons[0] if reasons else (text.strip().splitlines() or ["no message"])[-1]
    reason = "it shows no frame" if reason.startswith("frame=") else reason
    reason = reason.replace(f"file:{path}: ", "")
    if "moov atom" in reason:
        reason, remedy = (
            "moov atom not found",
            "The end of the file is missing, or it is not a video: copy, download or record it again",
        )
    else:
        remedy = "Give a video file or a folder of pictures. If this is a video, copy or download it again"
    return f"{path} cannot be opened as a video: {reason}. {remedy}."


@dataclass(frozen=True)
class Packets:
    """Every packet of the video stream, in the order of the file."""

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    flags: NDArray[np.int64]
    time_base: Fraction
    partial: bool  # ffmpeg said that the file ends too early
    back_at: tuple[int, ...] = ()  # packets where the dts run back
    crc: NDArray[np.int64] | None = None  # of their content, where they were read
    sizes: NDArray[np.int64] | None = None  # in bytes
    torn: tuple[int, ...] = ()  # dts of packets before the last ones at which data are lost
    headers: tuple[int, ...] = ()  # dts of key frames that bring another header of the stream, where they were read


def read_packets(source: Source, progress: Callable[[float], bool] | None = None) -> Packets:
    """List the packets of the video stream by copying it to nowhere.

    Parameters
    ----------
    source
        File and stream.
    progress
        Called now and then with the part of the file that is done, 0 to 1; the pass stops when it returns False.

    Raises
    ------
    VideoError
        If it was stopped, or ffmpeg failed before the first packet.
    """
    with tempfile.TemporaryDirectory() as folder:
        second = header_output(source.codec, source.stream, listed := f"{folder}/headers")
        base, table, complaints = _pass(source, progress, second)
        headers = other_headers(Path(listed).read_text().splitlines()) if Path(listed).is_file() else ()
    pts, dts, backs = table[:, 0], table[:, 1], sorted({int(previous) for previous in _RUN_BACK.findall(complaints)})
    if backs and (pts != NO_PTS).all():  # then the times to show have been changed too: once more, as they are
        pts = _pass(source, None if progress is None else lambda _: progress(1.0), options=_RISING)[1][:, 0]
    places = sorted({int(place) for place in _TORN.findall(complaints)})
    torn = tuple(place for place in places if place < np.sort(dts)[-2:][0])
    cut = "corrupt input packet" in complaints and (not places or len(torn) < len(places))  # at the end, or who knows where
    partial = cut or any(sign in complaints for sign in PARTIAL)
    # The dts after one that ran back have been raised to the largest before it.
    back_at = tuple(int(np.argmax(dts >= previous)) + 1 for previous in backs)
    return Packets(pts, dts, table[:, 2], base, partial, back_at, table[:, 4], table[:, 3], torn, headers)


def packets_from(source: Source, seconds: float, count: int) -> list[tuple[int, int]]:
    """Return dts and checksum of some packets after a jump."""
    command = [executable(), "-hide_banner", "-nostdin", "-loglevel", "error", "-copyts", *seek_arguments(seconds)]
    command += [*source.input, "-c", "copy", "-copyinkf", "-frames:v", str(count), "-f", "framecrc", "-"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    except subprocess.TimeoutExpired:
        return []
    rows = [_packet(line) for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return [(dts, crc) for _, dts, _, _, crc in rows]


def _pass(
    source: Source, progress: Callable[[float], bool] | None, second: list[str] | None = None, *, options: tuple[str, ...] = ()
) -> tuple[Fraction, NDArray[np.int64], str]:
    """Return the time base; pts, dts, flags, size and checksum of every packet; and what ffmpeg complained of."""
    path = source.path
    command = [executable(), "-hide_banner", "-nostdin", "-loglevel", "warning", "-copyts", *source.input]
    # Flushed in blocks: a line at a time would cost a change of process each.
    command += ["-c", "copy", "-copyinkf", *options, "-flush_packets", "0", "-f", "framecrc", "-", *(second or [])]
    rows: list[tuple[int, int, int, int, int]] = []
    base, size, read = Fraction(1, 1), path.stat().st_size, 0
    # Complaints go to a file: a damaged video has enough of them to fill a pipe, and then ffmpeg would wait for us.
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        with _Watch(process, PASS_WAIT_S) as watch:
            for line in process.stdout:
                if line.startswith("#"):
                    if line.startswith("#tb 0:"):
                        base = Fraction(line.split(":")[1].strip())
                    continue
                rows.append(_packet(line))
                read += rows[-1][3]
                if len(rows) % PROGRESS_PACKETS == 0:
                    watch.seen()
                    if progress is not None and not progress(min(read / size, 1.0)):
                        process.kill()
                        raise VideoError(f"Indexing {path} was stopped.")
        if watch.gave_up:
            raise VideoError(f"{path} could not be read: no data arrived for {PASS_WAIT_S:.0f} s; is the disk reachable?")
        log.seek(0)
        complaints = log.read().decode("utf-8", "replace")
    if not rows and second:  # filters that this ffmpeg does not know: it would not begin
        return _pass(source, progress, options=options)
    if not rows:
        raise VideoError(f"{path} cannot be opened as a video: it holds no frames.")
    return base, np.array(rows, dtype=np.int64), complaints


class _Watch:
    """End a process that gives nothing for so many seconds."""

    def __init__(self, process: subprocess.Popen[str], limit_s: float) -> None:
        self._process, self._limit_s = process, limit_s
        self._over = threading.Event()
        self.gave_up = False
        self.seen()

    def seen(self) -> None:
        """Start counting anew."""
        self._last = time.monotonic()

    def __enter__(self) -> _Watch:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(self._limit_s / 20):
            if time.monotonic() - self._last > self._limit_s:
                self.gave_up = True
                self._process.kill()
                return


def _packet(line: str) -> tuple[int, int, int, int, int]:
    """Return pts, dts, flags, size, crc of a line of framecrc: ``stream, dts, pts, duration, size, crc[, F=flags][, ...]``."""
    fields = line.split(",")
    flags = FLAG_KEY  # written only where it differs
    for extra in fields[6:]:
        extra = extra.strip()
        if extra.startswith("F="):
            flags = int(extra[2:], 16)
    dts, pts = fields[1].strip(), fields[2].strip()
    times = [NO_PTS if time == "NOPTS" else int(time) for time in (pts, dts)]
    return times[0], times[1], flags, int(fields[4]), int(fields[5], 16)
