"""From a frame of the video to the network's input."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB
STD = (0.229, 0.224, 0.225)


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


def normalise(frames: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Turn ``(B, S, S, 3)`` uint8 into the network's input, ``(B, 3, S, S)`` float32 in units of ImageNet's spread."""
    image = torch.from_numpy(frames).to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    mean = torch.tensor(MEAN, device=device)[:, None, None] * 255
    std = torch.tensor(STD, device=device)[:, None, None] * 255
    return ((image - mean) / std).contiguous()
