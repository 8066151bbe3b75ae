"""SAM 3's image encoder: a plain vision transformer with rotary positions, and a pyramid that is made of its last map.

Most blocks attend within windows, a few to the whole map. The learned position is one window's, repeated; the rotary one
counts cells within a window, and on the whole map such fractions of a cell that it spans as much as one window does
(Carion et al., "SAM 3: Segment Anything with Concepts", arXiv 2511.16719).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.hiera import from_windows, to_windows
from napari_sam2s.model.layers import conv1x1, linear
from napari_sam2s.model.network_config import TrunkConfig
from napari_sam2s.model.plain_vit import PatchProjection
from napari_sam2s.model.position import rotary_table, rotate

EPS = 1e-5  # of the trunk's norms, as the official code has it


class RotaryWindows(nn.Module):
    """Self-attention with several heads, whose queries and keys carry rotary positions.

    The outputs of ``qkv`` for queries and keys are in the order that :func:`~napari_sam2s.model.position.rotate` wants, head
    by head; reading a checkpoint brings them into it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, span: int) -> Tensor:
        """Map windows ``(N, w, w, C)`` to the same; ``span`` cells are what a side counts as."""
        side = x.shape[1]
        q, k, v = linear(self.qkv, x.flatten(1, 2)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        cosine, sine = rotary_table(q.shape[-1], side, x.device, span=span)
        out = F.scaled_dot_product_attention(rotate(q, cosine, sine), rotate(k, cosine, sine), v)
        return linear(self.proj, out.transpose(1, 2).flatten(2)).unflatten(1, (side, side))


class TwoLayers(nn.Module):
    """A wide layer and a narrow one."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, width)
        self.fc2 = nn.Linear(width, dim)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., dim)`` to the same."""
        return linear(self.fc2, linear(self.fc1, x, self.activation))


class Block(nn.Module):
    """One transformer block."""

    def __init__(self, config: TrunkConfig, *, everywhere: bool) -> None:
        super().__init__()
        dim = config.embed_dim
        self.window, self.everywhere = config.window_spec[0], everywhere
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = RotaryWindows(dim, config.num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = TwoLayers(dim, config.mlp_width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, g, g, C)`` to the same."""
        side, normed = x.shape[1], self.norm1(x)
        if not self.everywhere:
            normed = to_windows(normed, self.window, self.window)
        read = self.attn(normed, self.window)
        x = x + (read if self.everywhere else from_windows(read, side, side))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """The trunk: an image in, one map out."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        dim, (tile, _) = config.embed_dim, config.background_size
        self.tile = tile
        self.patch_embed = PatchProjection(dim, config.stride, bias=False)
        self.pos_embed = nn.Parameter(torch.zeros(1, tile * tile, dim))
        self.ln_pre = nn.LayerNorm(dim, eps=EPS)
        self.blocks = nn.ModuleList(Block(config, everywhere=n in config.global_blocks) for n in range(sum(config.stages)))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def fine(self, image: Tensor) -> list[Tensor]:
        """Return the map, ``(B, C, g, g)``: nothing here is shared with a head for first prompts."""
        x = self.patch_embed(image)
        repeats = x.shape[1] // self.tile
        x = self.ln_pre(x + self.pos_embed.view(1, self.tile, self.tile, -1).tile(1, repeats, repeats, 1))
        for block in self.blocks:
            x = block(x)
        return [x.permute(0, 3, 1, 2)]

    def coarse(self, fine: list[Tensor]) -> list[Tensor]:
        """Return what a neck takes for the maps at four strides: the one map, each time."""
        return fine * 4


class _Level(nn.Sequential):
    """The steps from the trunk's map to one level, by the names of the checkpoints; the last one is a 3 x 3 convolution."""

    def map(self, x: Tensor) -> Tensor:
        """Return what that convolution takes."""
        for step in list(self)[:-2]:
            x = step(x)
        widths = self.conv_1x1
        assert isinstance(widths, nn.Conv2d)
        return conv1x1(x, widths.weight, widths.bias)


class Pyramid(nn.Module):
    """Three levels out of the trunk's one map; ``convs`` run from the finest to the coarsest, as in the checkpoints."""

    def __init__(self, channels: Sequence[int], hidden_dim: int) -> None:
        super().__init__()
        dim = channels[-1]
        half, quarter = dim // 2, dim // 4

        def level(out: int, **steps: nn.Module) -> _Level:
            made = _Level()
            steps |= {"conv_1x1": nn.Conv2d(out, hidden_dim, 1), "conv_3x3": nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1)}
            for name, step in steps.items():
                made.add_module(name, step)
            return made

        self.convs = nn.ModuleList(
            (
                level(
                    quarter,
                    dconv_2x2_0=nn.ConvTranspose2d(dim, half, kernel_size=2, stride=2),
                    gelu=nn.GELU(),
                    dconv_2x2_1=nn.ConvTranspose2d(half, quarter, kernel_size=2, stride=2),
                ),
                level(half, dconv_2x2=nn.ConvTranspose2d(dim, half, kernel_size=2, stride=2)),
                level(dim),
            )
        )

    def _level(self, number: int) -> _Level:
        level = self.convs[number]
        assert isinstance(level, _Level)
        return level

    def embedding(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the map that memories live on, ``(B, C, g, g)``."""
        level = self._level(2)
        found: Tensor = level.conv_3x3(level.map(maps[2]))
        return found

    def skip(self, trunk_map: Tensor, level: int, projection: nn.Conv2d | None) -> Tensor:
        """Return the finest levels as the mask decoder takes them: its convolution and the last one here are one product."""
        assert projection is not None
        steps = self._level(level)
        last, outer = steps.conv_3x3, projection.weight.flatten(1)
        kernel = torch.einsum("oc,cikl->oikl", outer, last.weight)
        return F.conv2d(steps.map(trunk_map), kernel, outer @ last.bias + projection.bias, padding=1)
