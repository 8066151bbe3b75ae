"""Memory attention: the frame's features read the memories of an object, and its pointers."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import fused_linear, linear
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.position import pairs_apart, rotary_table, rotate

ROWS = 128  # queries at a time in `attend_narrow`: few enough for their weights to stay in the processor's cache


class RotaryAttention(nn.Module):
    """One head of attention whose queries and spatial keys carry rotary positions of the stride-16 map."""

    def __init__(self, dim: int, key_dim: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(key_dim, dim)
        self.v_proj = nn.Linear(key_dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        side: int,
        pointer_tokens: int = 0,
        pooled: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        q
            ``(B, side * side, C)``.
        k, v
            ``(B, M * side * side + pointer_tokens, D)``: M maps one after the other, then tokens without a place.
        side
            Of the map.
        pooled
            Average keys and values over 2 x 2 cells (EfficientTAM's idea): a quarter of the work, approximate. The sum
            of the four weights is kept by log 4 on the logits.
        mask
            Added to the logits, ``(B, 1, 1, keys)``; minus infinity hides a key.
        """
        if len(q) > 1 and reads_narrow(q):
            # One object after the other, so that what is between two products stays in the processor's cache.
            rest = {"side": side, "pointer_tokens": pointer_tokens, "pooled": pooled}
            masks = [None] * len(q) if mask is None else mask.expand(len(q), -1, -1, -1).split(1)
            parts = zip(q.split(1), k.split(1), v.split(1), masks, strict=True)
            return torch.cat([self(*qkv, mask=own, **rest) for *qkv, own in parts])
        order = pairs_apart(self.q_proj.out_features, q.device)
        q, k = _in_order(self.q_proj, order, q), _in_order(self.k_proj, order, k)
        cosine, sine = rotary_table(q.shape[-1], side, q.device)
        q = rotate(q, cosine, sine)
        spatial = k.shape[1] - pointer_tokens
        turned = self._turn(k[:, :spatial], side)
        k = torch.cat((turned, k[:, spatial:]), dim=1) if pointer_tokens else turned
        if pooled and spatial:
            k, v, mask = self._pool(k, v, mask, spatial, side)
        if v.shape[2] < q.shape[2] and reads_narrow(q):
            # Weights add up to one, so the projection of what is read is what is read of the projection, for less work.
            return linear(self.out_proj, linear(self.v_proj, attend_narrow(q, k, v, mask)))
        out = F.scaled_dot_product_attention(q[:, None], k[:, None], linear(self.v_proj, v)[:, None], attn_mask=mask)
        return linear(self.out_proj, out[:, 0])

    def _turn(self, keys: Tensor, side: int) -> Tensor:
        """Turn the keys of maps, ``(B, M * side * side, C)``, by their places."""
        cosine, sine = rotary_table(keys.shape[-1], side, keys.device)
        return rotate(keys.unflatten(1, (-1, side * side)), cosine, sine).flatten(1, 2)

    def _pool(self, k: Tensor, v: Tensor, mask: Tensor | None, spatial: int, side: int) -> tuple[Tensor, Tensor, Tensor | None]:
        def pool(x: Tensor) -> Tensor:
            maps = x[:, :spatial].unflatten(1, (-1, side // 2, 2, side // 2, 2)).mean(dim=(3, 5)).flatten(1, 3)
            return torch.cat((maps, x[:, spatial:]), dim=1)

        bias = k.new_zeros(len(k), 1, 1, k.shape[1])
        bias[..., :spatial].fill_(math.log(4.0))
        if mask is not None:
            bias = bias + mask
        kept = bias[..., :spatial].unflatten(3, (-1, side // 2, 2, side // 2, 2))[..., :, 0, :, 0].flatten(3)
        return pool(k), pool(v), torch.cat((kept, bias[..., spatial:]), dim=3)


class LatentAttention(RotaryAttention):
    """Attention to memories that are latents: ``free`` of each without a place, the others those of a map of ``latent_side``.

    Cells of that map are counted from 0 by ones, not in units of the finer one that the queries come from: so EdgeTAM was
    trained. There is nothing to pool.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.hidden_dim, config.memory_dim)
        self.free, self.latent_side = config.latents, config.latent_side

    def _turn(self, keys: Tensor, side: int) -> Tensor:
        latents = keys.unflatten(1, (-1, self.free + self.latent_side**2))
        cosine, sine = rotary_table(keys.shape[-1], self.latent_side, keys.device)
        placed = rotate(latents[:, :, self.free :], cosine, sine)
        return torch.cat((latents[:, :, : self.free], placed), dim=2).flatten(1, 2)

    def _pool(self, k: Tensor, v: Tensor, mask: Tensor | None, spatial: int, side: int) -> tuple[Tensor, Tensor, Tensor | None]:
        return k, v, mask


def _in_order(layer: nn.Linear, order: Tensor, x: Tensor) -> Tensor:
    """Apply a linear layer with its outputs in another order."""
    return fused_linear(x, layer.weight[order], layer.bias[order])


def reads_narrow(q: Tensor) -> bool:
    """Whether :func:`attend_narrow` can be used, and is faster: without gradients, in float32 on a CPU."""
    plain = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    return q.device.type == "cpu" and q.dtype == torch.float32 and not plain


def attend_narrow(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention whose values are narrower than its keys, which torch's own kernels cannot do without padding them.

    Parameters
    ----------
    q, k, v
        ``(B, N, C)``, ``(B, K, C)`` and ``(B, K, D)``, float32 on a CPU.
    mask
        Added to the logits, ``(B, 1, 1, K)``.

    Returns
    -------
    ``(B, N, D)``.
    """
    return _attend_by_rows(q * q.shape[2] ** -0.5, k, v, mask, None)


def attend_with_logits(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Read as :func:`attend_narrow` does, with the products ``q . k`` as they are for logits.

    Returns
    -------
    ``(B, N, D)``, and the mean logit of what each query read, ``(B, N)``.
    """
    means = q.new_empty(q.shape[:2])
    return _attend_by_rows(q, k, v, None, means), means


def _attend_by_rows(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, means: Tensor | None) -> Tensor:
    out = q.new_empty(len(q), q.shape[1], v.shape[2])
    k, narrow = k.contiguous(), v.transpose(1, 2).contiguous()
    weights = q.new_empty(0 if means is None else min(ROWS, q.shape[1]), k.shape[1])
    for i in range(len(q)):
        for start in range(0, q.shape[1], ROWS):
            rows = q[i, start : start + ROWS]
            block = fused_linear(rows, k[i])
            weight = block if means is None else weights[: len(rows)]
            if mask is not None:
                block += mask[i, 0]
            torch.softmax(block, dim=-1, out=weight)
            out[i, start : start + ROWS] = fused_linear(weight, narrow[i])
            if means is not None:
                torch.linalg.vecdot(weight, block, out=means[i, start : start + ROWS])
    return out


class MemoryAttentionLayer(nn.Module):
    """Self-attention, attention to memories, feed-forward; normalised before each."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.self_attn = RotaryAttention(dim, dim)
        self.cross_attn_image = LatentAttention(config) if config.latents else RotaryAttention(dim, config.memory_dim)
        self.linear1 = nn.Linear(dim, config.attention_feedforward)
        self.linear2 = nn.Linear(config.attention_feedforward, dim)
        self.activation = nn.ReLU()
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        keys: Tensor,
        *,
        side: int,
        pointer_tokens: int,
        pooled: bool,
        mask: Tensor | None,
    ) -> Tensor:
        """Map ``x (1 or B, g * g, C)`` under ``memory`` and ``keys (B, K, D)`` to ``(B, g * g, C)``.

        A batch of one frame stays one through the self-attention, which is the same for all its objects.
        """
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed, normed, side=side)
        queries = self.norm2(x).expand(len(memory), -1, -1)
        x = x + self.cross_attn_image(queries, keys, memory, side=side, pointer_tokens=pointer_tokens, pooled=pooled, mask=mask)
        return x + linear(self.linear2, linear(self.linear1, self.norm3(x), self.activation))


class MemoryAttention(nn.Module):
    """The layers, and a last normalisation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(config) for _ in range(config.attention_layers))
        self.norm = nn.LayerNorm(config.hidden_dim)
        if config.locality_bias:
            # The rotary encoding of a constant vector peaks at zero displacement: so reading starts local.
            first: Any = self.layers[0].cross_attn_image
            nn.init.constant_(first.q_proj.bias, config.locality_bias)
            nn.init.constant_(first.k_proj.bias, config.locality_bias)

    def forward(
        self,
        features: Tensor,
        position: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        *,
        pointer_tokens: int,
        pooled: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the features with memories read, ``(B, C, g, g)``.

        Parameters
        ----------
        features, position
            Of the frame, ``(1 or B, C, g, g)`` and ``(1, C, g, g)``.
        memory, memory_position
            ``(B, M * g * g + pointer_tokens, D)``, or with latents in place of cells.
        """
        side = features.shape[-1]
        x = (features + 0.1 * position).flatten(2).transpose(1, 2)
        keys = memory + memory_position
        for layer in self.layers:
            x = layer(x, memory, keys, side=side, pointer_tokens=pointer_tokens, pooled=pooled, mask=mask)
        return self.norm(x).transpose(1, 2).unflatten(2, (side, side))
