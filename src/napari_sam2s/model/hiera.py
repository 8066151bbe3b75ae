"""Hiera, the image encoder's trunk of SAM 2: a vision transformer with windows that grow coarser stage by stage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.config import TrunkConfig
from napari_sam2s.model.layers import MLP


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


def _to_windows(x: Tensor, window: int) -> Tensor:
    """Cut ``(B, H, W, C)``, whose sides are multiples of ``window``, into ``(B * n, window, window, C)``."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window, window, c)


def _from_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """Put windows back together and cut the padding off: ``(B, height, width, C)``."""
    rows, columns = -(-height // window), -(-width // window)
    x = windows.view(-1, rows, columns, window, window, windows.shape[-1])
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * window, columns * window, windows.shape[-1])
    return x[:, :height, :width]


class MultiScaleAttention(nn.Module):
    """Self-attention within windows; the queries may be pooled, which halves the map."""

    def __init__(self, dim: int, dim_out: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor, window: int, pool: bool) -> Tensor:
        """Map ``(B, H, W, dim)`` to ``(B, H', W', dim_out)``, with H' = H / 2 if ``pool``."""
        _, h, w, _ = x.shape
        qkv = self.qkv(x)
        if window and (h % window or w % window):
            # The network was trained with zeros around the map, seen as keys as well: their projection is the bias.
            qkv = self._pad(qkv, -h % window, -w % window)
        if window:
            qkv = _to_windows(qkv, window)
        q, k, v = qkv.chunk(3, dim=-1)
        if pool:
            q = _pool(q)
        size = q.shape[1:3]
        q, k, v = (t.flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out = out.unflatten(1, size)
        if pool:
            h, w, window = h // 2, w // 2, window // 2
        if window:
            out = _from_windows(out, window, h, w)
        return self.proj(out)

    def _pad(self, qkv: Tensor, bottom: int, right: int) -> Tensor:
        b, h, w, c = qkv.shape
        padded = self.qkv.bias.to(qkv.dtype).expand(b, h + bottom, w + right, c).clone()
        padded[:, :h, :w] = qkv
        return padded


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
            shortcut = self.proj(x)
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

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(B, 3, S, S)`` to four maps ``(B, C_i, S / s, S / s)`` at the strides s = 4, 8, 16, 32."""
        x = self.patch_embed(image)
        x = x + self._position(x.shape[1], x.shape[2])
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps
