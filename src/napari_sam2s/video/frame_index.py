"""The index of a video file: which frames there are, in the order they are shown, and where decoding may start."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.video.animated_png import drawn_otherwise
from napari_sam2s.video.cut_files import ends_before_its_time, ends_early, short_pictures
from napari_sam2s.video.display_order import left_out, shown, with_last_time, without_standing
from napari_sam2s.video.ffmpeg import Packets, Probe, Source, probe, read_packets
from napari_sam2s.video.fragments import missing_fragments, missing_parts
from napari_sam2s.video.frame_rate import frames_per_second, irregular_times
from napari_sam2s.video.index_check import Verdict, check_times, other_sizes, warning_of
from napari_sam2s.video.joined_files import refuse_joined
from napari_sam2s.video.matroska_check import changed_pieces
from napari_sam2s.video.mp4_index import (
    edits_of,
    has_pauses_or_speeds,
    is_encrypted,
    read_sample_tables,
    samples_of_an_early_edit,
)
from napari_sam2s.video.playlists import named_files
from napari_sam2s.video.raw_streams import ELEMENTARY, elementary_times
from napari_sam2s.video.stream_choice import choose_stream, shown_of_several
from napari_sam2s.wording import counted

CACHE_VERSION = 13
SAMPLE_BYTES = 65536
MOVED = "is missing here, or is another file now"  # of a video that comes from another process
NO_FRAMES, FRAME_0 = np.zeros(0, np.int64), np.zeros(1, np.int64)


@dataclass(frozen=True)
class Stamp:
    """What tells that a file, and those it names, are still the ones that were indexed."""

    size: int
    mtime_ns: int  # the sum of all
    digest: str  # of its size and of samples of its content
    named: tuple[Path, ...] = ()

    @classmethod
    def of(cls, path: Path, named: tuple[Path, ...] = ()) -> Stamp:
        """Stamp a file, and those it names."""
        size, changed = _sizes_and_times((path, *named))
        digest = content_digest(path)
        if named:
            digest = hashlib.sha256(" ".join([digest, *map(content_digest, named)]).encode()).hexdigest()[:32]
        return cls(size, changed, digest, named)

    def check(self, path: Path, otherwise: str = "changed or disappeared while it was open") -> None:
        """Make sure that size and time of the file are unchanged; cheap enough for every read.

        Raises :class:`VideoError` if they are not; the sentence says ``otherwise`` of the file.
        """
        try:
            fits = _sizes_and_times((path, *self.named)) == (self.size, self.mtime_ns)
        except OSError:
            fits = False
        if not fits:
            raise VideoError(f"{path} {otherwise}: open it again.")


def _sizes_and_times(paths: tuple[Path, ...]) -> tuple[int, int]:
    found = [path.stat() for path in paths]
    return sum(status.st_size for status in found), sum(status.st_mtime_ns for status in found)


def content_digest(path: Path) -> str:
    """Return a hash of a file's size and of its first, middle and last 64 kB, 32 hex digits."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for offset in sorted({0, max(size // 2 - SAMPLE_BYTES // 2, 0), max(size - SAMPLE_BYTES, 0)}):
            file.seek(offset)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class Index:
    """Frames in the order they are shown."""

    pts: NDArray[np.int64]  # (T,) ascending, in units of ``time_base``
    keys: NDArray[np.int64]  # indices of the frames that decoding may start at
    time_base: Fraction
    size: tuple[int, int]  # (Y, X)
    codec: str
    container: str
    warnings: tuple[str, ...]
    shared: NDArray[np.int64]  # indices of the frames whose time is also that of others, which are left out
    stream: int = 0  # among the video streams,
    streams: int = 1  # of which there are so many
    pixels: str = ""  # ffmpeg's name of their format
    aspect: Fraction = Fraction(1)  # width of a pixel by its height
    all_samples: bool = False  # the edit list of an MP4 is not followed, since it loses frames
    times: NDArray[np.int64] | None = None  # of counted frames, whose ``pts`` are their numbers: when they are shown

    @property
    def counted(self) -> bool:
        """Whether frames are told apart by their number from the start, because their times lie."""
        return self.times is not None

    @property
    def shown_at(self) -> NDArray[np.int64]:
        """When every frame is shown, in units of ``time_base``."""
        return self.pts if self.times is None else self.times

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """Seconds of every frame, as the container says."""
        return np.asarray(self.shown_at * float(self.time_base), np.float64)

    @property
    def fps(self) -> float | None:
        """Frames per second, pauses of the recording left out; ``None`` for a single frame."""
        return frames_per_second(self.shown_at, self.time_base)

    @property
    def variable_rate(self) -> bool:
        """Whether the distances between frames differ by more than the rounding of the time base."""
        steps = np.diff(self.shown_at)
        return bool(len(steps)) and int(steps.max() - steps.min()) > 1


def build_index(path: Path, stream: int | None = None, progress: Callable[[float], bool] | None = None) -> Index:
    """Index a stream of a file by the tables in its header, else by one pass of ffmpeg over its packets.

    Raises :class:`VideoError` if it cannot be decoded, or there is no such stream.
    """
    if is_encrypted(path):
        raise VideoError(f"{path} is encrypted, like films from shops and streaming services: give a copy without encryption.")
    source, several, first = choose_stream(path, stream)
    edits = edits_of(path)
    if has_pauses_or_speeds(edits):
        source, first = replace(source, all_samples=True), None
        several.append("The edit list has pauses or other speeds. It is ignored: all frames of the file are shown.")
    pieces = 0 if source.all_samples else sum(edit[1] != -1 for edit in edits)
    index = _followed(source, several, progress, first) if pieces > 1 else _index(source, several, progress, first)
    if index is None:
        source = replace(source, all_samples=True)
        several.append(
            f"The edit list of {counted(pieces, 'piece')} cannot be followed. It is ignored: all frames of the file are shown."
        )
        index = _index(source, several, progress)
    if stream is None and index.streams > 1 and len(index.pts) == 1:  # a title picture is no film
        source, index = _longest(index, source, progress)
    if not index.container.startswith("mov") or source.all_samples:
        return index
    if not index.counted:
        lost = samples_of_an_early_edit(path) - len(index.pts) - len(index.shared)
        told = f"The edit list of the file begins before its first frame, so it hides {counted(lost, 'frame')} at the end."
        return replace(index, warnings=(*index.warnings, told)) if lost > 0 else index
    # Ffmpeg cuts away what it takes to lie outside of the edit list, by times that lie.
    whole = _index(replace(source, all_samples=True), several, progress)
    lost = len(whole.pts) - len(index.pts)
    if lost <= 0:
        return index
    told = (
        f"With these times its edit list would hide {counted(lost, 'frame')}: it is not followed, and all {len(whole.pts)} are"
        " shown."
    )
    return replace(whole, warnings=(*whole.warnings, told))


def _followed(
    source: Source, several: list[str], progress: Callable[[float], bool] | None, first: Probe | None
) -> Index | None:
    """Return the index of an MP4 of several edits, ``None`` where ffmpeg mixes them up: where they cut groups of B-frames."""
    try:
        index = _index(source, several, progress, first)
    except VideoError:
        return None
    return None if index.counted or len(index.shared) else index


def _longest(index: Index, source: Source, progress: Callable[[float], bool] | None) -> tuple[Source, Index]:
    """Return the stream of the most frames, and its index, of a file whose main stream is a single picture."""
    for number in range(index.streams):
        other, told = choose_stream(source.path, number)[0], shown_of_several(index.streams, number)
        found = index if number == index.stream else _index(other, [told], progress)
        if len(found.pts) > len(index.pts):
            source, index = other, found
    return source, index


def _index(source: Source, several: list[str], progress: Callable[[float], bool] | None, first: Probe | None = None) -> Index:
    path = source.path
    first, packets = _list_packets(source, progress, first)
    if first.container in ELEMENTARY:
        pts, warnings = elementary_times(packets, first, source)
        warnings = [*several, *warnings, *_missing_at_end(packets, first, len(pts), path)]
        return _made(source, first, warnings, pts, FRAME_0, NO_FRAMES)
    packets = without_standing(source, packets, first)
    pts, keys, shared = shown(packets, first, path)
    warnings = several + (left_out(packets, pts, first, path) if len(shared) else [])
    if len(pts) and first.first_pts != pts[0]:
        start = int(np.searchsorted(pts, first.first_pts))
        if start >= len(pts) or pts[start] != first.first_pts:
            raise VideoError(
                f"{path}: the first decoded frame (pts {first.first_pts}) is not among its packets; the file is damaged."
            )
        # An open group of pictures was cut: its first packets refer to frames that are not there.
        warnings.append(
            f"The file was cut at its beginning: {counted(start, 'frame')} there cannot be decoded. Frame 0 is the first that"
            " can."
        )
        pts, keys = pts[start:], keys[keys >= start] - start
        shared = shared[shared >= start] - start
    if not len(keys) or keys[0] != 0:
        keys = np.concatenate((FRAME_0, keys))
    with_last_time(source, pts, keys, packets, first)
    cut = _missing_at_end(packets, first, len(pts), path)
    warnings += cut + _lost_within(packets, pts, first) + short_pictures(packets, first.codec)
    warnings += changed_pieces(path, progress) if first.container.startswith("matroska") else []
    warnings += drawn_otherwise(path) if first.container == "apng" else []
    warnings += missing_fragments(path) if first.container.startswith("mov") else []
    rate = frames_per_second(pts, first.time_base)
    verdict = check_times(source, pts, keys, packets, first) if not len(shared) else Verdict()
    if verdict.lies or verdict.damaged:
        warnings.append(warning_of(verdict, source, rate))
    if verdict.resized or other_sizes(source, packets, first):
        height, width = first.size
        warnings.append(f"Frames have several sizes: all are scaled to that of the first, {width} x {height}.")
    warnings += ([] if cut else ends_before_its_time(path, pts, first)) + irregular_times(pts, first.time_base)
    if not verdict.lies:
        return _made(source, first, warnings, pts, keys, shared)
    numbers = np.arange(len(pts), dtype=np.int64)
    return replace(_made(source, first, warnings, numbers, FRAME_0, NO_FRAMES), times=pts)


def _made(
    source: Source,
    first: Probe,
    warnings: list[str],
    pts: NDArray[np.int64],
    keys: NDArray[np.int64],
    shared: NDArray[np.int64],
) -> Index:
    return Index(
        pts=pts,
        keys=keys,
        time_base=first.time_base,
        size=first.size,
        codec=first.codec,
        container=first.container,
        warnings=tuple(warnings),
        shared=shared,
        stream=source.stream,
        streams=len(first.streams),
        pixels=first.streams[source.stream].pixels if source.stream < len(first.streams) else "",
        aspect=first.aspect,
        all_samples=source.all_samples,
    )


def _list_packets(source: Source, progress: Callable[[float], bool] | None, first: Probe | None) -> tuple[Probe, Packets]:
    """Return what the first decoded frame says and the packets, by what the file says of them if they agree, else by ffmpeg."""
    packets = None if source.all_samples else read_sample_tables(source.path)
    if packets is not None:
        first = first or probe(source)
        if packets.time_base == first.time_base and int(packets.pts.min()) == first.first_pts:
            return first, packets
    if first is not None:
        return first, read_packets(source, progress)
    with ThreadPoolExecutor(1) as pool:  # both at once, since the pass takes long
        probing = pool.submit(probe, source)
        try:
            packets = read_packets(source, progress)
        except VideoError:
            probing.result()  # knows better why
            raise
        return probing.result(), packets


def _missing_at_end(packets: Packets, first: Probe, frames: int, path: Path) -> list[str]:
    """Say how many frames a truncated file lacks."""
    if not packets.partial and not ends_early(path, first.container):
        return []
    known = packets.partial and first.duration and first.rate  # else ffmpeg reckons the duration from what is there
    expected = round(first.duration * first.rate) if known and first.duration and first.rate else 0
    missing = f"about {counted(expected - frames, 'frame is', 'frames are')}" if expected > frames else "the end is"
    return [f"The file is truncated: {missing} missing; the {counted(frames, 'frame')} before that can be read."]


def _lost_within(packets: Packets, pts: NDArray[np.int64], first: Probe) -> list[str]:
    """Say where data are lost on the way, as in a transport stream that lacks a piece."""
    if not packets.torn:
        return []
    place = min(int(np.searchsorted(pts, float(packets.torn[0] * packets.time_base / first.time_base))), len(pts) - 1)
    seconds, count = float((pts[place] - pts[0]) * first.time_base), len(packets.torn)
    where = f"near frame {place} ({seconds:.2f} s)"
    where += f", and at {counted(count - 1, 'more place')}" if count > 1 else ""
    return [f"Data in the file are lost {where}: frames are missing or damaged there."]


def cache_folder() -> Path:
    """Where indices are kept; ``SAM2S_CACHE_DIR`` overrides it."""
    return Path(os.environ.get("SAM2S_CACHE_DIR", platformdirs.user_cache_dir("napari-sam2s"))) / "video-index"


def load_index(
    path: Path, stream: int | None = None, progress: Callable[[float], bool] | None = None
) -> tuple[Index, Stamp, bool]:
    """Return the index of a stream of a file, the file's stamp, and whether the index came from the cache."""
    named = named_files(path)
    stamp = Stamp.of(path, named)
    name = os.fsencode(path.resolve()) + (b"" if stream is None else f"#{stream!r}".encode())
    cached = cache_folder() / f"{hashlib.sha256(name).hexdigest()[:32]}.npz"
    index = _read_cached(cached, stamp)
    if index is not None:
        return index, stamp, True
    for part in named or (path,):
        refuse_joined(part)
    index = build_index(path, stream, progress)
    index = replace(index, warnings=(*index.warnings, *missing_parts(named)))
    _write_cached(cached, index, stamp)
    return index, stamp, False


def _read_cached(cached: Path, stamp: Stamp) -> Index | None:
    try:
        with cached.open("rb") as file, np.load(file) as data:  # NumPy leaves a damaged one open that it opened itself
            facts = [str(fact) for fact in data["facts"]]
            if facts[:4] != _facts(stamp):
                return None
            base, codec, container, chosen, streams, pixels, aspect, every, *warnings = facts[4:]
            height, width = data["size"].tolist()
            found = data["pts"], data["keys"], Fraction(base), (height, width), codec, container, tuple(warnings)
            times = data["times"] if len(data["times"]) else None
            rest = int(chosen), int(streams), pixels, Fraction(aspect), every == "True", times
            return Index(*found, data["shared"], *rest)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # no cache, or one that cannot be read, is only slower


def _write_cached(cached: Path, index: Index, stamp: Stamp) -> None:
    chosen = str(index.stream), str(index.streams), index.pixels, str(index.aspect), str(index.all_samples)
    facts = [*_facts(stamp), str(index.time_base), index.codec, index.container, *chosen, *index.warnings]
    part = cached.with_name(f"{cached.stem}.{os.getpid()}.part.npz")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        size = np.array(index.size)
        times = NO_FRAMES if index.times is None else index.times
        np.savez(part, pts=index.pts, keys=index.keys, shared=index.shared, times=times, size=size, facts=np.array(facts))
        part.replace(cached)
    except OSError:  # a full or read-only disk: the index is made anew next time
        with suppress(OSError):  # nor may a folder be looked into that is somebody else's
            part.unlink(missing_ok=True)


def _facts(stamp: Stamp) -> list[str]:
    return [str(CACHE_VERSION), str(stamp.size), str(stamp.mtime_ns), stamp.digest]
