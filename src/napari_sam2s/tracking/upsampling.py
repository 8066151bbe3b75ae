"""From the network's logits to masks of the video's size."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOGETHER_BYTES = 2**28  # of logits at the video's size, on a GPU


class MaskUpsampler:
    """Bilinear upsampling of low-resolution logits to the video's size, only where the object can be.

    The same result as interpolating the whole frame (half-pixel centres, as ``align_corners=False``): a pixel above zero
    has a logit above zero among the four around it.
    """

    def __init__(self, side: int, size: tuple[int, int]) -> None:
        self.size = size
        self._rows = _weights(side, size[0])
        self._columns = _weights(side, size[1])
        self._on_device: tuple[Tensor, Tensor] | None = None

    def __call__(self, logits: Tensor) -> NDArray[np.bool_]:
        """Turn logits ``(side, side)`` into a mask ``(Y, X)``."""
        mask = np.zeros(self.size, dtype=bool)
        low = logits.detach().float().cpu()
        positive = low > 0
        if not positive.any():
            return mask
        rows, y0, y1 = _reach(positive.any(dim=1), self._rows)
        columns, x0, x1 = _reach(positive.any(dim=0), self._columns)
        if y0 == y1 or x0 == x1:
            return mask
        crop = self._rows[y0:y1, rows] @ low[rows, columns] @ self._columns[x0:x1, columns].T
        mask[y0:y1, x0:x1] = (crop > 0).numpy()
        return mask

    def on_device(self, logits: Tensor) -> Tensor:
        """Turn logits ``(B, side, side)`` into masks ``(B, Y, X)`` bool where they are, without waiting for a GPU."""
        if self._on_device is None or self._on_device[0].device != logits.device:
            self._on_device = self._rows.to(logits.device), self._columns.T.contiguous().to(logits.device)
        rows, columns = self._on_device
        together = max(TOGETHER_BYTES // (4 * self.size[0] * self.size[1]), 1)
        return torch.cat([(rows @ some @ columns) > 0 for some in logits.float().split(together)])


def _weights(side: int, length: int) -> Tensor:
    """Return the ``(length, side)`` matrix of bilinear interpolation."""
    source = ((torch.arange(length, dtype=torch.float64) + 0.5) * side / length - 0.5).clamp(min=0)
    low = source.floor().long().clamp(max=side - 1)
    high = (low + 1).clamp(max=side - 1)
    fraction = (source - low).float()
    weights = torch.zeros(length, side)
    index = torch.arange(length)
    weights.index_put_((index, low), 1 - fraction, accumulate=True)
    weights.index_put_((index, high), fraction, accumulate=True)
    return weights


def _reach(positive: Tensor, weights: Tensor) -> tuple[slice, int, int]:
    """Return the cells that matter and the range of pixels that they reach: none, where a small video skips the cells."""
    cells = positive.nonzero()[:, 0]
    first, last = int(cells[0]), int(cells[-1])
    pixels = weights[:, first : last + 1].any(dim=1).nonzero()[:, 0]
    if not len(pixels):
        return slice(0, 0), 0, 0
    low, high = int(pixels[0]), int(pixels[-1]) + 1
    used = weights[low:high].any(dim=0).nonzero()[:, 0]
    return slice(int(used[0]), int(used[-1]) + 1), low, high
