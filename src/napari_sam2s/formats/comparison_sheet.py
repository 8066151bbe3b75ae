"""One picture of several trackings of the same clip: a row for each frame, a column for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.overlay import overlay
from napari_sam2s.masklets.protocol import Masklets

BAR = 18  # pixels above each picture, for its words


def comparison_sheet(video: Any, runs: Mapping[str, Masklets], frames: Sequence[int], *, width: int = 320) -> Image.Image:
    """Return pictures ``width`` pixels wide of the frames (down) as each of the runs has them (across).

    Raises :class:`FormatError` if there is nothing to show.
    """
    if not runs or not frames:
        raise FormatError("There are no masks to show in a picture.")
    first = np.asarray(video[frames[0]])
    height = max(round(width * first.shape[0] / first.shape[1]), 1)
    sheet = Image.new("RGB", (len(runs) * width, len(frames) * (height + BAR)))
    draw = ImageDraw.Draw(sheet)
    for row, frame in enumerate(frames):
        pixels = np.asarray(video[frame])
        top = row * (height + BAR)
        for column, (name, masklets) in enumerate(runs.items()):
            picture = Image.fromarray(overlay(pixels, masklets.masks(frame), masklets.objects))
            sheet.paste(picture.resize((width, height)), (column * width, top + BAR))
            words, shown = f", frame {frame}", name
            while draw.textlength(shown + words) > width - 8 and shown != "...":  # not into the next column
                shown = f"{shown.rstrip('.')[:-1]}..."
            draw.text((column * width + 4, top + 3), shown + words, fill="white")
    return sheet
