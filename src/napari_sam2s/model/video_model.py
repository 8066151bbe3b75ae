"""What a tracker asks of a network: the door through which a model family comes.

A predictor (:mod:`napari_sam2s.tracking.predictor`) encodes a frame, has prompts answered on it, tracks objects by what they
remember, and keeps what the network makes of the answers as memories. It knows nothing else of a network. What passes
between the steps is in :mod:`napari_sam2s.model.stages`; a memory belongs to the network, the bank only keeps it.

Families come through like this:

* **EdgeTAM** (:mod:`napari_sam2s.model.edgetam`) remembers 512 latents of a frame (256 global, 256 spatial) where SAM 2 keeps
  a map: its ``Memory.map`` is ``(512, D)``, made in ``remember`` and laid out as tokens in ``track``. That two layers read
  them, and that pointers have no projected time, stays inside as well. ``bytes_per_memory`` is smaller, all else SAM 2's.
* **SAM 3's tracker** (:mod:`napari_sam2s.model.sam3`) sees 1008 pixels in 72 x 72 cells (``image_size`` 1008, ``logits_size``
  288) and takes masks at 1152 (``mask_size``). Its trunk and neck give an embedding and two skips, which is what ``Features``
  holds. Memories, slots and pointers are SAM 2.1's; of conditioning frames it reads four (``most_conditioning``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.model.stages import Decoded, Features


@dataclass
class Memory:
    """What is remembered of one object on one frame."""

    frame: int
    map: Tensor  # (D, g, g) in SAM 2; of whatever shape the network makes it, the same for all
    pointer: Tensor  # (C,)
    iou: float
    object_score: float
    image: Tensor | None = None  # (C, g, g) float16 features of the frame, shared by all objects on it; for DiveMem
    keys: Tensor | None = None  # (K, 2g, 2g) float16, shared likewise; for matching (nano)
    patches: Tensor | None = None  # (4, 2g, 2g) float16


@dataclass
class Recall:
    """What an object remembers when it looks at one frame."""

    memories: list[Memory] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)  # of each: 0 .. n - 1 recent, n = recent_memories conditioning, LONG_TERM
    pointers: list[Tensor] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)  # of the pointers, in strides; positive: the tracking passed there
    unit: int = 1  # strides that the network counts as a distance of 1

    @property
    def frames(self) -> list[int]:
        """The frames that are remembered."""
        return [memory.frame for memory in self.memories]


@dataclass(frozen=True)
class PointPrompt:
    """Points and a box of one object, as the network takes them."""

    points: Tensor  # (1, N, 2) as (x, y) in pixels of the input
    labels: Tensor  # (1, N): 0 negative, 1 positive, 2 and 3 the first and second corner of a box
    earlier: Tensor | None  # logits (1, 1, 4g, 4g) of the answer that they correct
    ambiguous: bool = False  # wants every mask that they may mean in ``Decoded.all_logits``, however many they are


@dataclass(frozen=True)
class ModelFacts:
    """What a predictor has to know of a network."""

    image_size: int  # side S of the square that frames are squashed into
    mask_size: int  # side that masks are brought to before they are given as prompts
    logits_size: int  # side of the masks that it answers with
    class_names: tuple[str, ...]  # that it scores
    recent_memories: int  # how many recent frames it tells apart
    most_memories: int | None  # that it reads; None for all that are kept
    bytes_per_memory: int  # about what one object takes for each frame it remembers, while it is tracked
    encodes_prompted: bool  # whether first prompts are answered from an encoding of their own
    head_corrects: bool = False  # whether what answers first prompts corrects masks that are there, too, given as ``earlier``
    most_conditioning: int | None = None  # conditioning memories that it reads, the nearest in time; None for all


@runtime_checkable
class VideoModel(Protocol):
    """A network that segments video. Shapes are those of :mod:`napari_sam2s.model.stages`."""

    metadata: dict[str, Any]  # what the checkpoint says of itself; a memory policy's parameters under "policy"

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def facts(self) -> ModelFacts:
        """What a predictor has to know of it; may change with how it is set to compute."""

    def eval(self) -> Any:
        """Compute as in tracking, not as in training."""

    def describe(self) -> dict[str, Any]:
        """Return what results depend on: ``model``, ``model_source``, ``model_hash``, ``mode``, ``precision``, ``speed``."""

    def encode_frame(self, pixels: NDArray[np.uint8], *, outlined: bool = False) -> Features:
        """Encode a frame ``(S, S, 3)``; ``outlined`` says that objects are expected on it, whose outlines are drawn."""

    def encode_prompted(self, pixels: NDArray[np.uint8]) -> Features | None:
        """Encode a frame ``(S, S, 3)`` for first prompts; asked for where ``facts.encodes_prompted``."""

    def answer(
        self, features: Features | None, prompted: Features | None, given: PointPrompt, recall: Recall | None
    ) -> Decoded:
        """Answer the points and the box of one object.

        Parameters
        ----------
        features, prompted
            From ``encode_frame`` and ``encode_prompted``. Without ``features`` the answer is not to be remembered; asked for
            where ``facts.encodes_prompted``.
        given
            All that was said of the object on the frame.
        recall
            What it remembers; ``None`` for the first word on an object or a frame.
        """

    def decode_mask(self, features: Features, mask: Tensor) -> Decoded:
        """Take masks ``(B, 1, mask_size, mask_size)`` of 0 and 1 as the answer."""

    def track(self, features: Features, recalls: Sequence[Recall]) -> tuple[Decoded, Tensor, Tensor | None]:
        """Find ``B`` objects that remember the same kinds of frames; return also what ``remember`` returns of the answer."""

    def remember(self, features: Features, decoded: Decoded, *, prompted: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return the ``map`` and the ``patches`` of the memories of ``B`` objects, stacked."""

    def class_scores(self, decoded: Decoded) -> Tensor | None:
        """Return the probability of each of ``facts.class_names``, ``(B, K)``, or ``None``."""
