"""Pictures of masks over video, for people to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.vocabulary import Object

OPACITY = 0.45


def overlay(
    frame: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]], colours: Mapping[int, Sequence[int]]
) -> NDArray[np.uint8]:
    """Return a frame ``(Y, X, 3)`` with masks tinted and outlined in the colours of their objects."""
    image = frame.astype(np.float32)
    for object_id, mask in masks.items():
        if not mask.any():
            continue
        colour = np.array(colours.get(object_id, (255, 255, 255)), dtype=np.float32)
        image[mask] = (1 - OPACITY) * image[mask] + OPACITY * colour
        padded = np.pad(mask, 1)
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        image[mask & ~inner] = colour
    return image.astype(np.uint8)


def colours_of(objects: Iterable[Object]) -> dict[int, tuple[int, int, int]]:
    """Return the colour of each object."""
    return {o.id: o.colour for o in objects}


def write_overlay(video: Any, masklets: Masklets, path: Path | str, *, fps: float | None = None) -> Path:
    """Write a video of the annotated frames with their masks, H.264 in MP4; sides are made even.

    Raises
    ------
    FormatError
        If nothing is annotated or the file cannot be written.
    """
    path = Path(path)
    frames = list(masklets.frames)
    if not frames:
        raise FormatError("There are no masks to make a video of.")
    colours = colours_of(masklets.objects)
    rate = fps or getattr(video, "fps", None) or 25.0
    images = (overlay(np.asarray(video[t]), masklets.masks(t), colours) for t in frames)
    return write_video(images, path, fps=rate)


def write_video(frames: Iterable[NDArray[np.uint8]], path: Path | str, *, fps: float = 25.0, quality: int = 20) -> Path:
    """Write frames ``(Y, X, 3)`` uint8 as H.264 in MP4; ``quality`` is the constant rate factor, lower is better."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FormatError(f"There is no folder {path.parent} to write {path.name} in.")
    writer = None
    for frame in frames:
        even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
        if writer is None:
            options = ["-crf", str(quality), "-preset", "veryfast", "-threads", "2"]
            size = (even.shape[1], even.shape[0])
            writer = imageio_ffmpeg.write_frames(
                str(path), size, fps=fps, macro_block_size=1, output_params=options, quality=None, codec="libx264"
            )
            writer.send(None)
        writer.send(np.ascontiguousarray(even))
    if writer is None:
        raise FormatError(f"There are no frames to write to {path.name}.")
    writer.close()
    return path


def contact_sheet(video: Any, masklets: Masklets, *, columns: int = 4, rows: int = 3, width: int = 320) -> Image.Image:
    """Return a picture of frames spread evenly over the annotated ones, with their masks."""
    frames = list(masklets.frames)
    if not frames:
        raise FormatError("There are no masks to make a picture of.")
    chosen = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(columns * rows, len(frames)))]
    colours = colours_of(masklets.objects)
    first = np.asarray(video[chosen[0]])
    height = round(width * first.shape[0] / first.shape[1])
    sheet = Image.new("RGB", (columns * width, -(-len(chosen) // columns) * height))
    for n, t in enumerate(chosen):
        picture = Image.fromarray(overlay(np.asarray(video[t]), masklets.masks(t), colours))
        sheet.paste(picture.resize((width, height)), (n % columns * width, n // columns * height))
    return sheet
