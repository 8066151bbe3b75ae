"""Temporal semantic learning (TSL): a token that learns what the tracked object is (paper, section on TSL; Eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.errors import ModelError
from napari_sam2s.model.layers import MLP
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.wording import counted

LOGIT_SCALE = 100.0  # the paper's "tau = 100, following OVSeg": OVSeg multiplies the cosine by it


class SemanticPath(nn.Module):
    """The CLS token: it reads the memories, then the frame (in the mask decoder), then meets the names of classes."""

    text_embeddings: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.norm = nn.LayerNorm(dim)
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(config.memory_dim, dim)
        self.v_proj = nn.Linear(config.memory_dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.projection = MLP((dim, dim, config.text_dim))
        # Which classes there are belongs to a checkpoint, not to the architecture.
        self.register_buffer("text_embeddings", torch.zeros(0, config.text_dim), persistent=False)
        self.class_names: tuple[str, ...] = ()

    def set_classes(self, names: Sequence[str], embeddings: Tensor) -> None:
        """Say which classes there are, with the text embedding ``(K, text_dim)`` of each name."""
        if embeddings.shape != (len(names), self.text_embeddings.shape[1]):
            raise ModelError(
                f"{counted(len(names), 'class name needs', 'class names need')} text embeddings of shape ({len(names)}, "
                f"{self.text_embeddings.shape[1]}); got {tuple(embeddings.shape)}."
            )
        self.text_embeddings = F.normalize(embeddings.float(), dim=1).to(self.cls_token.device)
        self.class_names = tuple(names)

    def read(self, keys: Tensor | None, memory: Tensor | None, batch: int, mask: Tensor | None = None) -> Tensor:
        """Return the token ``(B, 1, C)`` after it attended to memories ``(B, K, D)``; without any it is as learned."""
        token = self.cls_token.expand(batch, -1, -1)
        if keys is None or memory is None:
            return token
        query = self.q_proj(self.norm(token))
        out = F.scaled_dot_product_attention(
            query[:, None], self.k_proj(keys)[:, None], self.v_proj(memory)[:, None], attn_mask=mask
        )
        return token + self.out_proj(out[:, 0])

    def embed(self, token: Tensor) -> Tensor:
        """Project the decoder's output token ``(B, C)`` to a unit vector ``(B, text_dim)`` beside the class names'."""
        return F.normalize(self.projection(token).float(), dim=-1)

    def class_logits(self, embedding: Tensor) -> Tensor:
        """Return ``(B, K)``: the scaled cosines of Eq. 3; their softmax are the class scores."""
        return LOGIT_SCALE * embedding @ self.text_embeddings.T
