"""Pictures of masks over video, for people to look at."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import whole_file
from napari_sam2s.masklets.labels import label_image
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object

OPACITY = 0.45
PLAYED = 25.0  # frames a second, where nothing else is known
ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".avi")  # containers that hold H.264


def overlay(frame: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]], objects: Sequence[Object]) -> NDArray[np.uint8]:
    """Return a frame ``(Y, X, 3)`` whose label image is tinted and outlined in the colours of the objects."""
    labels = label_image(masks, objects, frame.shape[:2])
    colours = {o.id: o.colour for o in objects}
    padded = np.pad(labels, 1)
    neighbours = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    outline = np.logical_or.reduce([labels != other for other in neighbours])
    image = frame.astype(np.float32)
    for object_id in np.unique(labels[labels > 0]):
        mask = labels == object_id
        colour = np.array(colours.get(int(object_id), (255, 255, 255)), dtype=np.float32)
        image[mask] = (1 - OPACITY) * image[mask] + OPACITY * colour
        image[mask & outline] = colour
    return image.astype(np.uint8)


def write_overlay(video: Any, masklets: Masklets, path: Path | str, *, fps: float | None = None) -> Path:
    """Write a video of the annotated frames with their masks, H.264 in MP4; sides are made even, other frames are left out.

    It has the video's rate; a time-lapse of less than one frame a second plays at 25.

    Raises
    ------
    FormatError
        If nothing is annotated, the file cannot be written, or it is the video itself.
    """
    path = Path(path)
    source = getattr(video, "path", None)
    if source is not None and path.exists() and path.samefile(source):
        raise FormatError(f"{path} is the video itself, which an overlay would replace: choose another name.")
    frames = list(masklets.frames)
    if not frames:
        raise FormatError("There are no masks to make a video of.")
    objects = masklets.objects
    rate = fps or getattr(video, "fps", None) or PLAYED
    rate = PLAYED if rate < 1 and fps is None else rate  # a time-lapse
    images = (overlay(np.asarray(video[t]), masklets.masks(t), objects) for t in frames)
    return write_video(images, path, fps=rate)


def write_video(frames: Iterable[NDArray[np.uint8]], path: Path | str, *, fps: float = 25.0, quality: int = 20) -> Path:
    """Write frames ``(Y, X, 3)`` uint8 as H.264, whole or not at all; ``quality`` is the constant rate factor, lower is better.

    Raises
    ------
    FormatError
        If there are no frames, the file's ending is not that of a video (see ``ENDINGS``), or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS or path.is_dir():
        what = "is a folder" if path.is_dir() else "does not have the ending of a video"
        raise FormatError(f"{path} {what}: name a file that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")
    if not path.parent.is_dir():
        raise FormatError(f"There is no folder {path.parent} to write {path.name} in.")
    part = path.with_name(f"{path.stem}.part-{os.getpid()}{path.suffix}")
    with whole_file(path, part):  # whose ending tells ffmpeg what to write
        _encode(iter(frames), part, path, ["-crf", str(quality), "-preset", "veryfast", "-threads", "2"], fps)
    return path


def _encode(frames: Iterator[NDArray[np.uint8]], part: Path, path: Path, options: list[str], fps: float) -> None:
    """Let ffmpeg write the frames to ``part``; what it says goes into the sentence about ``path`` if it fails."""
    first = next(frames, None)
    if first is None:
        raise FormatError(f"There are no frames to write to {path.name}.")
    height, width = (side // 2 * 2 for side in first.shape[:2])
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.6g}", "-i", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, "-an", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [*command, *options, f"file:{part}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError), process.stdin as pipe:  # it has ended early, and has said why
                for frame in itertools.chain((first,), frames):
                    pipe.write(frame[:height, :width].tobytes())
            failed = process.wait() != 0
        except BaseException:
            process.kill()
            process.wait()
            raise
        told.seek(0)
        words = told.read().decode(errors="replace").strip().splitlines()
    if failed or not part.is_file():
        raise FormatError(f"{path} cannot be written ({words[-1] if words else 'ffmpeg failed'}): choose another place for it.")


def contact_sheet(video: Any, masklets: Masklets, *, columns: int = 4, rows: int = 3, width: int = 320) -> Image.Image:
    """Return a picture of frames spread evenly over the annotated ones, with their masks."""
    frames = list(masklets.frames)
    if not frames:
        raise FormatError("There are no masks to make a picture of.")
    chosen = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(columns * rows, len(frames)))]
    objects = masklets.objects
    first = np.asarray(video[chosen[0]])
    height = round(width * first.shape[0] / first.shape[1])
    sheet = Image.new("RGB", (columns * width, -(-len(chosen) // columns) * height))
    for n, t in enumerate(chosen):
        picture = Image.fromarray(overlay(np.asarray(video[t]), masklets.masks(t), objects))
        sheet.paste(picture.resize((width, height)), (n % columns * width, n // columns * height))
    return sheet
