"""What a camera makes of a composite: light, colour, blur and noise. Needs OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from research.object_motion import wander

Rng = np.random.Generator


def develop(rng: Rng, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a clip ``(T, Y, X, 3)`` light that drifts, colour, gamma, tint, blur and noise, alike over its frames."""
    frames, size = images.shape[:2]
    gain = np.exp(wander(rng, frames, 0.12, 0.01) + rng.normal(0, 0.15))
    colour = np.exp(rng.normal(0, 0.06, 3))
    if rng.random() < 0.15:
        colour = colour * np.array([1.35, 0.75, 0.75])  # as inside a body
    table = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.2))
    tables = table.astype(np.float32)[:, None] * (gain[:, None, None] * colour).astype(np.float32)  # (T, 256, 3)
    grey = rng.random() < 0.1
    sigma = float(rng.uniform(0.4, 1.4)) if rng.random() < 0.25 else 0.0
    noise = rng.normal(0, rng.uniform(0.005, 0.03), (size, size, 3)).astype(np.float32) if rng.random() < 0.5 else None
    developed = np.empty(images.shape, np.uint8)
    for t in range(frames):  # one by one, which stays in the processor's cache
        if not grey and not sigma and noise is None:
            cv2.LUT(images[t], _as_bytes(tables[t])[None], developed[t])
            continue
        frame = cv2.LUT(images[t], tables[t][None])
        if grey:
            frame = np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2)
        if sigma:
            frame = cv2.GaussianBlur(frame, (0, 0), sigma)
        if noise is not None:  # one field of noise, shifted, is much cheaper than one a frame
            _add_shifted(frame, noise, *rng.integers(0, size, 2))
        developed[t] = _as_bytes(frame)
    return developed


def _as_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values in [0, 1] as bytes; their memory is used up."""
    np.clip(values, 0, 1, out=values)
    values *= 255
    return values.astype(np.uint8)


def _add_shifted(frame: NDArray[np.float32], noise: NDArray[np.float32], down: int, right: int) -> None:
    """Add ``np.roll(noise, (down, right), (0, 1))`` to a frame, in place."""
    for rows, from_rows in (
        (slice(down, None), slice(None, len(noise) - down)),
        (slice(None, down), slice(len(noise) - down, None)),
    ):
        frame[rows, right:] += noise[from_rows, : len(noise) - right]
        frame[rows, :right] += noise[from_rows, len(noise) - right :]
