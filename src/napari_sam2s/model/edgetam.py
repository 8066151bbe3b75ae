"""EdgeTAM: SAM 2 for phones and laptops (Zhou et al., arXiv 2501.07256).

It differs from SAM 2 in three places. The trunk is a RepViT (:mod:`napari_sam2s.model.repvit`). A memory is not a map of a
frame but a few hundred latents (:mod:`napari_sam2s.model.perceiver`). And two layers of memory attention read them, each
latent of a window at its place in a coarse map (:class:`napari_sam2s.model.memory_attention.LatentAttention`). All else,
prompts and masks among it, is SAM 2's.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.perceiver import SpatialPerceiver
from napari_sam2s.model.position import sine_2d
from napari_sam2s.model.speed import in_own_arithmetic
from napari_sam2s.model.stages import Features
from napari_sam2s.model.video_model import ModelFacts


class EdgeTAM(SAM2S):
    """A network that remembers latents: a :class:`SAM2S` whose memories are ``(latents, D)`` instead of ``(D, g, g)``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.spatial_perceiver = SpatialPerceiver(config)

    @property
    def facts(self) -> ModelFacts:
        """What a predictor knows of this network."""
        config = self.config
        tokens = config.latents + config.latent_side**2
        # The latents as keys and values and their rotation, and of what an object needs whatever it remembers a part.
        needed = tokens * 5 * config.hidden_dim + config.grid**2 * config.attention_feedforward // 4
        return replace(super().facts, bytes_per_memory=4 * needed)

    @in_own_arithmetic
    def memorize(self, features: Features, logits: Tensor, object_score: Tensor, *, prompted: Tensor | bool = False) -> Tensor:
        """Encode masks as memories ``(B, latents, D)``; see :meth:`SAM2S.memorize`."""
        maps = super().memorize(features, logits, object_score, prompted=prompted)
        return self.spatial_perceiver(maps, self._position(self.config.memory_dim))

    def _memory_place(self) -> Tensor:
        """Return the position of each latent, ``(latents, D)``: nowhere for those that look at the whole map."""
        side = self.config.latent_side
        windows = sine_2d(self.config.memory_dim, side, side, self.device)[0].flatten(1).T
        return torch.cat((windows.new_zeros(self.config.latents, windows.shape[1]), windows))
