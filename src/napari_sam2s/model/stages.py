"""What passes between the steps of the network: ``encode`` -> Features, ``attend`` -> Attended, ``decode`` -> Decoded.

The names of sizes are those of :mod:`napari_sam2s.model.network`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LONG_TERM = -1  # slot of a long-term memory
MASK_SCALE, MASK_SHIFT = 20.0, -10.0  # of masks on their way into the memory encoder, and of masks given as prompts
MEMORY_DTYPE = torch.bfloat16  # of memory maps that a tracker keeps, as in SAM 2


@dataclass
class Features:
    """What the image encoder knows of one frame; shared by all objects on it."""

    embedding: Tensor  # (1, C, g, g): stride 16, before any memory is read
    skips: tuple[Tensor, Tensor]  # (1, C / 8, 4g, 4g) and (1, C / 4, 2g, 2g), for the mask decoder; or 0
    keys: Tensor | None = None  # (1, K, 2g, 2g) unit vectors, for matching (nano)
    image: Tensor | None = None  # (1, S, S, 3) uint8, by which edges are drawn (nano)
    seen_by_head: Features | None = None  # the frame as the head for first prompts sees it, once that was asked for

    @property
    def nbytes(self) -> int:
        """Bytes that these tensors hold."""
        own = sum(t.numel() * t.element_size() for t in (self.embedding, *self.skips, self.keys, self.image) if t is not None)
        return own + (0 if self.seen_by_head is None else self.seen_by_head.nbytes)


@dataclass
class Memories:
    """What ``B`` objects remember: ``M`` maps and ``P`` pointers each, padded where an object has fewer."""

    maps: Tensor  # (B, M, D, g, g); latents (B, M, n, D) in EdgeTAM
    slots: Tensor  # (B, M) int64: 0 .. num_maskmem - 2 most recent first, num_maskmem - 1 conditioning, LONG_TERM
    pointers: Tensor  # (B, P, C)
    distances: Tensor  # (B, P) float: signed distance in frames, in units of the longest one in use
    maps_valid: Tensor | None = None  # (B, M) bool; None when nothing is padded, which keeps the fast attention
    pointers_valid: Tensor | None = None  # (B, P) bool
    # For matching (nano), which wants the same slots for all objects of the batch:
    order: tuple[int, ...] | None = None  # those slots, where the device need not be asked for them
    keys: Tensor | None = None  # (B, M, K, 2g, 2g)
    patches: Tensor | None = None  # (B, M, 4, 2g, 2g)
    # B labels for each of the two readings: objects of one label have the same keys there, and are matched together.
    alike: tuple[tuple[int, ...], tuple[int, ...]] | None = None


@dataclass
class Attended:
    """One frame as ``B`` objects see it that know what they remember: what the mask decoder works on."""

    embedding: Tensor  # (B, C, g, g)
    skips: tuple[Tensor, Tensor]  # (1 or B, C / 8, 4g, 4g) and (1 or B, C / 4, 2g, 2g)
    token: Tensor | None  # (B, 1, C): the CLS token, with TSL


@dataclass
class Decoded:
    """The masks of ``B`` objects on one frame."""

    logits: Tensor  # (B, 1, 4g, 4g) of the chosen mask; NO_OBJECT_LOGIT throughout where the object is not there
    iou: Tensor  # (B,) predicted IoU of the chosen mask
    object_score: Tensor  # (B,) logit: above 0 the object is there
    pointer: Tensor  # (B, C)
    class_embedding: Tensor | None  # (B, text_dim) unit vectors, with TSL
    all_logits: Tensor  # (B, 1 or 3, 4g, 4g): every mask of an ambiguous answer, before the object score gates it
    all_iou: Tensor  # (B, 1 or 3)
    # The same with the edges of the picture, where a network draws them (nano): what users see, and what is not remembered.
    drawn: Tensor | None = None  # (B, 1, 16g, 16g)
    all_drawn: Tensor | None = None  # (B, 1 or 3, 16g, 16g)

    @property
    def shown(self) -> Tensor:
        """Logits of the chosen mask, as fine as there are any."""
        return self.logits if self.drawn is None else self.drawn

    @property
    def all_shown(self) -> Tensor:
        """Logits of every mask, as fine as there are any."""
        return self.all_logits if self.all_drawn is None else self.all_drawn
