"""How memories become tokens that attention reads: maps cell by cell or latents, then pointers in parts of their width."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_sam2s.model.stages import Memories


def lay_out(memories: Memories, times: Tensor, place: Tensor, pointer_time: Tensor | None) -> tuple[Tensor, Tensor]:
    """Lay maps and pointers out as tokens.

    Parameters
    ----------
    memories
        Of ``B`` objects.
    times
        Temporal embedding of each slot, ``(slots, D)``; the last one is that of long-term memories.
    place
        Position of each token of a memory, ``(n, D)``: of a map's cells or of latents.
    pointer_time
        Temporal embedding of each pointer, ``(B, P, D)``, or ``None`` for pointers without one.

    Returns
    -------
    The tokens and the position of each, both ``(B, M * n + P * C / D, D)``.
    """
    maps = memories.maps.to(times.dtype)
    if maps.ndim == 5:
        maps = maps.flatten(3).transpose(2, 3)  # (B, M, g * g, D)
    maps = maps.flatten(1, 2)
    map_place = (times[memories.slots][:, :, None] + place).flatten(1, 2)
    parts = _pointer_parts(memories, times.shape[1])
    pointers = memories.pointers.to(times.dtype).unflatten(2, (parts, -1)).flatten(1, 2)
    pointer_place = torch.zeros_like(pointers) if pointer_time is None else pointer_time.repeat_interleave(parts, dim=1)
    return torch.cat((maps, pointers), dim=1), torch.cat((map_place, pointer_place), dim=1)


def padding_mask(memories: Memories, tokens: Tensor) -> Tensor | None:
    """Return what hides padding among tokens of :func:`lay_out`, ``(B, 1, 1, N)``: 0 or minus infinity; ``None`` without."""
    if memories.maps_valid is None and memories.pointers_valid is None:
        return None
    b, m = memories.slots.shape
    p, device = memories.pointers.shape[1], memories.maps.device
    everything = torch.ones(b, 1, dtype=torch.bool, device=device)
    maps = everything.expand(b, m) if memories.maps_valid is None else memories.maps_valid
    pointers = everything.expand(b, p) if memories.pointers_valid is None else memories.pointers_valid
    parts = _pointer_parts(memories, tokens.shape[2])
    cells = (tokens.shape[1] - p * parts) // max(m, 1)
    valid = torch.cat((maps.repeat_interleave(cells, dim=1), pointers.repeat_interleave(parts, dim=1)), dim=1)
    return torch.zeros(valid.shape, device=device).masked_fill(~valid, float("-inf"))[:, None, None]


def _pointer_parts(memories: Memories, width: int) -> int:
    """How many tokens one pointer is cut into."""
    return memories.pointers.shape[2] // width
