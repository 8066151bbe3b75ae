"""Matching at stride 8, which only ``nano`` has: what a small network needs to keep an outline from frame to frame.

Memory attention lives on cells of 16 pixels, which are coarse beside an instrument's tip. Here every cell of 8 pixels
finds its like in remembered frames and takes their masks from there, 2 x 2 pixels of stride 4 a cell. Two readings are
made: of the latest frames, whose matches lie near, and of the conditioning and long-term frames, whose matches may lie
anywhere. Both are only hints, added to the features that the mask decoder works on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.config import ModelConfig

PATCH = 4  # mask values a cell carries: 2 x 2 pixels of stride 4
PLACE = 3  # channels that turn squared distance into a scalar product
LATEST = 3  # most recent memories that are read as "latest"
GRID = 32.0  # cells along a side, in whose units distances are penalised whatever the input's size


class MaskMatching(nn.Module):
    """Carry masks over from remembered frames."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, hidden = config.match_dim, config.hidden_dim
        self.fine = nn.Conv2d(config.trunk.channels[1], dim, 1)
        self.coarse = nn.Conv2d(hidden, dim, 1)
        self.log_scale = nn.Parameter(torch.tensor(math.log(16.0)))
        # Penalty of a squared distance in cells: a match in the latest frames is near, in others anywhere.
        self.log_penalty = nn.Parameter(torch.tensor([math.log(0.06), math.log(0.004)]))
        readings = 2 * (PATCH + 1)
        self.mix = nn.Sequential(nn.Conv2d(readings, 32, 3, padding=1), nn.GELU(), nn.Conv2d(32, 32, 3, padding=1), nn.GELU())
        self.to_embedding = nn.Conv2d(32, hidden, 2, stride=2)
        self.to_coarse_skip = nn.Conv2d(32, hidden // 4, 1)
        self.to_fine_skip = nn.Conv2d(2 + 32, hidden // 8, 3, padding=1)
        for last in (self.to_embedding, self.to_coarse_skip, self.to_fine_skip):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def keys(self, trunk_map: Tensor, embedding: Tensor) -> Tensor:
        """Return what cells are told apart by, unit vectors ``(N, K, 2g, 2g)``, of the maps at strides 8 and 16."""
        coarse = F.interpolate(self.coarse(embedding), scale_factor=2.0, mode="bilinear", align_corners=False)
        return F.normalize(self.fine(trunk_map) + coarse, dim=1)

    @staticmethod
    def patches(logits: Tensor) -> Tensor:
        """Fold the mask ``(B, 1, 4g, 4g)`` of logits into cells, ``(B, 4, 2g, 2g)`` of probabilities."""
        return F.pixel_unshuffle(logits.float().sigmoid(), 2)

    def forward(self, query: Tensor, keys: Tensor, patches: Tensor, slots: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Read the memories.

        Parameters
        ----------
        query
            Keys of the frame itself, ``(1 or B, K, 2g, 2g)``.
        keys, patches
            Of the memories, ``(B, M, K, 2g, 2g)`` and ``(B, M, 4, 2g, 2g)``.
        slots
            M of them as in :class:`Memories`, the same for all objects of the batch.

        Returns
        -------
        What to add to the embedding ``(B, C, g, g)`` and to the skips ``(B, C / 8, 4g, 4g)`` and ``(B, C / 4, 2g, 2g)``.
        """
        latest = [n for n, slot in enumerate(slots) if 0 <= slot < LATEST]
        anchors = [n for n, slot in enumerate(slots) if slot < 0 or (slot == max(slots) and n not in latest)]
        latest, anchors = latest or anchors, anchors or latest
        query = query.expand(len(keys), -1, -1, -1)
        readings = [
            self._read(query, _choose(keys, chosen), _choose(patches, chosen), penalty.exp())
            for chosen, penalty in zip((latest, anchors), self.log_penalty, strict=True)
        ]
        mixed = self.mix(torch.cat(readings, dim=1))
        carried = torch.cat([F.pixel_shuffle(r[:, :PATCH], 2) for r in readings], dim=1)
        fine = torch.cat((carried, F.interpolate(mixed, scale_factor=2.0, mode="nearest")), dim=1)
        return self.to_embedding(mixed), self.to_fine_skip(fine), self.to_coarse_skip(mixed)

    def _read(self, query: Tensor, keys: Tensor, patches: Tensor, penalty: Tensor) -> Tensor:
        """Return the patches that each cell finds, and how alike it is to where it found them: ``(B, 5, 2g, 2g)``."""
        b, m, _, side, _ = keys.shape
        q, k, v = (t.flatten(3).transpose(2, 3).flatten(1, 2) for t in (query[:, None], keys, patches))
        x, y = _places(side, query.device)
        x, y = x.expand(b, -1), y.expand(b, -1)
        ones = torch.ones_like(x)
        scale = self.log_scale.exp()
        # -p |a - b|^2 = 2 p a.b - p |b|^2 - p |a|^2, of which the last is the same for all keys and drops out.
        placed_q = torch.cat((scale * q, torch.stack((2 * penalty * x, 2 * penalty * y, ones), dim=2)), dim=2)
        place_k = torch.stack((x, y, -penalty * (x * x + y * y)), dim=2).repeat(1, m, 1)
        placed_k = torch.cat((k, place_k), dim=2)
        # The keys travel as values too: a match that is certain comes back as long as it went.
        value = torch.cat((v, k), dim=2)
        width = max(placed_k.shape[2], value.shape[2])
        placed_q, placed_k, padded = (F.pad(t, (0, width - t.shape[2])) for t in (placed_q, placed_k, value))
        read = F.scaled_dot_product_attention(placed_q[:, None], placed_k[:, None], padded[:, None], scale=1.0)[:, 0]
        likeness = (read[..., PATCH : value.shape[2]] * q).sum(-1, keepdim=True)
        return torch.cat((read[..., :PATCH], likeness), dim=2).transpose(1, 2).unflatten(2, (side, side))


def _choose(memories: Tensor, chosen: Sequence[int]) -> Tensor:
    """Return some of ``(B, M, ...)``, without asking the device where they are."""
    return torch.stack([memories[:, n] for n in chosen], dim=1)


def _places(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x and y of every cell from the middle of the map, ``(1, side * side)`` each."""
    line = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) * (GRID / side) - GRID / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x.reshape(1, -1), y.reshape(1, -1)
