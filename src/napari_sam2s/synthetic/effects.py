"""What a laparoscope and its recorder do to a picture: light, smoke, shake, defocus, noise, compression."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from napari_sam2s.synthetic.tissue import add_octaves, draw_octaves

Rng = np.random.Generator
Curve = Callable[[float], float]
DRIFT = 64  # frames after which the smoke is back where it was
SHAKEN, DEFOCUSED, COMPRESSED = 0.25, 0.25, 0.4  # shares of the clips
SHAKE_PIXELS = 0.02  # of the picture's side, the longest blur of a shaken frame


class Effects:
    """The effects of one clip, the same at a frame whenever it is asked for.

    Parameters
    ----------
    rng, later
        Generators; ``later`` draws what came into being later, so that clips of a seed keep their light, smoke and noise.
    size
        ``(Y, X)``.
    path
        Draws a smooth path: ``path(rng, mean, amplitude, slowest period in frames)``.
    """

    def __init__(self, rng: Rng, later: Rng, size: tuple[int, int], path: Callable[[Rng, float, float, float], Curve]) -> None:
        height, width = self._size = size
        y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
        radius = np.hypot((x - width / 2) / width, (y - height / 2) / height)
        self._vignette = np.clip(1.12 - 1.1 * radius**2 * rng.uniform(0.6, 1.6), 0.12, 1.1)
        self._light = path(rng, rng.uniform(0.85, 1.05), 0.10, 200.0)
        smoke = draw_octaves(rng, max(size) + DRIFT, 3, 4)
        smoky, thickness = rng.random() < 0.3, rng.uniform(0.2, 0.55)
        self.smoke = add_octaves(smoke, max(size) + DRIFT) * np.float32(thickness) if smoky else None
        self._noise = rng.normal(0, rng.uniform(1.0, 5.0), (height + 31, width + 31)).astype(np.float32)
        self.shake: Curve | None = path(later, -0.3, 1.2, 50.0) if later.random() < SHAKEN else None
        self._shake_angle = later.uniform(0, np.pi)
        self.defocus: Curve | None = path(later, 0.2, 1.0, 90.0) if later.random() < DEFOCUSED else None
        self.quality = int(later.integers(25, 75)) if later.random() < COMPRESSED else 0
        self._unit = max(size) / 256  # of blur, which is given for a picture of 256 pixels

    def __call__(self, image: NDArray[np.float32], t: int) -> NDArray[np.uint8]:
        """Return an image ``(3, Y, X)`` in [0, 1] as it is recorded on frame ``t``, ``(Y, X, 3)``; its memory is used up."""
        height, width = self._size
        image *= self._vignette * np.float32(self._light(t) * 255)
        if self.smoke is not None:
            drift = t % DRIFT
            veil = self.smoke[drift : drift + height, DRIFT // 2 : DRIFT // 2 + width]
            for plane in image:
                plane += veil * (205 - plane)
        if self.shake is not None:
            image = self._shaken(image, self.shake(t))
        if self.defocus is not None and (sigma := self.defocus(t) * self._unit) > 0.3:
            image = _blurred(image, min(sigma, 2.0 * self._unit))
        grain = np.random.default_rng((t, 7)).integers(0, 31, 2)
        image += self._noise[grain[0] : grain[0] + height, grain[1] : grain[1] + width]
        recorded = interleaved(np.clip(image, 0, 255, out=image))
        return _compressed(recorded, self.quality) if self.quality else recorded

    def _shaken(self, image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        """Smear along the direction of the shake; what is shown stays in the middle of its smear."""
        length = round(min(strength, 1.0) * SHAKE_PIXELS * max(self._size))
        if length < 1:
            return image
        dy, dx = np.sin(self._shake_angle), np.cos(self._shake_angle)
        padded = np.pad(image, ((0, 0), (length, length), (length, length)), mode="edge")
        height, width = self._size
        total = np.zeros_like(image)
        for k in range(-length, length + 1):
            top, left = length + round(k * dy), length + round(k * dx)
            total += padded[:, top : top + height, left : left + width]
        total /= np.float32(2 * length + 1)
        return total


def interleaved(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the planes ``(3, Y, X)`` of an image in [0, 255] as a picture ``(Y, X, 3)``."""
    picture = np.empty((*image.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(image):
        picture[..., channel] = plane
    return picture


def _blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    blur = ImageFilter.GaussianBlur(sigma)
    planes = [np.asarray(Image.fromarray(p).filter(blur)) for p in np.clip(image, 0, 255, out=image).astype(np.uint8)]
    return np.stack(planes).astype(np.float32)


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an image as a JPEG of this quality shows it: blocks, and colour at half the resolution."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file, formats=("JPEG",)))
