"""A model of one line of thought: what is of the colour that an object was prompted on is the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2s.model.stages import Decoded, Features
from napari_sam2s.model.video_model import ModelFacts, PointPrompt, Recall

SIDE, REACH = 32, 0.4  # of its input and masks; of a colour from 0 to 1


class ColourModel:
    """A :class:`VideoModel`: its embedding is the frame, an object's pointer and memory its mean colour."""

    metadata: ClassVar[dict[str, Any]] = {}
    device = torch.device("cpu")
    facts = ModelFacts(SIDE, SIDE, SIDE, (), 6, None, 4 * 3, encodes_prompted=False)

    def eval(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return dict.fromkeys(("model_source", "model_hash", "speed"), "") | {
            "model": "fake",
            "mode": "exact",
            "precision": "float32",
        }

    def encode_frame(self, pixels: np.ndarray, *, outlined: bool = False) -> Features:
        frame = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        return Features(frame, (frame[:, :0], frame[:, :0]))

    def encode_prompted(self, pixels: np.ndarray) -> Features | None:
        return None

    def answer(
        self, features: Features | None, prompted: Features | None, given: PointPrompt, recall: Recall | None
    ) -> Decoded:
        inside = given.points[0][(given.labels[0] > 0).nonzero()[:, 0]].mean(0).long().clamp(0, SIDE - 1)
        if not (given.labels > 0).any():
            return self._decoded(features, recall.pointers[0][None])
        return self._decoded(features, features.embedding[..., inside[1], inside[0]])

    def decode_mask(self, features: Features, mask: Tensor) -> Decoded:
        colours = (features.embedding * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1)
        return self._decoded(features, colours)

    def track(self, features: Features, recalls: Sequence[Recall]) -> tuple[Decoded, Tensor, None]:
        decoded = self._decoded(features, torch.stack([r.pointers[0] for r in recalls]))
        return decoded, *self.remember(features, decoded)

    def remember(self, features: Features, decoded: Decoded, *, prompted: bool = False) -> tuple[Tensor, None]:
        return decoded.pointer[..., None, None], None

    def class_scores(self, decoded: Decoded) -> None:
        return None

    def _decoded(self, features: Features, colours: Tensor) -> Decoded:
        logits = REACH - (features.embedding - colours[..., None, None]).abs().amax(1, keepdim=True)
        there = logits.flatten(1).amax(1)
        return Decoded(logits, F.relu(there) / REACH, there, colours, None, logits, F.relu(there)[:, None])


class AttentiveModel(ColourModel):
    """Looks for the mean of all that it remembers, by how long ago that was, and remembers what it saw: two colours a frame.

    So a memory that is lost, or put in the place of another, changes every later mask, as in a network fifty times as slow.
    """

    def track(self, features: Features, recalls: Sequence[Recall]) -> tuple[Decoded, Tensor, None]:
        decoded = self._decoded(features, torch.stack([_mixed(recall) for recall in recalls]))
        return decoded, *self.remember(features, decoded)

    def remember(self, features: Features, decoded: Decoded, *, prompted: bool = False) -> tuple[Tensor, None]:
        return _seen(features, F.relu(decoded.logits) ** 2, decoded.pointer)[..., None, None], None

    def _decoded(self, features: Features, colours: Tensor) -> Decoded:
        far = (features.embedding - colours[..., None, None]).abs().amax(1, keepdim=True)
        logits = far.mean((2, 3), keepdim=True) - far  # half of a frame, so that there are always pixels on the verge
        there = 1 - far.flatten(1).amin(1)
        pointer = _seen(features, F.relu(logits), colours)
        return Decoded(logits, there, there, pointer, None, logits, there[:, None])


def _seen(features: Features, where: Tensor, otherwise: Tensor) -> Tensor:
    """Return the mean colours ``(B, 3)`` of what has the weights ``(B, 1, S, S)``."""
    total = where.sum((2, 3))
    return torch.where(total > 0, (features.embedding * where).sum((2, 3)) / total.clamp(min=1e-6), otherwise)


def _mixed(recall: Recall) -> Tensor:
    weighed = [(1 / (3 + slot), memory.map.flatten()) for slot, memory in zip(recall.slots, recall.memories, strict=True)]
    weighed += [(1 / (2 + abs(d)), pointer) for d, pointer in zip(recall.distances, recall.pointers, strict=True)]
    return sum(w * colour for w, colour in weighed) / sum(w for w, _ in weighed)


def squares(frames: int = 40, size: tuple[int, int] = (48, 80)) -> np.ndarray:
    """Return a video ``(T, Y, X, 3)`` of a red and a green square that drift to the right."""
    video = np.zeros((frames, *size, 3), np.uint8)
    for t in range(frames):
        video[t, 8:20, 4 + t : 16 + t, 0] = 255
        video[t, 28:40, 10 + t : 22 + t, 1] = 255
    return video
