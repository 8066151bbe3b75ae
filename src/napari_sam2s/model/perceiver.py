"""EdgeTAM's spatial perceiver: a memory map becomes a few hundred latents, so that reading memories is cheap.

Half of the latents look at the whole map; each of the others looks at one window of it, and keeps its place (Zhou et al.,
"EdgeTAM: On-Device Track Anything Model", arXiv 2501.07256). Both kinds go through the same layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.network_config import ModelConfig

DEPTH = 2  # layers


class MapReading(nn.Module):
    """Latents read a map, with one head."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_x = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, latents: Tensor, windows: Tensor, place: Tensor, free: int) -> Tensor:
        """Return what latents ``(B, free + W * W, D)`` read of windows ``(B, W * W, cells, D)``, which are placed alike.

        The first ``free`` read all of it, keys and values with their places, each other one its own window without them.
        """
        q = self.to_q(self.norm_latents(latents))
        k, v = self.to_kv(self.norm_x(windows)).chunk(2, dim=-1)
        placed_k, placed_v = ((t + place).flatten(1, 2)[:, None] for t in (k, v))
        everywhere = F.scaled_dot_product_attention(q[:, None, :free], placed_k, placed_v)[:, 0]
        weights = (k @ q[:, free:, :, None] * k.shape[-1] ** -0.5).softmax(dim=2)
        return self.to_out(torch.cat((everywhere, (weights * v).sum(dim=2)), dim=1))


class LatentMixing(nn.Module):
    """Latents that look at the whole map read each other; one that looks at a window has only itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, latents: Tensor, free: int) -> Tensor:
        """Return what ``(B, free + W * W, D)`` latents read."""
        normed = self.norm(latents)
        k, v = self.to_kv(normed).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(self.to_q(normed[:, None, :free]), k[:, None, :free], v[:, None, :free])
        return self.to_out(torch.cat((mixed[:, 0], v[:, free:]), dim=1))


class PerceiverLayer(nn.Module):
    """Read the map, then each other, with a small network after each."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attn = MapReading(dim)
        self.ff = _feed_forward(dim)
        self.self_attn = LatentMixing(dim)
        self.self_ff = _feed_forward(dim)

    def forward(self, latents: Tensor, windows: Tensor, place: Tensor, free: int) -> Tensor:
        """Map latents ``(B, free + W * W, D)`` to the same shape; the others as in :class:`MapReading`."""
        latents = latents + self.attn(latents, windows, place, free)
        latents = latents + self.ff(latents)
        latents = latents + self.self_attn(latents, free)
        return latents + self.self_ff(latents)


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim, bias=False), nn.GELU(), nn.Linear(4 * dim, dim, bias=False))


class SpatialPerceiver(nn.Module):
    """Memory maps -> latents."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, self.side = config.memory_dim, config.latent_side
        self.latents = nn.Parameter(torch.randn(config.latents, dim))
        self.latents_2d = nn.Parameter(torch.randn(self.side**2, dim))
        self.layers = nn.ModuleList(PerceiverLayer(dim) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(dim)

    def forward(self, maps: Tensor, place: Tensor) -> Tensor:
        """Map ``(B, D, g, g)``, whose cells are placed at ``(1, D, g, g)``, to ``(B, latents, D)``, those of windows last."""
        latents = torch.cat((self.latents, self.latents_2d)).expand(len(maps), -1, -1)
        windows, placed = self._windows(maps), self._windows(place)
        for layer in self.layers:
            latents = layer(latents, windows, placed, len(self.latents))
        return self.norm(latents)

    def _windows(self, maps: Tensor) -> Tensor:
        """Cut ``(B, D, g, g)`` into ``(B, side * side, cells, D)``."""
        cut = maps.unflatten(3, (self.side, -1)).unflatten(2, (self.side, -1))  # (B, D, side, h, side, w)
        return cut.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)
