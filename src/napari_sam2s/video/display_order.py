"""The order in which the frames of a file are shown, by the times of its packets, or why these do not tell it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.video.ffmpeg import FLAG_DISCARD, FLAG_KEY, NO_PTS, Packets, Probe, Source, decoded_times
from napari_sam2s.video.index_check import WHOLE_FRAMES
from napari_sam2s.wording import counted

RESTARTING = ("mpegts", "mpeg", "asf")  # containers whose times ffmpeg carries on where they start anew
STANDING_BYTES = 16  # of a packet without a picture, at most
CHECKED_BEHIND = 4  # frames


def shown(packets: Packets, first: Probe, path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return times in the order shown, in the decoder's time base, and the indices of key frames and of shared times.

    Of neighbours that share a time the first counts; the others are left out, since nothing tells them apart after a jump.

    Raises :class:`VideoError` if the times run back on the way, so that one time names several frames.
    """
    ratio = packets.time_base / first.time_base
    pts = packets.pts.copy()
    if (pts == NO_PTS).any():
        for k in packets.back_at:
            if packets.flags[k] & FLAG_KEY:
                raise _joined(path, first, k, float((packets.dts[k] - packets.dts[0]) * packets.time_base))
        pts = _times_from_decoding_order(packets.dts, round(first.first_pts / ratio))
    kept = (packets.flags & FLAG_DISCARD) == 0  # edit lists cut packets away
    pts, key = pts[kept], (packets.flags[kept] & FLAG_KEY) != 0
    back = _first_key_in_the_past(pts, key)
    if back is not None and key.all() and first.codec not in WHOLE_FRAMES:
        raise VideoError(
            f"{path} calls every frame a key frame, but their times contradict that. Make a copy of it with "
            f"ffmpeg -i {quoted(path.name)} -map 0:V:0 -c:v libx264 -crf 12 {quoted(path.stem + '-copy.mp4')}, and open that."
        )
    if back is not None:
        raise _joined(path, first, back, float((pts[:back].max() - pts[:back].min()) * packets.time_base))
    pts = pts if ratio == 1 else np.round(pts * float(ratio)).astype(np.int64)
    order = np.argsort(pts, kind="stable")
    pts, key = pts[order], key[order]
    same = np.diff(pts) == 0
    unique, alone = np.append(True, ~same), np.append(~same, True)
    # Decoding from a key frame that is not alone could begin with either of two frames.
    return pts[unique], np.flatnonzero((key & alone)[unique]), np.flatnonzero(~alone[unique])


def without_standing(source: Source, packets: Packets, first: Probe) -> Packets:
    """Return packets of which those that say that the picture stays (empty ones; MPEG-4's "not coded") are left out.

    The decoder makes no frame of them. In packed streams of DivX such a packet follows one that holds two pictures, and the
    second is shown at its time.
    """
    sizes = packets.sizes
    if sizes is None:
        return packets
    if (sizes == 0).any():
        packets = replace(packets, flags=np.where(sizes == 0, packets.flags | FLAG_DISCARD, packets.flags))
    standing = sizes <= STANDING_BYTES
    if first.codec != "mpeg4" or not standing.any():
        return packets
    place, ratio = int(np.argmax(standing)), packets.time_base / first.time_base
    key = max(np.flatnonzero((packets.flags[: place + 1] & FLAG_KEY) != 0), default=0)
    seek = int(packets.dts[key]) * packets.time_base if key else None
    times = decoded_times(source, place - int(key) + CHECKED_BEHIND, seek)
    if packets.pts[place] == NO_PTS or round(int(packets.pts[place]) * ratio) in times:
        return packets
    return replace(packets, flags=np.where(standing, packets.flags | FLAG_DISCARD, packets.flags))


def with_last_time(source: Source, pts: NDArray[np.int64], keys: NDArray[np.int64], packets: Packets, first: Probe) -> None:
    """Give the last frame the decoder's time, in place, where packets have none and times count in less than frames (GXF).

    What is reckoned for it is a frame after the one before; the decoder reckons with the packet, which may last a field.
    """
    if len(pts) > 1 and (packets.pts == NO_PTS).any() and np.median(np.diff(pts)) > 1:
        times = decoded_times(source, len(pts), int(pts[keys[-1]]) * first.time_base if keys[-1] else None)
        if len(late := times[times > pts[-2]]) == 1:
            pts[-1] = late[0]


def left_out(packets: Packets, pts: NDArray[np.int64], first: Probe, path: Path) -> list[str]:
    """Say how many frames share their time with one before and are not among the times shown."""
    frames = int(((packets.flags & FLAG_DISCARD) == 0).sum())
    seconds = float((pts[-1] - pts[0]) * first.time_base)
    about = f", about {(frames - 1) / seconds:.0f}" if seconds > 0 else ""
    return [
        f"{frames - len(pts)} of {counted(frames, 'frame')} are left out. Their time equals that of the frame before (the"
        f" clock of the file is too coarse). To get all, make a copy with: ffmpeg -i {quoted(path.name)} -vf "
        f"settb=1/RATE,setpts=N"
        f" -fps_mode passthrough -enc_time_base 1:RATE {quoted(path.stem + '-all.mp4')} (RATE: frames per second{about})."
    ]


def _first_key_in_the_past(pts: NDArray[np.int64], key: NDArray[np.bool_]) -> int | None:
    """Return the first packet of a key frame shown before frames that lie in front of it in the file.

    There is none in a file of one piece: what is decoded after a key frame may be shown before it (an open group of
    pictures), what is decoded before it may not be shown after it.
    """
    back = key[1:] & (pts[1:] < np.maximum.accumulate(pts)[:-1])
    return int(np.argmax(back)) + 1 if back.any() else None


def _joined(path: Path, first: Probe, frame: int, seconds: float) -> VideoError:
    if first.container in RESTARTING:
        name, copy = quoted(path.name), quoted(f"{path.stem}.mkv")
        remedy = f"Make a new file with: ffmpeg -fflags +genpts -i {name} -map 0:V:0 -c copy {copy}"
    else:
        remedy = "Join its parts with ffmpeg -f concat -i LIST.txt -c copy JOINED.mkv, or open them one by one"
    return VideoError(
        f"{path}: after about {counted(frame, 'frame')} ({seconds:.1f} s) the times run back. The file was probably "
        f"joined byte by byte,"
        f" so one time stands for several frames. {remedy}."
    )


def _times_from_decoding_order(dts: NDArray[np.int64], first_pts: int) -> NDArray[np.int64]:
    """Return the times of packets without pts (AVI): frame k leaves the decoder with the dts of packet k + shift."""
    found = np.flatnonzero(dts == first_pts)
    shift = int(found[0]) if len(found) else 0
    step = int(np.median(np.diff(dts))) if len(dts) > 1 else 1
    tail = dts[-1] + step * np.arange(1, shift + 1)
    return np.concatenate((dts[shift:], tail))
