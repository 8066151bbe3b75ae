"""Changes of a drawn clip that every family can use; each is the same for all of its frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from napari_sam2s.training.clip_sampling import Role, Sample

FLIP_SHARE = 0.5
LIGHT = 0.15  # largest change of brightness and contrast, as a share
# SAM 2's fine-tuning: brightness, contrast and saturation of a clip, then of each frame; degrees of turn and shear.
CLIP_JITTER, FRAME_JITTER, GREY_SHARE = (0.1, 0.03, 0.03), (0.1, 0.05, 0.05), 0.05
TURN, SHEAR = 25.0, 20.0
LUMA = np.array((0.299, 0.587, 0.114), dtype=np.float32)


def augment(rng: np.random.Generator, sample: Sample) -> Sample:
    """Flip and re-light a clip."""
    if rng.random() < FLIP_SHARE:
        sample = _flipped(sample)
    gain, offset = rng.uniform(1 - LIGHT, 1 + LIGHT), rng.uniform(-LIGHT, LIGHT) * 128
    table = np.clip(np.arange(256) * gain + offset, 0, 255).astype(np.uint8)
    return replace(sample, frames=table[sample.frames])


def _flipped(sample: Sample) -> Sample:
    ignored = None if sample.ignored is None else np.ascontiguousarray(sample.ignored[..., ::-1])
    return replace(
        sample, frames=sample.frames[:, :, ::-1], masks=np.ascontiguousarray(sample.masks[..., ::-1]), ignored=ignored
    )


def augment_as_sam2(rng: np.random.Generator, sample: Sample) -> Sample:
    """Flip, turn and shear a clip, and change its colours, as a whole and from frame to frame, as SAM 2's fine-tuning does.

    An object that the turn pushes out of the first frame would leave nothing to prompt; such a turn is not made.
    """
    if rng.random() < FLIP_SHARE:
        sample = _flipped(sample)
    frames, masks, ignored = sample.frames, sample.masks, sample.ignored
    matrix = _affine(rng, frames.shape[1])
    first = np.stack([_transform(mask, matrix) for mask in masks[0]])
    if first.any(axis=(1, 2)).all():
        frames = np.stack([_transform(frame, matrix) for frame in frames])
        masks = np.stack([[_transform(mask, matrix) for mask in on_frame] for on_frame in masks])
        ignored = None if ignored is None else np.stack([_transform(pixels, matrix) for pixels in ignored])
    whole, grey = _jitter(rng, CLIP_JITTER), rng.random() < GREY_SHARE
    coloured = np.stack([_recolour(_recolour(f, *whole), *_jitter(rng, FRAME_JITTER)) for f in frames])
    if grey:
        coloured = np.repeat((coloured @ LUMA)[..., None], 3, axis=-1)
    shown = np.clip(coloured, 0, 255).astype(np.uint8)
    return replace(sample, frames=shown, masks=np.ascontiguousarray(masks), ignored=ignored)


def _affine(rng: np.random.Generator, size: int) -> tuple[float, ...]:
    """Return a turn and shear about the middle, as Pillow's six numbers (from output to input)."""
    angle, across, down = np.deg2rad([rng.uniform(-m, m) for m in (TURN, SHEAR, SHEAR)])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.array([[1, np.tan(across)], [np.tan(down), 1]]))
    middle = np.full(2, size / 2)
    shift = middle - inverse @ middle
    return (*inverse[0].tolist(), float(shift[0]), *inverse[1].tolist(), float(shift[1]))


def _transform(picture: NDArray, matrix: tuple[float, ...]) -> NDArray:
    mask = picture.dtype == bool
    image = Image.fromarray(picture.astype(np.uint8) * 255 if mask else np.ascontiguousarray(picture))
    moved = np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
    return moved > 127 if mask else moved


def _jitter(rng: np.random.Generator, most: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(float(rng.uniform(1 - m, 1 + m)) for m in most)


def _recolour(frame: NDArray, brightness: float, contrast: float, saturation: float) -> NDArray[np.float32]:
    out = frame.astype(np.float32) * np.float32(brightness)
    out = (out - out.mean()) * np.float32(contrast) + out.mean()
    grey = (out @ LUMA)[..., None]
    return grey + (out - grey) * np.float32(saturation)


def jitter_labels(rng: np.random.Generator, sample: Sample, most: int) -> Sample:
    """Grow or shrink every mask by up to ``most`` pixels, each object and frame by itself: annotators who disagree."""
    masks = np.empty_like(sample.masks)
    for index in np.ndindex(sample.masks.shape[:2]):
        mask, by = sample.masks[index], int(rng.integers(-most, most + 1))
        changed = mask if not by else (binary_dilation if by > 0 else binary_erosion)(mask, iterations=abs(by))
        masks[index] = changed if changed.any() else mask
    return replace(sample, masks=masks)


def cut_away(rng: np.random.Generator, sample: Sample, other: Sample) -> Sample:
    """Show something else for a while: some consecutive frames of another video, on which no object is to be seen.

    Absences are rare in short clips, and a network that meets few of them puts a mask on everything. Frames that are
    conditions or long-term memories stay.
    """
    short = [t for t, role in enumerate(sample.roles) if role is Role.SHORT]
    if len(short) < 2:
        return sample
    length = int(rng.integers(1, max(2, len(short) // 2 + 1)))
    first = int(rng.integers(0, len(short) - length + 1))
    cut = short[first : first + length]
    frames, masks = sample.frames.copy(), sample.masks.copy()
    frames[cut] = other.frames[cut]
    masks[cut] = False
    known, ignored = (None if array is None else array.copy() for array in (sample.known, sample.ignored))
    if known is not None:
        known[cut] = True  # whatever is seen there, it is not these objects
    if ignored is not None:
        ignored[cut] = False
    return replace(sample, frames=frames, masks=masks, known=known, ignored=ignored)
