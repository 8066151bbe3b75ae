"""Words on pictures: the names of objects where they are, and a legend under the picture."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_sam2s.masklets.types import Object

# Fonts with more letters than Pillow's own, where a system has one.
_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Captions:
    """The words of the objects of one video, in a size that fits its frames ``(Y, X)``."""

    def __init__(self, objects: Sequence[Object], size: tuple[int, int]) -> None:
        self._height = max(10, round(size[0] / 30))
        self._objects = objects
        self._words = {o.id: o.name for o in objects}
        self._fonts = {i: _font_for(words, self._height) for i, words in self._words.items()}
        plain = [i for i, font in self._fonts.items() if font is None]
        for i in plain:
            self._words[i], self._fonts[i] = f"object {i}", _font_for("object", self._height)
        if plain:
            text = (
                f"No installed font has all letters in the names of the objects {plain}. Their numbers are drawn instead. "
                f"To see the names, install Noto Sans."
            )
            warnings.warn(text, stacklevel=4)

    def name(self, image: NDArray[np.uint8], places: Mapping[int, tuple[float, float]]) -> NDArray[np.uint8]:
        """Return a picture ``(Y, X, 3)`` with the names of objects at ``{object id: (y, x)}``, and kept inside of it."""
        picture = Image.fromarray(image)
        draw = ImageDraw.Draw(picture)
        for i, (y, x) in places.items():
            left, top, right, bottom = draw.textbbox((0, 0), self._words[i], font=self._fonts[i])
            x = min(max(x - (right - left) / 2, 1), max(image.shape[1] - (right - left) - 1, 1))
            y = min(max(y - (bottom - top) / 2, 1), max(image.shape[0] - (bottom - top) - 1, 1))
            at = (x - left, y - top)
            draw.text(
                at,
                self._words[i],
                font=self._fonts[i],
                fill="white",
                stroke_width=max(1, self._height // 10),
                stroke_fill="black",
            )
        return np.asarray(picture)

    def legend(self, width: int) -> NDArray[np.uint8]:
        """Return a strip ``(Y, width, 3)`` that lists names and classes beside their colours, of an even height."""
        gap = self._height // 2
        entries, line, x = [], 0, gap
        draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
        for o in self._objects:
            words = self._words[o.id]
            if o.class_name and o.class_name != words and _font_for(o.class_name, self._height) is not None:
                words += f" ({o.class_name})"
            font = _font_for(words, self._height) or self._fonts[o.id]
            needed = self._height + gap + round(draw.textlength(words, font=font)) + 2 * gap
            if x > gap and x + needed > width:
                line, x = line + 1, gap
            entries.append((o, words, font, line, x))
            x += needed
        row = self._height + gap
        strip = Image.new("RGB", (width, ((line + 1) * row + gap + 1) // 2 * 2), (24, 24, 24))
        draw = ImageDraw.Draw(strip)
        for o, words, font, n, left in entries:
            top = gap + n * row
            draw.rectangle((left, top, left + self._height - 1, top + self._height - 1), fill=o.colour)
            draw.text((left + self._height + gap, top), words, font=font, fill="white")
        return np.asarray(strip)


@lru_cache(maxsize=64)
def _fonts(height: int) -> tuple[Font, ...]:
    found: list[Font] = [ImageFont.load_default(height)]
    for name in _FONTS:
        try:
            found.append(ImageFont.truetype(name, height))
        except OSError:
            continue
    return tuple(found)


def _font_for(words: str, height: int) -> Font | None:
    """Return the first font that has all letters of some words, ``None`` if none does."""
    return next((font for font in _fonts(height) if _has(font, words)), None)


def _has(font: Font, words: str) -> bool:
    missing = bytes(font.getmask("\U0010fffd"))  # what a font draws for a letter that it does not have
    return all(letter.isspace() or bytes(font.getmask(letter)) != missing for letter in set(words))
