"""Elementary streams: bare coded video without a container, which says neither when a frame is shown nor where it lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.video.ffmpeg import NO_PTS, Packets, Probe, Source, decoded_times

# As ffmpeg names them. It seeks in them by guessing, and counts from there.
ELEMENTARY = {"h264", "hevc", "vvc", "evc", "apv", "obu", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000", "ingenient", "dnxhd"}
ELEMENTARY |= {"h261", "h263", "vc1", "dirac", "cavsvideo", "avs2", "avs3"}
CHECKED_FRAMES = 50
TOLERANCE = 0.01  # of the distance between frames: that between packets is rounded


def elementary_times(packets: Packets, first: Probe, source: Source) -> tuple[NDArray[np.int64], list[str]]:
    """Return the times that ffmpeg counts when it decodes from the beginning, and a warning that all decoding starts there.

    Raises :class:`VideoError` if the first frames do not come at equal distances, one a packet: then the times of the others
    are not known.
    """
    path = source.path
    frames, name, copy = len(packets.dts), quoted(path.name), quoted(f"{path.stem}.mkv")
    times = decoded_times(source, min(frames, CHECKED_FRAMES))
    step = int(times[1] - times[0]) if len(times) > 1 else 1
    packet_s = float(np.median(np.diff(packets.dts)) * packets.time_base) if frames > 1 else float(step * first.time_base)
    regular = len(times) == min(frames, CHECKED_FRAMES) and (np.diff(times) == step).all()
    if not regular or abs(packet_s - float(step * first.time_base)) > TOLERANCE * packet_s:
        raise VideoError(
            f"{path} is a bare {first.container} stream, whose frames have no distinct times. "
            f"Put it into a container with: ffmpeg -i {name} -map 0:V:0 -c:v ffv1 {copy}."
        )
    codec = "copy" if (packets.pts != NO_PTS).all() else "ffv1"  # a copy of packets without times has none either
    warning = (
        f"A bare {first.container} stream has no table of frames, so each jump decodes from the beginning and is slow. A copy "
        f"has quick jumps; make it with: ffmpeg -i {name} -map 0:V:0 -c:v {codec} {copy}."
    )
    return times[0] + step * np.arange(frames, dtype=np.int64), [warning]
