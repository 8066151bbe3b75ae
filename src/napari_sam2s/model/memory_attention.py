"""Memory attention: the frame's features read the memories of an object, and its pointers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.config import ModelConfig
from napari_sam2s.model.position import rotary_table, rotate


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
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        cosine, sine = rotary_table(q.shape[-1], side, q.device)
        q = rotate(q, cosine, sine)
        spatial = k.shape[1] - pointer_tokens
        turned = rotate(k[:, :spatial].unflatten(1, (-1, side * side)), cosine, sine).flatten(1, 2)
        k = torch.cat((turned, k[:, spatial:]), dim=1) if pointer_tokens else turned
        if pooled and spatial:
            k, v, mask = self._pool(k, v, mask, spatial, side)
        out = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], attn_mask=mask)
        return self.out_proj(out[:, 0])

    @staticmethod
    def _pool(k: Tensor, v: Tensor, mask: Tensor | None, spatial: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
        def pool(x: Tensor) -> Tensor:
            maps = x[:, :spatial].unflatten(1, (-1, side // 2, 2, side // 2, 2)).mean(dim=(3, 5)).flatten(1, 3)
            return torch.cat((maps, x[:, spatial:]), dim=1)

        bias = k.new_zeros(len(k), 1, 1, k.shape[1])
        bias[..., :spatial] = torch.log(torch.tensor(4.0))
        if mask is not None:
            bias = bias + mask
        kept = bias[..., :spatial].unflatten(3, (-1, side // 2, 2, side // 2, 2))[..., :, 0, :, 0].flatten(3)
        return pool(k), pool(v), torch.cat((kept, bias[..., spatial:]), dim=3)


class MemoryAttentionLayer(nn.Module):
    """Self-attention, attention to memories, feed-forward; normalised before each."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.self_attn = RotaryAttention(dim, dim)
        self.cross_attn_image = RotaryAttention(dim, config.memory_dim)
        self.linear1 = nn.Linear(dim, config.attention_feedforward)
        self.linear2 = nn.Linear(config.attention_feedforward, dim)
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
        return x + self.linear2(F.relu(self.linear1(self.norm3(x))))


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
            ``(B, M * g * g + pointer_tokens, D)``.
        """
        side = features.shape[-1]
        x = (features + 0.1 * position).flatten(2).transpose(1, 2)
        keys = memory + memory_position
        for layer in self.layers:
            x = layer(x, memory, keys, side=side, pointer_tokens=pointer_tokens, pooled=pooled, mask=mask)
        return self.norm(x).transpose(1, 2).unflatten(2, (side, side))
