"""What the tracker asks of the network: a frame encoded, objects found on it under what they remember, new memories."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.masklets.vocabulary import Prompt, Scores
from napari_sam2s.model.frames import normalise, resize_frame
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.stages import Attended, Decoded, Features, Memories
from napari_sam2s.tracking.memory_bank import Memory, Recall
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.prompts import mask_to_network, to_network

BATCH_BYTES = 2**30  # that reading their memories may take; more objects than fit are followed batch by batch
MEMORY_DTYPE = torch.bfloat16  # of memory maps, as in SAM 2


class Sight:
    """A network that looks at the frames of one video, and keeps the encodings of the latest ones."""

    def __init__(self, model: SAM2S, video: Any, policy: MemoryPolicy, cache_bytes: int) -> None:
        self.model = model
        self.video = video
        self.policy = policy
        self.size = (int(video.shape[1]), int(video.shape[2]))
        self._pointer_span = max(min(int(video.shape[0]), policy.pointers + 1) - 1, 1)  # SAM 2's unit of distance
        self._small: tuple[int, NDArray[np.uint8]] | None = None  # the latest frame, at the network's resolution
        self._features: OrderedDict[int, Features] = OrderedDict()
        self._cache_bytes = cache_bytes

    @property
    def cached_bytes(self) -> int:
        """What the encodings that are kept take."""
        return sum(features.nbytes for features in self._features.values())

    def pixels(self, frame: int) -> NDArray[np.uint8]:
        """Return a frame at the network's resolution, ``(S, S, 3)``; the latest one is kept."""
        if self._small is None or self._small[0] != frame:
            self._small = frame, resize_frame(np.asarray(self.video[frame]), self.model.image_size)
        return self._small[1]

    def encode(self, frame: int) -> Features:
        """Encode a frame, or take it from the cache."""
        features = self._features.get(frame)
        if features is None:
            features = self.model.encode(normalise(self.pixels(frame)[None], self.model.device))
            self._features[frame] = features
            while len(self._features) > 1 and self.cached_bytes > self._cache_bytes:
                self._features.popitem(last=False)
        self._features.move_to_end(frame)
        return features

    def answer(self, prompt: Prompt, recall: Recall | None, earlier: Tensor | None) -> Decoded:
        """Decode a prompted frame.

        Parameters
        ----------
        prompt
            All that was said of the object on that frame.
        recall
            What the object remembers, for a correction of a tracked frame.
        earlier
            Logits ``(1, 1, 4g, 4g)`` of the answer that the prompt corrects.
        """
        model = self.model
        features = self.encode(prompt.frame)
        if prompt.mask is not None:
            return model.decode_mask(features, mask_to_network(prompt.mask, model.image_size).to(model.device))
        points, labels = to_network(prompt, self.size, model.image_size)
        return model.decode(
            model.attend(features, None) if recall is None else self.attend(features, [recall]),
            points=points.to(model.device),
            labels=labels.to(model.device),
            mask=earlier,
            multimask=labels.shape[1] == 1,  # one click is ambiguous: take the best of three masks
        )

    def attend(self, features: Features, recalls: list[Recall]) -> Attended:
        """Let objects that remember the same kinds of frames read their memories, as one batch."""
        device = self.model.device
        pointers = [r.pointers for r in recalls]
        none = torch.zeros(len(recalls), 0, self.model.config.hidden_dim, device=device)
        distances = torch.tensor([r.distances for r in recalls], device=device, dtype=torch.float32)
        memories = Memories(
            maps=_stack([r.maps for r in recalls]),
            slots=torch.tensor([r.slots for r in recalls], device=device),
            pointers=_stack(pointers) if pointers[0] else none,
            distances=distances / self._pointer_span,
            keys=_stack([r.keys for r in recalls]) if recalls[0].keys else None,
            patches=_stack([r.patches for r in recalls]) if recalls[0].patches else None,
        )
        return self.model.attend(features, memories)

    def remember(self, frame: int, decoded: Decoded, *, prompted: bool = False) -> list[Memory]:
        """Return a memory of every object that was decoded on a frame."""
        features = self.encode(frame)
        maps = self.model.memorize(features, decoded.logits, decoded.object_score, prompted=prompted).to(MEMORY_DTYPE)
        image = features.embedding[0].half() if self.policy.long_term and self.policy.compare == "image" else None
        keys = features.keys[0].half() if features.keys is not None else None
        patches = self.model.patches(decoded.logits)
        iou, score = decoded.iou.float().tolist(), decoded.object_score.float().tolist()
        # Clones, so that one object's memory does not keep the whole batch alive.
        return [
            Memory(
                frame,
                maps[row].clone(),
                decoded.pointer[row].clone(),
                iou[row],
                score[row],
                image,
                keys,
                None if patches is None else patches[row].half(),
            )
            for row in range(len(maps))
        ]

    def scores(self, decoded: Decoded, row: int) -> Scores:
        """Return what the network thinks of one of the masks."""
        classes = self.model.class_scores(decoded)
        named = {} if classes is None else dict(zip(self.model.class_names, classes[row].tolist(), strict=True))
        return Scores(float(decoded.iou[row]), float(decoded.object_score[row]), named)

    @property
    def bytes_per_memory(self) -> int:
        """About what one object takes for each frame it remembers, while it is followed."""
        config = self.model.config
        # The map's tokens as keys and values, their rotation, and what the matching reads at stride 8.
        return 4 * config.grid**2 * (5 * config.hidden_dim + 4 * 4 * (config.match_dim and 64))

    def batches(self, recalls: list[tuple[int, Recall]]) -> list[list[tuple[int, Recall]]]:
        """Put objects together that remember the same kinds of frames, so that nothing needs padding; not too many at once."""
        groups: dict[tuple[int, ...], list[tuple[int, Recall]]] = {}
        for item in recalls:
            groups.setdefault((len(item[1].pointers), *item[1].slots), []).append(item)
        batches = []
        for group in groups.values():
            size = max(BATCH_BYTES // self.bytes_per_memory // max(len(group[0][1].slots), 1), 1)
            batches += [group[n : n + size] for n in range(0, len(group), size)]
        return batches


def _stack(tensors: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row) for row in tensors])
