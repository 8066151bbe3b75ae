"""EfficientTAM's image encoder: a plain vision transformer of one scale (Xiong et al., arXiv 2411.18933).

Its blocks are those of a Hiera that never pools. There are no fine maps: the mask decoder enlarges what it has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.hiera import MultiScaleBlock
from napari_sam2s.model.layers import LayerNorm2d
from napari_sam2s.model.network_config import TrunkConfig


class PatchProjection(nn.Module):
    """Patches that do not overlap."""

    def __init__(self, channels: int, side: int, *, bias: bool = True) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, kernel_size=side, stride=side, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, S, S)`` to ``(B, g, g, C)``."""
        return self.proj(image).permute(0, 2, 3, 1)


class PlainViT(nn.Module):
    """The trunk: an image in, one map out."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        dim, (side, _) = config.embed_dim, config.background_size
        self.patch_embed = PatchProjection(dim, config.stride)
        self.pos_embed = nn.Parameter(torch.zeros(1, side * side + 1, dim))  # the first is of a token that is not used here
        self.blocks = nn.ModuleList(
            MultiScaleBlock(dim, dim, config.num_heads, 0 if n in config.global_blocks else config.window_spec[0], pool=False)
            for n in range(sum(config.stages))
        )
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def fine(self, image: Tensor) -> list[Tensor]:
        """Return the map, ``(B, C, g, g)``: nothing here is shared with a head for first prompts."""
        x = self.patch_embed(image)
        x = x + self._position(x.shape[1])
        for block in self.blocks:
            x = block(x)
        return [x.permute(0, 3, 1, 2)]

    def coarse(self, fine: list[Tensor]) -> list[Tensor]:
        """Return what a neck takes for the maps at four strides: the one map, each time."""
        return fine * 4

    def _position(self, side: int) -> Tensor:
        learned = self.pos_embed[:, 1:]
        own = round(learned.shape[1] ** 0.5)
        learned = learned.unflatten(1, (own, own))
        if own == side:
            return learned
        grown = F.interpolate(learned.permute(0, 3, 1, 2), size=(side, side), mode="bicubic", align_corners=False)
        return grown.permute(0, 2, 3, 1)


class SingleScaleNeck(nn.Module):
    """One map to another width; ``convs`` has one entry, as in the checkpoints."""

    def __init__(self, channels: Sequence[int], hidden_dim: int) -> None:
        super().__init__()
        steps: dict[str, nn.Module] = {
            "conv_1x1": nn.Conv2d(channels[-1], hidden_dim, 1, bias=False),
            "norm_0": LayerNorm2d(hidden_dim),
            "conv_3x3": nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1, bias=False),
            "norm_1": LayerNorm2d(hidden_dim),
        }
        level = nn.Sequential()
        for name, step in steps.items():
            level.add_module(name, step)
        self.convs = nn.ModuleList((level,))

    def embedding(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the map that memories live on, ``(B, C, g, g)``."""
        found: Tensor = self.convs[0](maps[2])
        return found

    def skip(self, trunk_map: Tensor, level: int, projection: nn.Conv2d | None) -> Tensor:
        """Return zero in the place of a finer level, ``(1, 1, 1, 1)``."""
        return trunk_map.new_zeros(1, 1, 1, 1)
