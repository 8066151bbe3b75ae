"""Pictures of scores: J&F over time with presence, and the frames that went worst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.result import Evaluation
from napari_sam2s.evaluation.scores import FrameScore
from napari_sam2s.formats.overlay import overlay
from napari_sam2s.masklets.protocol import Masklets

WIDTH, LANE, MARGIN, HEAD = 960, 90, 150, 24  # pixels
RIBBON = 10
FRAME = 640  # the longer side of a frame that went wrong
INK, GRID, LINE, AWAY, WRONG = (40, 40, 40), (220, 220, 220), (31, 119, 180), (190, 190, 190), (214, 39, 40)


def draw_track(lanes: Mapping[str, Mapping[int, FrameScore]]) -> Image.Image:
    """Return J&F over frames, one lane an object.

    The ribbon below a curve is grey where the object is absent and red where the prediction is wrong about that: a mask of
    an absent object, or none of one that is there.
    """
    frames = sorted({t for rows in lanes.values() for t in rows})
    first, last = (frames[0], frames[-1]) if frames else (0, 0)
    picture = Image.new("RGB", (WIDTH, HEAD + LANE * len(lanes) + HEAD), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=12)

    def x(t: float) -> float:
        return MARGIN + (t - first) / max(last - first, 1) * (WIDTH - MARGIN - 20)

    for n, (name, rows) in enumerate(lanes.items()):
        top, bottom = HEAD + n * LANE, HEAD + (n + 1) * LANE - RIBBON - 14
        pen.text((8, (top + bottom) // 2 - 8), name[:22], fill=INK, font=font)
        for share in (0.0, 0.5, 1.0):
            y = bottom - share * (bottom - top)
            pen.line([(MARGIN, y), (WIDTH - 20, y)], fill=GRID)
            pen.text((MARGIN - 28, y - 7), f"{100 * share:.0f}", fill=INK, font=font)
        points = [(x(t), bottom - (s.j + s.f) / 2 * (bottom - top)) for t, s in sorted(rows.items())]
        if len(points) > 1:
            pen.line(points, fill=LINE, width=2)
        else:
            pen.point(points, fill=LINE)
        half = (WIDTH - MARGIN - 20) / max(last - first, 1) / 2
        for t, s in rows.items():
            colour = WRONG if s.present != s.predicted else AWAY if not s.present else None
            if colour is not None:
                left, right = max(x(t) - half, MARGIN), min(x(t) + half, WIDTH - 20)
                pen.rectangle([left, bottom + 4, max(right, left + 1), bottom + 4 + RIBBON], fill=colour)
    for t in dict.fromkeys((first, (first + last) // 2, last)):
        pen.text((x(t) - 10, HEAD + LANE * len(lanes)), str(t), fill=INK, font=font)
    pen.text((8, 4), "J&F in percent by frame", fill=INK, font=font)
    return picture


def worst_frames(
    scores: Evaluation, name: str, prediction: Masklets, truth: Masklets, video: Any, count: int
) -> Iterator[tuple[int, float, Image.Image]]:
    """Yield the frames of a video with the lowest J&F (mean over objects), worst first, at least a 20th of it apart."""
    means: dict[int, list[float]] = {}
    for (video_name, _), rows in scores.frames.items():
        if video_name == name:
            for t, s in rows.items():
                means.setdefault(t, []).append((s.j + s.f) / 2)
    ranked = sorted(means, key=lambda t: (float(np.mean(means[t])), t))
    apart = (max(means) - min(means)) / 20 if means else 0
    chosen: list[int] = []
    for t in ranked:
        if len(chosen) < count and all(abs(t - other) >= apart for other in chosen):
            chosen.append(t)
    predicted = set(prediction.frames)
    for t in chosen:
        true = truth.masks(t)
        ours = prediction.masks(t) if t in predicted else {}
        size = next((m.shape for m in (*true.values(), *ours.values())), None)
        if size is None:
            continue
        frame = _frame(name, video, t, size) if video is not None else np.zeros((*size, 3), np.uint8)
        picture = Image.fromarray(_outlined(overlay(frame, ours, truth.objects), true))
        picture.thumbnail((FRAME, FRAME))
        yield t, float(np.mean(means[t])), picture


def _frame(name: str, video: Any, t: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        frame = np.asarray(video[t])
    except LookupError:
        raise EvaluationError(f"The video given for {name} has no frame {t}, which was scored: give the masks' own.") from None
    if frame.shape[:2] != size:
        raise EvaluationError(
            f"The video given for {name} has frames of {frame.shape[:2]} pixels (Y, X), the masks {size}: give the masks' own."
        )
    return frame


def _outlined(image: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Draw the outlines of masks in white, two pixels wide."""
    image = image.copy()
    for mask in masks.values():
        padded = np.pad(mask, 2)
        inner = np.ones_like(mask)
        for dy, dx in ((0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (3, 3), (1, 3), (3, 1)):
            inner &= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
        image[mask & ~inner] = 255
    return image
