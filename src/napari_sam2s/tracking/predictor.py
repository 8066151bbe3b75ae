"""What the tracker asks of the network: a frame encoded, objects found on it under what they remember, new memories."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.frames import resize_frame, scale, upload
from napari_sam2s.model.matching import PLACE, readings_of
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.stages import Attended, Decoded, Features, Memories
from napari_sam2s.tracking.memory_bank import Memory, Recall
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.prompts import mask_to_network, to_network
from napari_sam2s.tracking.upsampling import MaskUpsampler

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
        self._interactive: tuple[int, Features | None] | None = None  # the latest prompted frame, for the interactive head
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
            image = upload(torch.from_numpy(self.pixels(frame)[None]), self.model.device)
            features = self._run("encode", self._see, image)
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
        points, labels = (t.to(model.device) for t in to_network(prompt, self.size, model.image_size))
        multimask = labels.shape[1] == 1  # one click is ambiguous: take the best of three masks
        if recall is None:
            own = self._encode_interactive(prompt.frame)
            return model.segment(features, own, points=points, labels=labels, mask=earlier, multimask=multimask)
        attended = self.attend(features, [recall])
        return model.decode(attended, points=points, labels=labels, mask=earlier, multimask=multimask)

    def _encode_interactive(self, frame: int) -> Features | None:
        if self.model.interactive is None:
            return None
        if self._interactive is None or self._interactive[0] != frame:
            image = upload(torch.from_numpy(self.pixels(frame)[None]), self.model.device)
            self._interactive = frame, self.model.encode_interactive(scale(image))
        return self._interactive[1]

    def attend(self, features: Features, recalls: list[Recall]) -> Attended:
        """Let objects that remember the same kinds of frames read their memories, as one batch."""
        return self.model.attend(features, self._memories(recalls))

    def _memories(self, recalls: list[Recall]) -> Memories:
        device = self.model.device
        pointers = [r.pointers for r in recalls]
        alike = self._alike(recalls) if recalls[0].keys else None
        all_alike = alike is not None and not any(map(any, alike))
        none = torch.zeros(len(recalls), 0, self.model.config.hidden_dim, device=device)
        distances = upload(torch.tensor([r.distances for r in recalls], dtype=torch.float32), device)
        return Memories(
            maps=_stack([r.maps for r in recalls]),
            slots=upload(torch.tensor([r.slots for r in recalls]), device),
            pointers=_stack(pointers) if pointers[0] else none,
            distances=distances / self._pointer_span,
            order=tuple(recalls[0].slots),
            keys=self._keys(recalls, once=all_alike) if recalls[0].keys else None,
            patches=_stack([r.patches for r in recalls]) if recalls[0].patches else None,
            alike=alike,
        )

    @staticmethod
    def _keys(recalls: list[Recall], *, once: bool) -> Tensor:
        """Return the keys of all objects ``(B, M, K, 2g, 2g)``, a view if they are the same for all."""
        return _stack([r.keys for r in (recalls[:1] if once else recalls)]).expand(len(recalls), -1, -1, -1, -1)

    def _alike(self, recalls: list[Recall]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tell which objects remember the same frames, for each reading of the matching."""
        latest, anchors = (
            self._labels([tuple(r.frames[n] for n in chosen) for r in recalls]) for chosen in readings_of(recalls[0].slots)
        )
        return latest, anchors

    def _labels(self, frames: list[tuple[int, ...]]) -> tuple[int, ...]:
        labels = tuple(frames.index(f) for f in frames)
        # A graph is recorded for each way in which objects belong together: all or none are ways enough.
        return tuple(range(len(frames))) if self.model.graphs is not None and len(set(labels)) > 1 else labels

    def follow(self, frame: int, recalls: list[Recall]) -> tuple[Decoded, Tensor, Tensor | None]:
        """Find objects by what they remember; return also their memories of this frame, as :meth:`keep` takes them."""
        found: tuple[Decoded, Tensor, Tensor | None]
        found = self._run("follow", self._look, self.encode(frame), self._memories(recalls))
        return found

    def _see(self, image: Tensor) -> Features:
        return self.model.encode(scale(image))

    def _look(self, features: Features, memories: Memories) -> tuple[Decoded, Tensor, Tensor | None]:
        decoded = self.model.decode(self.model.attend(features, memories), multimask=True)
        return decoded, *self._memorize(features, decoded, prompted=False)

    def _memorize(self, features: Features, decoded: Decoded, *, prompted: bool) -> tuple[Tensor, Tensor | None]:
        maps = self.model.memorize(features, decoded.logits, decoded.object_score, prompted=prompted).to(MEMORY_DTYPE)
        patches = self.model.patches(decoded.logits)
        return maps, None if patches is None else patches.half()

    def _run(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        model, weight = self.model, self.model.no_mem_embed
        if model.graphs is None:
            return function(*arguments)
        version = 0 if weight.is_inference() else weight._version
        state = (model.device, model.arithmetic, model.speed, model.image_size, weight.data_ptr(), version)
        return model.graphs(name, state, function, *arguments)

    def remember(self, frame: int, decoded: Decoded, *, prompted: bool = False) -> list[Memory]:
        """Return a memory of every object that was decoded on a frame."""
        maps, patches = self._memorize(self.encode(frame), decoded, prompted=prompted)
        return self.keep(frame, decoded, maps, patches, [self.scores(decoded, row) for row in range(len(maps))])

    def keep(self, frame: int, decoded: Decoded, maps: Tensor, patches: Tensor | None, scores: list[Scores]) -> list[Memory]:
        """Return the memories of :meth:`follow` one by one; ``scores`` are those of :meth:`read`."""
        features = self.encode(frame)
        image = features.embedding[0].half() if self.policy.long_term and self.policy.compare == "image" else None
        keys = features.keys[0].half() if features.keys is not None else None
        # Clones, so that one object's memory does not keep the whole batch alive.
        return [
            Memory(
                frame,
                maps[row].clone(),
                decoded.pointer[row].clone(),
                scores[row].iou,
                scores[row].object_score,
                image,
                keys,
                None if patches is None else patches[row].clone(),
            )
            for row in range(len(maps))
        ]

    def read(
        self, decoded: Decoded, upsample: MaskUpsampler, ahead: int | None = None
    ) -> tuple[list[NDArray[np.bool_]], list[Scores]]:
        """Return the masks ``(Y, X)`` at the video's size and what the network thinks of them.

        A GPU is waited for once; meanwhile it is given the frame ``ahead`` to encode, if there is one.
        """
        numbers = [decoded.iou.float()[:, None], decoded.object_score.float()[:, None]]
        classes = self.model.class_scores(decoded)
        together = torch.cat(numbers if classes is None else [*numbers, classes.float()], dim=1)
        logits = decoded.logits[:, 0]
        if logits.device.type == "cuda":
            # To pinned memory, which need not be waited for yet; copied from there, as there is little of it.
            waiting = upsample.on_device(logits).to("cpu", non_blocking=True)
            together = together.to("cpu", non_blocking=True)
            done = torch.cuda.Event()
            done.record(torch.cuda.current_stream(logits.device))
            self._encode_ahead(ahead)
            done.synchronize()
            masks = [mask.numpy().copy() for mask in waiting]
        else:
            masks = [upsample(low) for low in logits]
        names = self.model.class_names
        return masks, [
            Scores(iou, score, dict(zip(names, rest, strict=True)) if rest else {}) for iou, score, *rest in together.tolist()
        ]

    def _encode_ahead(self, frame: int | None) -> None:
        room = self._cache_bytes >= 4 * max((f.nbytes for f in self._features.values()), default=0)
        if frame is None or not 0 <= frame < self.video.shape[0] or not room:
            return
        try:
            self.pixels(frame)
        except Exception:  # noqa: BLE001 - cannot be read, or has not arrived: the step that needs the frame will say so
            return
        self.encode(frame)

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
        matching = config.match_dim and max(config.match_dim + config.match_pretrained + PLACE, 64)
        return 4 * config.grid**2 * (5 * config.hidden_dim + 4 * 4 * matching)

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
    return torch.stack([tensor for row in tensors for tensor in row]).unflatten(0, (len(tensors), -1))
