"""How alike every cell of a prompted frame is to what was clicked, which only ``nano`` has.

A click says little of where its object ends, and a small network has seen too few things to know. A pretrained trunk tells
apart things that it was never shown: cells that look like the clicked one often belong to it. Likeness to positive clicks, to
negative ones, and to the inside of a box against its outside, are three maps at stride 8. They are hints only, which the mask
decoder of first prompts learns to use: added to its dense prompt and to its coarse skip.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import doubled
from napari_sam2s.model.network_config import LITE_CHANNELS, ModelConfig
from napari_sam2s.model.prompt_encoder import NEGATIVE, POSITIVE, PromptEncoder

MIXED = 32  # channels of the maps once they are mixed


class PromptLikeness(nn.Module):
    """Compare the cells of a frame, at stride 8, with those that a prompt names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fine = nn.Conv2d(LITE_CHANNELS[1], config.prompt_likeness, 1)
        self.coarse = nn.Conv2d(LITE_CHANNELS[2], config.prompt_likeness, 1)
        self._parts = [part for part in (config.prompt_likeness, config.prompt_unit) if part]  # channels of the keys
        self.unit_fine = nn.Conv2d(LITE_CHANNELS[1], config.prompt_unit, 1) if config.prompt_unit else None
        self.unit_coarse = nn.Conv2d(LITE_CHANNELS[2], config.prompt_unit, 1) if config.prompt_unit else None
        maps = 3 * len(self._parts)
        self.mix = nn.Sequential(
            nn.Conv2d(maps, MIXED, 3, padding=1), nn.GELU(), nn.Conv2d(MIXED, MIXED, 5, padding=2), nn.GELU()
        )
        self.to_dense = nn.Conv2d(MIXED, config.hidden_dim, 2, stride=2)
        self.to_skip = nn.Conv2d(MIXED, config.hidden_dim // 4, 1)
        for last in (self.to_dense, self.to_skip):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def keys(self, fine: Sequence[Tensor]) -> Tensor:
        """Return what cells are compared by ``(N, K, 2g, 2g)``, of what the trunk's ``fine`` gave.

        Unit vectors: of the maps as they are, then, if ``prompt_unit`` says so, of the maps brought to unit length.
        """
        keys = F.normalize(self.fine(fine[2]) + doubled(self.coarse(fine[3])), dim=1)
        if self.unit_fine is None or self.unit_coarse is None:
            return keys
        near, far = F.normalize(fine[2], dim=1), F.normalize(fine[3], dim=1)
        return torch.cat((keys, F.normalize(self.unit_fine(near) + doubled(self.unit_coarse(far)), dim=1)), dim=1)

    def maps(self, keys: Tensor, points: Tensor, labels: Tensor, image_size: int) -> Tensor:
        """Return likeness to positive clicks, to negative ones, and to a box; 0 where there are none.

        Parameters
        ----------
        keys
            Of one frame for all ``B`` objects, or of one for each.
        points, labels
            ``(B, N, 2)`` as ``(x, y)`` in pixels of the input, and ``(B, N)``, as the prompt encoder takes them.
        image_size
            S.

        Returns
        -------
        ``(B, 3, 2g, 2g)``, and as many again by the second keys, if there are any.
        """
        keys = keys.float().expand(len(points), -1, -1, -1)
        return torch.cat([self._maps(part, points, labels, image_size) for part in keys.split(self._parts, dim=1)], dim=1)

    def _maps(self, keys: Tensor, points: Tensor, labels: Tensor, image_size: int) -> Tensor:
        place = (2 * (points.float() + 0.5) / image_size - 1)[:, :, None]
        at = F.grid_sample(keys, place, mode="bilinear", padding_mode="border", align_corners=False)[..., 0]  # (B, K, N)
        alike = torch.einsum("bkn,bkyx->bnyx", F.normalize(at, dim=1), keys)
        found = []
        for label in (POSITIVE, NEGATIVE):
            named = (labels == label)[..., None, None]
            best = alike.masked_fill(~named, -2.0).amax(dim=1)
            found.append(best.masked_fill(~named.any(dim=1), 0.0))
        return torch.stack((*found, self._box_map(keys, points, labels, image_size)), dim=1)

    @staticmethod
    def _box_map(keys: Tensor, points: Tensor, labels: Tensor, image_size: int) -> Tensor:
        side = keys.shape[-1]
        axis = (torch.arange(side, device=keys.device, dtype=torch.float32) + 0.5) * (image_size / side)
        inside = PromptEncoder.box_map(points, labels, axis)[:, None]
        within, beyond = ((keys * part).sum((2, 3)) / part.sum((2, 3)).clamp(min=1.0) for part in (inside, 1 - inside))
        alike = torch.einsum("bk,bkyx->byx", F.normalize(within - beyond, dim=1), keys)
        return alike * inside.amax(dim=(1, 2, 3))[:, None, None]  # 0 without a box, or one that is smaller than a cell

    def forward(self, keys: Tensor, points: Tensor, labels: Tensor, image_size: int) -> tuple[Tensor, Tensor]:
        """Return what to add to the dense prompt ``(B, C, g, g)`` and to the coarse skip ``(B, C / 4, 2g, 2g)``."""
        mixed = self.mix(self.maps(keys, points, labels, image_size).to(self.to_skip.weight.dtype))
        return self.to_dense(mixed), self.to_skip(mixed)
