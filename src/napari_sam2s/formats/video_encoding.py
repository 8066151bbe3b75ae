"""Frames to a video or an animated picture, by ffmpeg: whole or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import whole_file

ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".avi")  # containers that hold H.264
# A palette for each frame: one for all would have to know them all first.
_GIF = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=3"


def write_video(frames: Iterable[NDArray[np.uint8]], path: Path | str, *, fps: float = 25.0, quality: int = 20) -> Path:
    """Write frames ``(Y, X, 3)`` uint8 as H.264, whole or not at all; ``quality`` is the constant rate factor, lower is better.

    Raises :class:`FormatError` if there are no frames, the file's ending is not that of a video (see ``ENDINGS``), or it
    cannot be written.
    """
    codec = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", str(quality), "-preset", "veryfast", "-threads", "2"]
    return _write(frames, Path(path), fps, codec, ENDINGS, "a video", even=True)


def write_gif(frames: Iterable[NDArray[np.uint8]], path: Path | str, *, fps: float = 10.0) -> Path:
    """Write frames ``(Y, X, 3)`` uint8 as a GIF that plays for ever, whole or not at all.

    Raises :class:`FormatError` if there are no frames, the file does not end in ``.gif``, or it cannot be written.
    """
    return _write(frames, Path(path), fps, ["-filter_complex", _GIF, "-loop", "0"], (".gif",), "a GIF", even=False)


def _write(
    frames: Iterable[NDArray[np.uint8]],
    path: Path,
    fps: float,
    codec: list[str],
    endings: tuple[str, ...],
    what: str,
    *,
    even: bool,
) -> Path:
    if path.suffix.lower() not in endings or path.is_dir():
        wrong = "is a folder" if path.is_dir() else f"does not have the ending of {what}"
        listed = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
        raise FormatError(f"{path} {wrong}: name a file that ends in {listed}.")
    if not path.parent.is_dir():
        raise FormatError(f"There is no folder {path.parent} to write {path.name} in.")
    part = path.with_name(f"{path.stem}.part-{os.getpid()}{path.suffix}")
    with whole_file(path, part):  # whose ending tells ffmpeg what to write
        _encode(iter(frames), part, path, codec, fps, step=2 if even else 1)
    return path


def _check_frame(frame: Any, first: Any) -> None:
    """Make sure that a frame is one: the encoder takes any bytes, and would make other pictures of them."""
    shape, kind = np.shape(frame), getattr(frame, "dtype", type(frame))
    if len(shape) != 3 or shape[2] != 3 or kind != np.uint8 or shape != first.shape:
        raise FormatError(f"Frames are (Y, X, 3) uint8, all of one size; got the shape {shape} and {kind}.")


def _encode(frames: Iterator[NDArray[np.uint8]], part: Path, path: Path, codec: list[str], fps: float, step: int) -> None:
    """Let ffmpeg write the frames to ``part``; what it says goes into the sentence about ``path`` if it fails."""
    first = next(frames, None)
    if first is None:
        raise FormatError(f"There are no frames to write to {path.name}.")
    _check_frame(first, first)
    if not (isinstance(fps, int | float | np.number) and 0 < fps < np.inf):
        raise FormatError(f"fps={fps!r} is not a frame rate: give frames per second, a number above 0.")
    height, width = (side // step * step for side in first.shape[:2])
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.6g}", "-i", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, "-an", *codec, f"file:{part}"]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError), process.stdin as pipe:  # it has ended early, and has said why
                for frame in itertools.chain((first,), frames):
                    _check_frame(frame, first)
                    pipe.write(np.ascontiguousarray(frame[:height, :width]).data)
            failed = process.wait() != 0
        except BaseException:
            process.kill()
            process.wait()
            raise
        told.seek(0)
        words = told.read().decode(errors="replace").strip().splitlines()
    if failed or not part.is_file():
        if any("No space left" in line for line in words):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        why = words[-1].rpartition("] ")[2] if words else "ffmpeg failed"  # without its address in the memory
        raise FormatError(f"{path} cannot be written ({why}): choose another place for it.")
