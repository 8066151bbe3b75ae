"""Hiera, the image encoder's trunk of SAM 2: a vision transformer with windows that grow coarser stage by stage."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import MLP, linear
from napari_sam2s.model.network_config import TrunkConfig


class PatchEmbed(nn.Module):
    """Overlapping patches of 7 pixels every 4 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, kernel_size=7, stride=4, padding=3)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, S, S)`` to ``(B, S / 4, S / 4, C)``."""
        return self.proj(image).permute(0, 2, 3, 1)


def _pool(x: Tensor) -> Tensor:
    """Take the maximum of each 2 x 2 of ``(B, H, W, C)``."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def to_windows(x: Tensor, height: int, width: int) -> Tensor:
    """Cut ``(B, H, W, C)``, whose sides are multiples of a window's, into ``(B * n, height, width, C)``."""
    c = x.shape[-1]
    x = x.unflatten(2, (-1, width)).unflatten(1, (-1, height))
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, c)


def from_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """Put windows ``(B * n, h, w, C)`` back together: ``(B, height, width, C)``."""
    _, h, w, c = windows.shape
    x = windows.view(-1, height // h, width // w, h, w, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, c)


class MultiScaleAttention(nn.Module):
    """Self-attention within windows; the queries may be pooled, which halves the map."""

    def __init__(self, dim: int, dim_out: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor, window: int, pool: bool) -> Tensor:
        """Map ``(B, H, W, dim)`` to ``(B, H', W', dim_out)``, with H' = H / 2 if ``pool``.

        Windows that reach beyond the map were trained with zeros there, which are keys too. They are all alike, so here
        one key stands for all of them, and windows that lie within the map have none: the same result for less work.
        """
        if not window:
            return linear(self.proj, self._attend(x, 0, pool))
        if x.device.type != "cpu":
            return linear(self.proj, self._attend_padded(x, window, pool))
        _, h, w, _ = x.shape
        stripes = []
        for y0, y1 in _parts(h, window):
            tiles = []
            for x0, x1 in _parts(w, window):
                size = min(window, y1 - y0), min(window, x1 - x0)
                windows = to_windows(x[:, y0:y1, x0:x1], *size)
                attended = self._attend(windows, window**2 - size[0] * size[1], pool)
                halved = 2 if pool else 1
                tiles.append(from_windows(attended, (y1 - y0) // halved, (x1 - x0) // halved))
            stripes.append(torch.cat(tiles, dim=2) if len(tiles) > 1 else tiles[0])
        return linear(self.proj, torch.cat(stripes, dim=1) if len(stripes) > 1 else stripes[0])

    def _attend_padded(self, x: Tensor, window: int, pool: bool) -> Tensor:
        """Attend in windows with all their zeros: more work, but in far fewer steps, which is what a GPU's time goes into."""
        _, h, w, _ = x.shape
        down, right = -h % window, -w % window
        windows = to_windows(F.pad(x, (0, 0, 0, right, 0, down)) if down or right else x, window, window)
        halved = 2 if pool else 1
        out = from_windows(self._attend(windows, 0, pool), (h + down) // halved, (w + right) // halved)
        return out[:, : h // halved, : w // halved]

    def _attend(self, x: Tensor, beyond: int, pool: bool) -> Tensor:
        """Attend within each of ``(N, h, w, dim)`` and to ``beyond`` zeros around it."""
        q, k, v = linear(self.qkv, x).chunk(3, dim=-1)
        if pool:
            q = _pool(q)
        size = q.shape[1:3]
        q, k, v = (t.flatten(1, 2) for t in (q, k, v))
        mask = None
        if beyond:
            _, key, value = self.qkv.bias.to(k.dtype).chunk(3)
            k, v = (torch.cat((t, zero.expand(len(t), 1, -1)), dim=1) for t, zero in ((k, key), (v, value)))
            mask = q.new_zeros(1, 1, 1, k.shape[1])
            mask[..., -1].fill_(math.log(beyond))
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2).unflatten(1, size)


def _parts(length: int, window: int) -> list[tuple[int, int]]:
    """Return the part of a side that whole windows cover, and the rest of it."""
    whole = length // window * window
    return [(a, b) for a, b in ((0, whole), (whole, length)) if a < b]


class MultiScaleBlock(nn.Module):
    """One transformer block; the first of a stage widens the channels and halves the map."""

    def __init__(self, dim: int, dim_out: int, heads: int, window: int, pool: bool) -> None:
        super().__init__()
        self.window = window
        self.pool = pool
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiScaleAttention(dim, dim_out, heads)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP((dim_out, 4 * dim_out, dim_out), nn.GELU)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, dim)`` to ``(B, H', W', dim_out)``."""
        shortcut = x
        x = self.norm1(x)
        if self.proj is not None:
            shortcut = linear(self.proj, x)
            if self.pool:
                shortcut = _pool(shortcut)
        x = shortcut + self.attn(x, self.window, self.pool)
        return x + self.mlp(self.norm2(x))


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # a tensor made in inference mode never changes


class Hiera(nn.Module):
    """The trunk: an image in, the last map of each stage out."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        dim, heads = config.embed_dim, config.num_heads
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, dim, *config.background_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dim, config.window_spec[0], config.window_spec[0]))
        self.stage_ends = {sum(config.stages[: i + 1]) - 1 for i in range(len(config.stages))}
        self.blocks = nn.ModuleList()
        stage = 0
        for index in range(sum(config.stages)):
            first = index - 1 in self.stage_ends
            # The first block of a stage still has the windows of the stage before it.
            window = 0 if index in config.global_blocks else config.window_spec[stage]
            dim_out = dim
            if first:
                dim_out, heads, stage = 2 * dim, 2 * heads, stage + 1
            self.blocks.append(MultiScaleBlock(dim, dim_out, heads, window, pool=first))
            dim = dim_out
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.pos_embed_window, std=0.02)
        self._position_cache: tuple[object, Tensor] | None = None

    def _position(self, height: int, width: int) -> Tensor:
        """Return ``(1, height, width, C)``: a background grown to the map, plus one tile repeated over it."""
        # Constant at inference, so it is kept; the key notices a new size, device, dtype or new weights.
        key = (height, width, self.pos_embed.data_ptr(), _version(self.pos_embed), _version(self.pos_embed_window))
        if torch.is_grad_enabled() and self.pos_embed.requires_grad:
            return self._make_position(height, width)
        if self._position_cache is None or self._position_cache[0] != key:
            self._position_cache = key, self._make_position(height, width)
        return self._position_cache[1]

    def _make_position(self, height: int, width: int) -> Tensor:
        background = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        side = self.pos_embed_window.shape[-1]
        return (background + self.pos_embed_window.tile(1, 1, height // side, width // side)).permute(0, 2, 3, 1)

    def fine(self, image: Tensor) -> list[Tensor]:
        """Map ``(B, 3, S, S)`` to four maps ``(B, C_i, S / s, S / s)`` at the strides s = 4, 8, 16, 32."""
        x = self.patch_embed(image)
        x = x + self._position(x.shape[1], x.shape[2])
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps

    def coarse(self, fine: list[Tensor]) -> list[Tensor]:
        """Return the four maps that :meth:`fine` gave: nothing here is shared with a head for first prompts."""
        return fine
