"""The trunk of ``nano``: convolutions at the fine strides, where attention is dear, attention at the coarse ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import conv1x1, fused_conv, linear
from napari_sam2s.model.network_config import TrunkConfig
from napari_sam2s.model.position import sine_2d

GELU = nn.GELU()
HEAD_DIM = 32
SHARED = 2  # stages, those of strides 4 and 8, that a head for first prompts has in common with the network: a hundredth of it


class ConvBlock(nn.Module):
    """An inverted residual: widen, look around with a depthwise 5 x 5, narrow."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = 3 * dim
        self.depthwise = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.norm = nn.GroupNorm(1, dim)
        self.expand = nn.Conv2d(dim, wide, 1)
        self.reduce = nn.Conv2d(wide, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return x + fused_conv(self.reduce, fused_conv(self.expand, self.norm(fused_conv(self.depthwise, x)), GELU))


class AttentionBlock(nn.Module):
    """A transformer block over the whole map, with a fixed sine position added to its queries and keys."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.heads = dim // HEAD_DIM
        self.norm1 = nn.LayerNorm(dim)
        self.qk = nn.Linear(dim, 2 * dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, 3 * dim)
        self.reduce = nn.Linear(3 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        _, channels, h, w = x.shape
        position = sine_2d(channels, h, w, x.device).flatten(2).transpose(1, 2).to(x.dtype)
        tokens = x.flatten(2).transpose(1, 2)
        normed = self.norm1(tokens)
        q, k = linear(self.qk, normed + position).chunk(2, dim=-1)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, linear(self.v, normed)))
        tokens = tokens + linear(self.proj, F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        tokens = tokens + linear(self.reduce, linear(self.expand, self.norm2(tokens), GELU))
        return tokens.transpose(1, 2).unflatten(2, (h, w))


class ConvTrunk(nn.Module):
    """A stem to stride 4 and four stages; the blocks named by ``config.global_blocks`` attend, the others convolve."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        widths = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0] // 2, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(widths[0] // 2, widths[0], 3, stride=2, padding=1),
            nn.GroupNorm(1, widths[0]),
        )
        self.stages = nn.ModuleList()
        self.joins = nn.ModuleList()  # of a pretrained trunk's maps, which this one has not
        index = 0
        for stage, (width, depth) in enumerate(zip(widths, config.stages, strict=True)):
            blocks: list[nn.Module] = []
            if stage:
                blocks.append(nn.Conv2d(widths[stage - 1], width, 3, stride=2, padding=1))
            for _ in range(depth):
                blocks.append(AttentionBlock(width) if index in config.global_blocks else ConvBlock(width))
                index += 1
            self.stages.append(nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def fine(self, image: Tensor) -> list[Tensor]:
        """Return what the coarse stages are computed from, whoever's they are: the maps at strides 4 and 8."""
        x = self.stem(image)
        maps: list[Tensor] = []
        for stage in self.stages[:SHARED]:
            x = stage(x)
            maps.append(x)
        return maps

    def coarse(self, fine: Sequence[Tensor]) -> list[Tensor]:
        """Return maps ``(B, widths[i], S / s, S / s)`` at s = 4, 8, 16, 32, of what :meth:`fine` gave."""
        return deepen(fine, self.stages[SHARED:], self.joins)


def deepen(fine: Sequence[Tensor], stages: nn.ModuleList, joins: nn.ModuleList) -> list[Tensor]:
    """Add the coarse maps to the fine ones, by the coarse stages of a trunk.

    Parameters
    ----------
    fine
        Learned maps at strides 4 and 8, then pretrained ones at strides 8, 16 (and 32), if there are any.
    stages
        To strides 16 and 32.
    joins
        Bring the pretrained maps from stride 16 on, as far as there are any, to the width of the learned ones.
    """
    maps = list(fine[:SHARED])
    for n, stage in enumerate(stages):
        x = stage(maps[-1])
        if n < len(joins):
            join = joins[n]
            assert isinstance(join, nn.Conv2d)
            x = x + conv1x1(fine[SHARED + 1 + n], join.weight, join.bias)
        maps.append(x)
    return maps
