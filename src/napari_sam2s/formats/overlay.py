"""Pictures of masks over video, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.captions import Captions
from napari_sam2s.formats.mask_entries import entries_of, seconds_of, visible_masks
from napari_sam2s.formats.video_encoding import ENDINGS, write_gif, write_video
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.overlaps import label_image
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.wording import counted

__all__ = ["ENDINGS", "contact_sheet", "overlay", "write_overlay", "write_overlay_gif", "write_video"]

OPACITY = 0.45
_LEVELS = np.arange(256, dtype=np.float32)
PLAYED = 25.0  # frames a second, where nothing else is known
GIF_FPS, GIF_WIDTH, GIF_FRAMES = 12.5, 480, 1500  # at most; more is a video
Words = Literal["names", "legend", "both", "none"]
Layout = Literal["overlay", "side-by-side"]
Span = tuple[int, int | None]  # frames: the first, and the one it stops before


def overlay(
    frame: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_] | rle.Mask], objects: Sequence[Object]
) -> NDArray[np.uint8]:
    """Return a frame ``(Y, X, 3)`` whose label image is tinted and outlined in the colours of the objects."""
    labels = label_image(masks, objects, frame.shape[:2], np.min_scalar_type(max(masks, default=0)))
    colours = {o.id: o.colour for o in objects}
    image = frame.copy()
    for object_id, mask in masks.items():
        box = mask if isinstance(mask, rle.Mask) else rle.encode(mask)
        place = slice(box.y0, box.y0 + box.height), slice(box.x0, box.x0 + box.width)
        seen = labels[place] == object_id
        inner = np.zeros_like(seen)  # pixels whose four neighbours are of the object too; beyond the box none is
        inner[1:-1, 1:-1] = seen[1:-1, 1:-1] & seen[:-2, 1:-1] & seen[2:, 1:-1] & seen[1:-1, :-2] & seen[1:-1, 2:]
        outline = seen & ~inner
        for channel, value in enumerate(colours.get(object_id, (255, 255, 255))):
            picture = image[(*place, channel)]
            # The tint of each level there is: a table, not sums for each pixel
            tinted = ((1 - OPACITY) * _LEVELS + np.float32(OPACITY) * np.float32(value)).astype(np.uint8)
            np.copyto(picture, tinted.take(picture, mode="clip"), where=inner)
            np.copyto(picture, np.uint8(value), where=outline)
    return image


def write_overlay(
    video: Any,
    masklets: Masklets,
    path: Path | str,
    *,
    fps: float | None = None,
    words: Words = "none",
    layout: Layout = "overlay",
    span: Span | None = None,
) -> Path:
    """Write a video of the annotated frames with their masks, H.264 in MP4; sides are made even, other frames are left out.

    It has the video's rate; a time-lapse of less than one frame a second plays at 25.

    Parameters
    ----------
    fps
        Frames a second, in place of the video's own.
    words
        ``"names"`` at the objects, a ``"legend"`` under the picture, ``"both"``, or ``"none"``.
    layout
        ``"side-by-side"`` puts the frame without masks on the left.
    span
        The frames from the first to before the second alone.

    Raises
    ------
    FormatError
        If nothing is annotated, the file cannot be written, or it is the video itself.
    """
    path = Path(path)
    _refuse_source(video, path)
    frames = _annotated(masklets, span)
    rate = fps or getattr(video, "fps", None) or PLAYED
    rate = PLAYED if rate < 1 and fps is None else rate  # a time-lapse
    return write_video(_drawn(video, masklets, frames, words, layout), path, fps=rate)


def write_overlay_gif(
    video: Any,
    masklets: Masklets,
    path: Path | str,
    *,
    words: Words = "names",
    layout: Layout = "overlay",
    span: Span | None = None,
    width: int = GIF_WIDTH,
) -> Path:
    """Write a GIF of the annotated frames with their masks; see :func:`write_overlay`.

    It is at most ``width`` pixels wide and takes every n-th frame, so that there are at most 12.5 a second: browsers slow
    down what is faster. It lasts as long as its frames do in the video.

    Raises
    ------
    FormatError
        If nothing is annotated, there are more than 1500 frames, or the file cannot be written.
    """
    if width < 16:
        raise FormatError(f"A GIF of {counted(width, 'pixel')} shows nothing: make it 16 wide or more.")
    path = Path(path)
    _refuse_source(video, path)
    frames = _annotated(masklets, span)
    rate = _rate(video, masklets, frames)
    every = max(1, int(np.ceil(rate / GIF_FPS - 1e-6)))
    chosen = frames[::every]
    if len(chosen) > GIF_FRAMES:
        raise FormatError(
            f"A GIF of {counted(len(chosen), 'frame')} is too long (at most {GIF_FRAMES}): choose a shorter span, or "
            f"export a video."
        )
    images = _drawn(video, masklets, chosen, words, layout)
    return write_gif((_narrowed(image, width) for image in images), path, fps=rate / every)


def _refuse_source(video: Any, path: Path) -> None:
    source = getattr(video, "path", None)
    if source is not None and path.exists() and path.samefile(source):
        raise FormatError(f"{path} is the video itself, and the overlay would replace it: choose another name.")


def _annotated(masklets: Masklets, span: Span | None) -> list[int]:
    first, stop = span or (0, None)
    frames = [t for t in masklets.frames if first <= t and (stop is None or t < stop)]
    if not frames:
        raise FormatError(
            "There are no masks to show in a video." if span is None else f"No frame from {first} on has masks there."
        )
    return frames


def _rate(video: Any, masklets: Masklets, frames: Sequence[int]) -> float:
    """Return the frames a second of some frames, by their times where these are known."""
    first, last = seconds_of(masklets, frames[0]), seconds_of(masklets, frames[-1])
    if first is not None and last is not None and last > first:
        return (len(frames) - 1) / (last - first)
    return float(getattr(video, "fps", None) or getattr(masklets, "fps", None) or GIF_FPS)


def _drawn(video: Any, masklets: Masklets, frames: Sequence[int], words: Words, layout: Layout) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures of frames ``(Y, X, 3)``, with words and beside themselves if wanted."""
    for value, known in ((words, get_args(Words)), (layout, get_args(Layout))):
        if value not in known:
            raise FormatError(f"{value!r} is not one of {', '.join(map(repr, known))}.")
    objects = tuple(masklets.objects)
    captions, legend = None, None
    for t in frames:
        frame, masks = np.asarray(video[t]), {entry.object_id: entry.mask for entry in entries_of(masklets, t)}
        if words != "none" and captions is None:
            captions = Captions(objects, (frame.shape[0], frame.shape[1]))
        image = overlay(frame, masks, objects)
        if captions is not None and words in ("names", "both"):
            seen, _ = visible_masks(masklets, t, objects, (frame.shape[0], frame.shape[1]))
            image = captions.name(image, dict(zip(seen, rle.centres_of([*seen.values()]).tolist(), strict=True)))
        if layout == "side-by-side":
            image = np.concatenate((frame, image), axis=1)
        if captions is not None and words in ("legend", "both"):
            legend = captions.legend(image.shape[1]) if legend is None else legend
            image = np.concatenate((image, legend))
        yield image


def _narrowed(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    height, wide = image.shape[:2]
    if wide <= width:
        return image
    size = (width, max(1, round(height * width / wide)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def contact_sheet(video: Any, masklets: Masklets, *, columns: int = 4, rows: int = 3, width: int = 320) -> Image.Image:
    """Return a picture of frames spread evenly over the annotated ones, with their masks."""
    frames = list(masklets.frames)
    if not frames:
        raise FormatError("There are no masks to show in a picture.")
    chosen = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(columns * rows, len(frames)))]
    objects = masklets.objects
    first = np.asarray(video[chosen[0]])
    height = round(width * first.shape[0] / first.shape[1])
    sheet = Image.new("RGB", (columns * width, -(-len(chosen) // columns) * height))
    for n, t in enumerate(chosen):
        picture = Image.fromarray(overlay(np.asarray(video[t]), masklets.masks(t), objects))
        sheet.paste(picture.resize((width, height)), (n % columns * width, n // columns * height))
    return sheet
