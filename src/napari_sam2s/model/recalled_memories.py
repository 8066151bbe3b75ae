"""What objects remember, from lists to one batch that the network reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_sam2s.model.frames import upload
from napari_sam2s.model.matching import readings_of
from napari_sam2s.model.stages import Memories
from napari_sam2s.model.video_model import Recall


def batch_memories(recalls: Sequence[Recall], width: int, device: torch.device, *, all_or_none: bool) -> Memories:
    """Stack what objects remember.

    Parameters
    ----------
    recalls
        Of ``B`` objects, of the same kinds of frames.
    width
        Of a pointer.
    all_or_none
        Whether objects are matched together only if that is all of them: a graph is recorded for each way in which they belong
        together, and two ways are enough.
    """
    first = recalls[0]
    matched = all(memory.keys is not None for memory in first.memories)
    alike = find_alike(recalls, all_or_none=all_or_none) if matched else None
    all_alike = alike is not None and not any(map(any, alike))
    distances = upload(torch.tensor([r.distances for r in recalls], dtype=torch.float32), device)
    none = torch.zeros(len(recalls), 0, width, device=device)
    return Memories(
        maps=_stack([[m.map for m in r.memories] for r in recalls]),
        slots=upload(torch.tensor([r.slots for r in recalls]), device),
        pointers=_stack([r.pointers for r in recalls]) if first.pointers else none,
        distances=distances / first.unit,
        order=tuple(first.slots),
        keys=_keys(recalls, once=all_alike) if matched else None,
        patches=_stack([[m.patches for m in r.memories if m.patches is not None] for r in recalls]) if matched else None,
        alike=alike,
    )


def find_alike(recalls: Sequence[Recall], *, all_or_none: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tell which objects remember the same frames, for each reading of the matching."""
    latest, anchors = (
        _labels([tuple(r.frames[n] for n in chosen) for r in recalls], all_or_none=all_or_none)
        for chosen in readings_of(recalls[0].slots)
    )
    return latest, anchors


def _labels(frames: list[tuple[int, ...]], *, all_or_none: bool) -> tuple[int, ...]:
    labels = tuple(frames.index(f) for f in frames)
    return tuple(range(len(frames))) if all_or_none and len(set(labels)) > 1 else labels


def _keys(recalls: Sequence[Recall], *, once: bool) -> Tensor:
    """Return the keys of all objects ``(B, M, K, 2g, 2g)``, a view if they are the same for all."""
    keys = [[m.keys for m in r.memories if m.keys is not None] for r in (recalls[:1] if once else recalls)]
    return _stack(keys).expand(len(recalls), -1, -1, -1, -1)


def _stack(tensors: list[list[Tensor]]) -> Tensor:
    return torch.stack([tensor for row in tensors for tensor in row]).unflatten(0, (len(tensors), -1))
