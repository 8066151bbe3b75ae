"""Which of several video streams is the film: files of cameras begin with a small preview, stereo endoscopes write two."""

from __future__ import annotations

from pathlib import Path

from napari_sam2s.errors import VideoError
from napari_sam2s.video.ffmpeg import Probe, Source, probe
from napari_sam2s.wording import counted


def choose_stream(path: Path, stream: int | None) -> tuple[Source, list[str], Probe | None]:
    """Return the stream that is asked for, or else the largest; what to tell where there are several; what it says, if known.

    Raises :class:`VideoError` if the file has no such stream.
    """
    if stream is not None and (isinstance(stream, bool) or not isinstance(stream, int) or stream < 0):
        raise VideoError(f"stream={stream!r} is not a stream: video streams are counted from 0.")
    first = probe(Source(path))  # of stream 0
    streams = first.streams
    if stream is not None:
        if stream >= max(len(streams), 1):
            raise VideoError(f"{path} has no video stream {stream}: there are {len(streams)}, counted from 0.")
        return Source(path, stream, codec=streams[stream].codec if streams else ""), [], None if stream else first
    if len(streams) < 2:
        return Source(path, codec=streams[0].codec if streams else ""), [], first
    main = max(range(len(streams)), key=lambda n: (streams[n].size[0] * streams[n].size[1], -n))
    sizes = ", ".join(f"{n}: {s.size[1]} x {s.size[0]}" if s.size[0] else f"{n}: begins later" for n, s in enumerate(streams))
    told = [shown_of_several(len(streams), main, f" ({sizes})")]
    return Source(path, main, codec=streams[main].codec), told, None if main else first


def shown_of_several(streams: int, shown: int, sizes: str = "") -> str:
    """Say which stream of a file is shown."""
    return f"The file has {counted(streams, 'video stream')}{sizes}. Stream {shown} is shown; stream=N shows another."


def same_size_streams(path: Path) -> list[int]:
    """Return the video streams that have the size of the largest one, as those of two cameras do."""
    sizes = [stream.size for stream in probe(Source(path)).streams]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    return [n for n, size in enumerate(sizes) if size == largest]
