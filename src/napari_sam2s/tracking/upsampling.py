"""From the network's logits to masks of the video's size."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOGETHER_BYTES = 2**28  # of arrays as large as the video's frames, on a GPU; a logit takes three
BAND = 256  # rows of a video that are interpolated at a time: what a processor's caches hold


class MaskUpsampler:
    """Bilinear upsampling of logits to the video's size, only where the object can be.

    The same result as interpolating the whole frame (half-pixel centres, as ``align_corners=False``): a pixel above zero
    has a logit above zero among the four around it.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, logits: Tensor) -> NDArray[np.bool_]:
        """Turn logits ``(side, side)`` into a mask ``(Y, X)``."""
        mask = np.zeros(self.size, dtype=bool)
        low = logits.detach().float().cpu()
        positive = low > 0
        if not positive.any():
            return mask
        rows, columns = (_between(low.shape[dim], self.size[dim], torch.device("cpu")) for dim in (0, 1))
        ys, xs = rows.reach(positive.any(dim=1)), columns.reach(positive.any(dim=0))
        columns = columns.cut(xs)
        for start in range(ys.start, ys.stop, BAND):
            band = slice(start, min(start + BAND, ys.stop))
            mask[band, xs] = (columns.read(rows.cut(band).read(low, 0), 1) > 0).numpy()
        return mask

    def on_device(self, logits: Tensor) -> Tensor:
        """Turn logits ``(B, side, side)`` into masks ``(B, Y, X)`` bool where they are, without waiting for a GPU."""
        rows, columns = (_between(logits.shape[dim + 1], self.size[dim], logits.device) for dim in (0, 1))
        together = max(TOGETHER_BYTES // (3 * 4 * self.size[0] * self.size[1]), 1)
        return torch.cat([columns.read(rows.read(some, 1), 2) > 0 for some in logits.float().split(together)])


class _Between(NamedTuple):
    """Of each pixel of a side the two cells that it lies between, and how near the second one is."""

    low: Tensor
    high: Tensor
    share: Tensor

    def read(self, values: Tensor, dim: int) -> Tensor:
        """Interpolate one dimension of ``values``."""
        share = self.share.view([-1 if n == dim else 1 for n in range(values.ndim)])
        return torch.lerp(values.index_select(dim, self.low), values.index_select(dim, self.high), share)

    def reach(self, positive: Tensor) -> slice:
        """Return the pixels that may be above zero, beside these cells: none, where a small video skips the cells."""
        near = (positive[self.low] | positive[self.high]).nonzero()[:, 0]
        return slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0)

    def cut(self, pixels: slice) -> _Between:
        return _Between(self.low[pixels], self.high[pixels], self.share[pixels])


@lru_cache(maxsize=32)
def _between(side: int, length: int, device: torch.device) -> _Between:
    source = ((torch.arange(length, dtype=torch.float64) + 0.5) * side / length - 0.5).clamp(min=0)
    low = source.floor().long().clamp(max=side - 1)
    high = (low + 1).clamp(max=side - 1)
    return _Between(low.to(device), high.to(device), (source - low).float().to(device))
