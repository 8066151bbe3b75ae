"""The trunk of ``nano``: convolutions at the fine strides, where attention is dear, attention at the coarse ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.network_config import TrunkConfig
from napari_sam2s.model.position import sine_2d


class ConvBlock(nn.Module):
    """An inverted residual: widen, look around with a depthwise 5 x 5, narrow."""

    def __init__(self, dim: int, expansion: int = 3) -> None:
        super().__init__()
        wide = expansion * dim
        self.depthwise = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.norm = nn.GroupNorm(1, dim)
        self.expand = nn.Conv2d(dim, wide, 1)
        self.reduce = nn.Conv2d(wide, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return x + self.reduce(F.gelu(self.expand(self.norm(self.depthwise(x)))))


class AttentionBlock(nn.Module):
    """A transformer block over the whole map, with a fixed sine position added to its queries and keys."""

    def __init__(self, dim: int, head_dim: int = 32) -> None:
        super().__init__()
        self.heads = dim // head_dim
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
        q, k = self.qk(normed + position).chunk(2, dim=-1)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, self.v(normed)))
        tokens = tokens + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        tokens = tokens + self.reduce(F.gelu(self.expand(self.norm2(tokens))))
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

    def forward(self, image: Tensor, stages: int = 4) -> list[Tensor]:
        """Map ``(B, 3, S, S)`` to maps ``(B, widths[i], S / s, S / s)``, at the first so many of s = 4, 8, 16, 32."""
        x = self.stem(image)
        maps: list[torch.Tensor] = []
        for stage in self.stages[:stages]:
            x = stage(x)
            maps.append(x)
        return maps
