"""What a training step is made of: clips whose frames have roles, and how they are drawn (paper, DiveMem sampling)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.synthetic.clip import Clip

RETURN_SHARE = 0.5  # of DiveMem clips, if their video has a return to show
LONG_FRAMES = 2  # long-term frames of a DiveMem clip, after the conditioning one


class Role(Enum):
    """As what a frame is remembered by the frames after it."""

    CONDITION = "condition"
    LONG = "long"
    SHORT = "short"


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video make one clip."""

    indices: tuple[int, ...]
    roles: tuple[Role, ...]


def sample_vanilla(rng: np.random.Generator, length: int, frames: int) -> Sampling:
    """Draw consecutive frames, half of the time in reverse; a short video is played back and forth, never skipped."""
    first = int(rng.integers(0, max(length - frames, 0) + 1))
    indices = [_ping_pong(first + i, length) for i in range(frames)]
    if rng.random() < 0.5:
        indices.reverse()
    return Sampling(tuple(indices), (Role.CONDITION,) + (Role.SHORT,) * (frames - 1))


def sample_divemem(rng: np.random.Generator, length: int, frames: int, presence: NDArray[np.bool_] | None = None) -> Sampling:
    """Draw 1 conditioning and 2 long-term frames from the whole video and the rest as consecutive frames.

    The order of time is not respected between the two parts (Fig. 2). A video too short for that is drawn as vanilla. With
    ``presence (T, N)``, the consecutive frames of ``RETURN_SHARE`` of the clips are such that an object comes back in them:
    then only the long-term frames know it, and chance alone shows that too rarely.
    """
    short = frames - 1 - LONG_FRAMES
    if length < frames or short < 1:
        return sample_vanilla(rng, length, frames)
    run = _run_with_return(rng, presence, short) if presence is not None and rng.random() < RETURN_SHARE else []
    if not run:
        first = int(rng.integers(0, length - short + 1))
        run = list(range(first, first + short))
        if rng.random() < 0.5:
            run.reverse()
    elsewhere = np.setdiff1d(np.arange(length), run)
    picked = rng.choice(elsewhere, 1 + LONG_FRAMES, replace=False)
    roles = (Role.CONDITION,) + (Role.LONG,) * LONG_FRAMES + (Role.SHORT,) * short
    return Sampling((*(int(i) for i in picked), *run), roles)


def _run_with_return(rng: np.random.Generator, presence: NDArray[np.bool_], short: int) -> list[int]:
    """Return consecutive frames, forward or backward, on whose first an object is away and later there, if there are such."""
    length = len(presence)
    runs = [range(first, first + short) for first in range(length - short + 1)]
    runs += [run[::-1] for run in runs]
    good = [run for run in runs if (~presence[run[0]] & presence[run].any(axis=0)).any()]
    return list(good[rng.integers(len(good))]) if good else []


def _ping_pong(index: int, length: int) -> int:
    if length == 1:
        return 0
    period = 2 * (length - 1)
    index %= period
    return index if index < length else period - index


@dataclass
class Sample:
    """One clip, ready for the network."""

    frames: np.ndarray  # (T, S, S, 3) uint8
    masks: np.ndarray  # (T, N, S, S) bool; every object is visible on frame 0
    classes: np.ndarray  # (N,) int64, -1 for no class
    roles: tuple[Role, ...]
    name: str = ""
    known: np.ndarray | None = None  # (T, N) bool: whether anybody looked for the object; None if for all
    ignored: np.ndarray | None = None  # (T, S, S) bool: pixels that nobody labelled; None if there are none


@dataclass
class Batch:
    """Several clips of the same roles, their objects side by side."""

    frames: Tensor  # (T, B, S, S, 3) uint8
    masks: Tensor  # (T, N, S, S) bool, N the objects of all clips
    clip_of: Tensor  # (N,) int64: which of the B clips an object is in
    classes: Tensor  # (N,) int64
    roles: tuple[Role, ...]
    names: tuple[str, ...] = ()  # of the clips
    known: Tensor | None = None  # (T, N) bool, as in Sample
    ignored: Tensor | None = None  # (T, B, S, S) bool

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its arrays on a device."""
        tensors: dict[str, Any] = {k: value.to(device) for k, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


def draw_sample(
    rng: np.random.Generator,
    clip: Clip,
    frames: int,
    *,
    divemem: bool,
    max_objects: int,
    class_index: Callable[[str | None], int],
) -> Sample | None:
    """Draw a clip from a video; ``None`` if no object is visible on any of 10 first frames."""
    for _ in range(10):
        if divemem:
            sampling = sample_divemem(rng, len(clip), frames, clip.presence())
        else:
            sampling = sample_vanilla(rng, len(clip), frames)
        first = clip.masks(sampling.indices[0])
        visible = [o for o in clip.objects if first[o.id].any()]
        if visible:
            break
    else:
        return None
    chosen = [visible[i] for i in rng.permutation(len(visible))[:max_objects]]
    masks = [[m[o.id] for o in chosen] for m in map(clip.masks, sampling.indices)]
    known = np.array([[o.id not in unknown for o in chosen] for unknown in map(clip.unknown, sampling.indices)])
    return Sample(
        np.stack([clip[i] for i in sampling.indices]),
        np.array(masks),
        np.array([class_index(o.class_name) for o in chosen], dtype=np.int64),
        sampling.roles,
        clip.name,
        None if known.all() else known,
        _ignored(clip, sampling.indices),
    )


def _ignored(clip: Clip, indices: Sequence[int]) -> np.ndarray | None:
    found = [clip.ignored(i) for i in indices]
    if all(pixels is None for pixels in found):
        return None
    return np.stack([np.zeros(clip.shape[1:3], dtype=bool) if pixels is None else pixels for pixels in found])


def collate(samples: Sequence[Sample]) -> Batch:
    """Put clips of equal roles together."""
    counts = [s.masks.shape[1] for s in samples]
    return Batch(
        frames=torch.from_numpy(np.stack([s.frames for s in samples], axis=1)),
        masks=torch.from_numpy(np.concatenate([s.masks for s in samples], axis=1)),
        clip_of=torch.repeat_interleave(torch.arange(len(samples)), torch.tensor(counts)),
        classes=torch.from_numpy(np.concatenate([s.classes for s in samples])),
        roles=samples[0].roles,
        names=tuple(s.name for s in samples),
        known=_together([s.known for s in samples], [s.masks.shape[:2] for s in samples], np.concatenate, fill=True),
        ignored=_together([s.ignored for s in samples], [s.frames.shape[:3] for s in samples], np.stack, fill=False),
    )


def _together(
    arrays: Sequence[np.ndarray | None], shapes: Sequence[tuple[int, ...]], join: Callable[..., np.ndarray], *, fill: bool
) -> Tensor | None:
    """Join what part of the clips have along their second axis; ``None`` if none has it."""
    if all(array is None for array in arrays):
        return None
    whole = [np.full(shape, fill) if array is None else array for array, shape in zip(arrays, shapes, strict=True)]
    return torch.from_numpy(join(whole, axis=1))
