"""From a frame of the video to the network's input."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Spread = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of red, green and blue in [0, 1]
IMAGENET: Spread = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MINUS_ONE_TO_ONE: Spread = ((0.5,) * 3, (0.5,) * 3)


def resize_frame(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Squash a frame ``(Y, X, 3)`` to ``(size, size, 3)``: bilinear with antialiasing, always on the CPU.

    The aspect ratio is not kept: SAM 2 was trained on squashed frames. A frame of that size already is returned as it is,
    so that one end of a connection may resize and the other encode.
    """
    if frame.shape[:2] == (size, size):
        return np.ascontiguousarray(frame)
    image = torch.from_numpy(np.array(frame, copy=not frame.flags.writeable or not frame.flags.c_contiguous))
    channels_last = image.permute(2, 0, 1)[None]
    small = F.interpolate(channels_last, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return small[0].permute(1, 2, 0).contiguous().numpy()


def normalise(frames: NDArray[np.uint8], device: torch.device, spread: Spread = IMAGENET) -> Tensor:
    """Turn ``(B, S, S, 3)`` uint8 into the network's input, ``(B, 3, S, S)`` float32 in units of a spread."""
    return scale(upload(tensor_of(frames), device), spread)


def tensor_of(frames: NDArray[np.uint8]) -> Tensor:
    """Return frames as a tensor; those that cannot be written, as the video's own and what comes over a line, are copied."""
    return torch.from_numpy(np.require(frames, requirements="W"))  # else torch warns, on the user's terminal


def scale(frames: Tensor, spread: Spread = IMAGENET) -> Tensor:
    """Turn ``(B, S, S, 3)`` uint8, where it is, into the network's input ``(B, 3, S, S)``."""
    mean, std = _statistics(frames.device, spread)
    return ((frames.permute(0, 3, 1, 2).float() - mean) / std).contiguous()


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor from the CPU to the device, without waiting for what a GPU is doing."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _statistics(device: torch.device, spread: Spread) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(of, device=device)[:, None, None] * 255 for of in spread)
    return mean, std
