"""Matching at stride 8, which only ``nano`` has: what a small network needs to keep an outline from frame to frame.

Memory attention lives on cells of 16 pixels, which are coarse beside an instrument's tip. Here every cell of 8 pixels
finds its like in remembered frames and takes their masks from there, 2 x 2 pixels of stride 4 a cell. Two readings are
made: of the latest frames, whose matches lie near, and of the conditioning frames, whose matches may lie anywhere. Both are
only hints, added to the features that the mask decoder works on. Long-term memories are left to the attention: one often looks
more like the frame than the conditioning one does, but nobody has seen its mask.

Which cells are alike is a matter of the frames and not of the objects, and costs far more than fetching masks from there. So
objects that remember the same frames are matched once, all together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import doubled
from napari_sam2s.model.memory_attention import attend_with_logits, reads_narrow
from napari_sam2s.model.network_config import LITE_CHANNELS, ModelConfig

PATCH = 4  # mask values a cell carries: 2 x 2 pixels of stride 4
PLACE = 3  # channels that turn squared distance into a scalar product
LATEST = 3  # most recent memories that are read as "latest"
GRID = 32.0  # cells along a side, in whose units distances are penalised whatever the input's size


class PretrainedKeys(nn.Module):
    """Keys of a pretrained trunk's maps at strides 8 and 16; their length is how much they count beside the learned ones.

    How large the values of a cell are says how bright and how rich in contrast it is, and not what it is: with ``match_unit``
    both maps are brought to unit length first.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.unit = config.match_unit
        self.fine = nn.Conv2d(LITE_CHANNELS[1], config.match_pretrained, 1)
        self.coarse = nn.Conv2d(LITE_CHANNELS[2], config.match_pretrained, 1)
        self.log_weight = nn.Conv2d(config.hidden_dim, 1, 1)  # learned cell by cell: nuclei all look alike to it
        nn.init.zeros_(self.log_weight.weight)
        nn.init.zeros_(self.log_weight.bias)  # type: ignore[arg-type]

    def forward(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        """Return ``(N, K, 2g, 2g)`` of maps at strides 8 and 16, and of the embedding at stride 16."""
        if self.unit:
            fine, coarse = F.normalize(fine, dim=1), F.normalize(coarse, dim=1)
        keys = self.fine(fine) + doubled(self.coarse(coarse))
        return F.normalize(keys, dim=1) * doubled(self.log_weight(embedding)).exp()


class MaskMatching(nn.Module):
    """Carry masks over from remembered frames."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, hidden = config.match_dim, config.hidden_dim
        self.fine = nn.Conv2d(config.trunk.channels[1], dim, 1)
        self.coarse = nn.Conv2d(hidden, dim, 1)
        self.log_scale = nn.Parameter(torch.tensor(math.log(16.0)))
        self.pretrained = PretrainedKeys(config) if config.match_pretrained else None
        # Penalty of a squared distance in cells: a match in the latest frames is near, in others anywhere.
        self.log_penalty = nn.Parameter(torch.tensor([math.log(0.06), math.log(0.004)]))
        self._parts = [part for part in (dim, config.match_pretrained) if part]  # channels of the keys
        readings = 2 * (PATCH + len(self._parts))
        self.mix = nn.Sequential(nn.Conv2d(readings, 32, 3, padding=1), nn.GELU(), nn.Conv2d(32, 32, 3, padding=1), nn.GELU())
        self.to_embedding = nn.Conv2d(32, hidden, 2, stride=2)
        self.to_coarse_skip = nn.Conv2d(32, hidden // 4, 1)
        self.to_fine_skip = nn.Conv2d(2 + 32, hidden // 8, 3, padding=1)
        for last in (self.to_embedding, self.to_coarse_skip, self.to_fine_skip):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def keys(self, fine: Sequence[Tensor], embedding: Tensor) -> Tensor:
        """Return what cells are told apart by, ``(N, K, 2g, 2g)``: unit vectors, then pretrained keys, if there are any.

        Parameters
        ----------
        fine
            What the trunk's ``fine`` gave.
        embedding
            At stride 16.
        """
        learned = F.normalize(self.fine(fine[1]) + doubled(self.coarse(embedding)), dim=1)
        if self.pretrained is None:
            return learned
        return torch.cat((learned, self.pretrained(fine[2], fine[3], embedding)), dim=1)

    @staticmethod
    def patches(logits: Tensor) -> Tensor:
        """Fold the mask ``(B, 1, 4g, 4g)`` of logits into cells, ``(B, 4, 2g, 2g)`` of probabilities."""
        return F.pixel_unshuffle(logits.float().sigmoid(), 2)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        patches: Tensor,
        slots: Sequence[int],
        alike: tuple[Sequence[int], Sequence[int]] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read the memories.

        Parameters
        ----------
        query
            Keys of the frame itself, ``(1 or B, K, 2g, 2g)``.
        keys, patches
            Of the memories, ``(B, M, K, 2g, 2g)`` and ``(B, M, 4, 2g, 2g)``.
        slots
            M of them as in :class:`Memories`, the same for all objects of the batch.
        alike
            For each of the two readings B labels as in :class:`Memories`; ``None`` matches each object by itself.

        Returns
        -------
        What to add to the embedding ``(B, C, g, g)`` and to the skips ``(B, C / 8, 4g, 4g)`` and ``(B, C / 4, 2g, 2g)``.
        """
        if alike is None:
            alike = range(len(keys)), range(len(keys))
        readings = [
            self._read(query, keys, patches, chosen, penalty.exp(), labels)
            for chosen, penalty, labels in zip(readings_of(slots), self.log_penalty, alike, strict=True)
        ]
        mixed = self.mix(torch.cat(readings, dim=1))
        carried = torch.cat([F.pixel_shuffle(r[:, :PATCH], 2) for r in readings], dim=1)
        fine = torch.cat((carried, F.interpolate(mixed, scale_factor=2.0, mode="nearest")), dim=1)
        return self.to_embedding(mixed), self.to_fine_skip(fine), self.to_coarse_skip(mixed)

    def _read(
        self, query: Tensor, keys: Tensor, patches: Tensor, chosen: Sequence[int], penalty: Tensor, labels: Sequence[int]
    ) -> Tensor:
        """Return the patches that each cell finds, and how alike it is to where it found them: ``(B, 5, 2g, 2g)``.

        They are 6 with pretrained keys, whose likeness comes last.

        ``chosen`` are the memories that are read.
        """
        keys, patches, firsts, places = _together(keys, patches, labels)
        keys, patches = _choose(keys, chosen, 1, query.dtype), _choose(patches, chosen, 2, query.dtype)
        query = query.expand(len(labels), -1, -1, -1)
        query = query[: len(keys)] if firsts is None else query[firsts]
        groups, members, _, _, side, _ = patches.shape
        q, k = (t.flatten(3).transpose(2, 3).flatten(1, 2) for t in (query[:, None], keys))
        v = patches.permute(0, 2, 4, 5, 1, 3).flatten(4).flatten(1, 3)  # (G, M * cells, n * PATCH)
        x, y = _places(side, query.device)
        x, y = x.expand(groups, -1), y.expand(groups, -1)
        ones = torch.ones_like(x)
        scale = self.log_scale.exp()
        # -p |a - b|^2 = 2 p a.b - p |b|^2 - p |a|^2, of which the last is the same for all keys and drops out.
        placed_q = torch.cat((scale * q, torch.stack((2 * penalty * x, 2 * penalty * y, ones), dim=2)), dim=2)
        place_k = torch.stack((x, y, -penalty * (x * x + y * y)), dim=2)
        placed_k = torch.cat((k, place_k.repeat(1, len(chosen), 1)), dim=2)
        read, likeness = _read_likeness(placed_q, placed_k, v, scale, self._parts)
        carried = read.unflatten(2, (members, PATCH))
        found = torch.cat((carried, likeness[:, :, None].expand(-1, -1, members, -1)), dim=3)  # (G, cells, n, 5 or 6)
        found = found.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (side, side))
        return found if places is None else found[places]


def _read_likeness(q: Tensor, k: Tensor, v: Tensor, scale: Tensor, parts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the values ``(G, N, D)`` that are read, and how alike what is read is in each part of the keys, ``(G, N, parts)``.

    ``q`` and ``k`` are the parts, those of ``q`` times ``scale``, and then the :data:`PLACE`.
    """
    if reads_narrow(q):
        # The mean logit has all parts in it: the last, which is the longest, is what remains of it.
        *first, _ = parts
        known = (k[..., : sum(first)], k[..., -PLACE:])
        read, logit = attend_with_logits(q, k, torch.cat((v, *known), dim=2))
        read, *means = read.split([v.shape[2], *first, PLACE], dim=2)
        asked = q.split([*parts, PLACE], dim=2)
        *shares, place = ((mean * of).sum(-1) for mean, of in zip(means, (*asked[: len(first)], asked[-1]), strict=True))
        return read, torch.stack((*shares, logit - sum(shares, place)), dim=-1) / scale
    # The keys travel as values too: a match that is certain comes back as long as it went.
    value = torch.cat((v, k[..., :-PLACE]), dim=2)
    width = max(k.shape[2], value.shape[2])
    wide_q, wide_k, padded = (F.pad(t, (0, width - t.shape[2]))[:, None] for t in (q, k, value))
    read = F.scaled_dot_product_attention(wide_q, wide_k, padded, scale=1.0)[:, 0]
    products = (read[..., v.shape[2] : value.shape[2]] * q[..., :-PLACE] / scale).split(parts, dim=-1)
    return read[..., : v.shape[2]], torch.cat([part.sum(-1, keepdim=True) for part in products], dim=-1)


def readings_of(slots: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return which of a batch's memories, by their slots, are read as "latest" and which as anchors."""
    latest = [n for n, slot in enumerate(slots) if 0 <= slot < LATEST]
    anchors = [n for n, slot in enumerate(slots) if slot == max(slots) and n not in latest]
    return latest or anchors, anchors or latest


def _together(keys: Tensor, patches: Tensor, labels: Sequence[int]) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Put objects of the same label together in ``G`` groups of ``n``; smaller groups are filled up with their first.

    Returns
    -------
    The keys of each group ``(G, M, ...)``, its patches ``(G, n, M, ...)``, the objects ``(G,)`` that groups start with, and
    the place ``(B,)`` of every object among all ``G * n``. ``None`` are these where they are as one would think: with one
    group, or one for each object. Then nothing is asked of the device either.
    """
    groups: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    if len(groups) == 1:
        return keys[:1], patches[None], None, None
    if len(groups) == len(labels):
        return keys, patches[:, None], None, None
    most = max(map(len, groups.values()))
    rows = torch.tensor([g + g[:1] * (most - len(g)) for g in groups.values()], device=keys.device)
    place = {row: n * most + k for n, g in enumerate(groups.values()) for k, row in enumerate(g)}
    places = torch.tensor([place[row] for row in range(len(labels))], device=keys.device)
    return keys[rows[:, 0]], patches[rows], rows[:, 0], places


def _choose(memories: Tensor, chosen: Sequence[int], axis: int, dtype: torch.dtype) -> Tensor:
    """Return some of the memories along an axis, without asking the device where they are.

    Stacked only once they are of this type: mixed precision on CPUs does not stack halves.
    """
    return torch.stack([memories.select(axis, n).to(dtype) for n in chosen], dim=axis)


def _places(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x and y of every cell from the middle of the map, ``(1, side * side)`` each."""
    line = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) * (GRID / side) - GRID / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x.reshape(1, -1), y.reshape(1, -1)
