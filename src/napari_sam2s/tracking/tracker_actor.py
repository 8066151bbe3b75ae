"""What runs beside the network, in this process or in an engine: objects, what they remember, and the predictor.

It has no video and no project: it takes small frames and prompts, and gives masks back.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam2s import __version__
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking.engine import ModelChoice
from napari_sam2s.tracking.object_states import ObjectStates
from napari_sam2s.tracking.policy import MemoryPolicy, find_policy
from napari_sam2s.tracking.predictor import FramePredictor
from napari_sam2s.tracking.small_frames import Following
from napari_sam2s.tracking.snapshot import read_snapshot, write_snapshot

AnyMask = NDArray[np.bool_] | rle.Mask  # (Y, X); as run lengths on its way to an engine and back
AnyRow = tuple[int, int, AnyMask, Scores | None]  # frame, object id, mask, scores
Conditioning = dict[int, list[int]]  # the conditioning frames of each object
FEATURE_CACHE_BYTES = 256 * 2**20
SENT_FRAMES = 48  # small frames that an engine keeps: enough for clicks back and forth around the cursor


class PromptAnswer(NamedTuple):
    """What comes of a prompt."""

    mask: AnyMask
    scores: Scores
    conditioning: Conditioning


class TrackerActor:
    """The objects of one video, and the network that finds them.

    Parameters
    ----------
    model
        A network, or which one to load.
    shape
        Of the video, ``(T, Y, X)``.
    memory, cache_bytes
        As in :class:`Tracker`.
    pixels
        Gives a frame at the network's resolution, in this process. Without it frames come with the questions, as ``image``
        ``(S, S, 3)``, and masks go back as run lengths.
    """

    def __init__(
        self,
        model: VideoModel | ModelChoice,
        shape: tuple[int, int, int],
        memory: str | MemoryPolicy,
        cache_bytes: int = FEATURE_CACHE_BYTES,
        pixels: Callable[[int], NDArray[np.uint8]] | None = None,
    ) -> None:
        self.model = model.load_shared() if isinstance(model, ModelChoice) else model
        self.model.eval()
        self.policy = find_policy(memory, self.model.metadata, self.model.facts.recent_memories)
        self._shape = shape
        self._sent: dict[int, NDArray[np.uint8]] | None = {} if pixels is None else None
        self._ahead: Following | None = None  # the frame that follows the latest one
        read = pixels if pixels is not None else self._sent_frame
        self.predictor = FramePredictor(self.model, read, shape, self.policy, cache_bytes)
        self.objects = ObjectStates(self.predictor)

    def describe(self) -> dict[str, Any]:
        """Return what results depend on."""
        facts = self.model.facts
        of_file: dict[str, Any] = {
            key: self.model.metadata[key] for key in ("differences", "averaged") if key in self.model.metadata
        }
        return {
            **self.model.describe(),
            **of_file,
            "image_size": facts.image_size,
            "class_names": list(facts.class_names),
            "memory": asdict(self.policy),
            "napari_sam2s": __version__,
            "torch": torch.__version__,
            "device": str(self.model.device),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
        }

    def device_memory(self) -> tuple[int, int]:
        """Return how many bytes are taken where the model runs, and how many there are: of the GPU, or of this machine."""
        device = self.model.device
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            return total - free, total
        import psutil  # comes with dask.distributed

        return int(psutil.Process().memory_info().rss), int(psutil.virtual_memory().total)

    def object_bytes(self) -> int:
        """Return about how many bytes the network remembers of an object."""
        return int(self.model.facts.bytes_per_memory)

    def has_frame(self, frame: int) -> bool:
        """Whether the pixels of a frame need not be sent."""
        return self._sent is None or frame in self._sent

    def forget_frames(self) -> None:
        """Forget the pixels and encodings of all frames; what objects remember of them stays."""
        self._ahead = None
        if self._sent is not None:
            self._sent.clear()
        self.objects.forget_frames()

    def prompt(self, prompt: Prompt, image: NDArray[np.uint8] | None, known: AnyMask | None, reset: bool) -> PromptAnswer:
        """Answer a prompt; ``known`` is the object's mask on the frame so far."""
        self._receive(prompt.frame, image)
        mask, scores = self.objects.condition(prompt, self._unpack(known), reset=reset)
        return PromptAnswer(self._pack(mask), scores, self.objects.conditioning)

    def candidates(self, prompt: Prompt, image: NDArray[np.uint8] | None) -> list[tuple[AnyMask, float]]:
        """Return the masks that points and a box may mean, best first, and their predicted IoU."""
        self._receive(prompt.frame, image)
        return [(self._pack(mask), iou) for mask, iou in self.objects.candidates(prompt)]

    def replay(self, prompt: Prompt, image: NDArray[np.uint8] | None, known: AnyMask | None) -> Conditioning:
        """Take up a prompt that was answered before."""
        self._receive(prompt.frame, image)
        self.objects.take_up(prompt, self._unpack(known))
        return self.objects.conditioning

    def forget(self, object_id: int, frame: int | None) -> Conditioning:
        """Forget the prompts of an object, on one frame or altogether."""
        self.objects.forget(object_id, frame)
        return self.objects.conditioning

    def step(
        self,
        frame: int,
        image: NDArray[np.uint8] | None,
        ids: Sequence[int],
        sign: int,
        stride: int,
        following: Following | None = None,
    ) -> list[AnyRow]:
        """Track one frame, ``stride`` frames after the last in the direction ``sign``; ``following`` is the one after it."""
        ahead, self._ahead = self._ahead, following
        if ahead is not None and ahead[0] == frame and image is None:
            image = ahead[1]
        self._receive(frame, image)
        found = self.objects.step(frame, ids, sign, stride, None if following is None else following[0])
        return [(t, i, self._pack(mask), scores) for t, i, mask, scores in found]

    def lacking(self, start: int, ids: Sequence[int], sign: int, stride: int) -> dict[int, list[int]]:
        """Return ``{frame: object ids}`` that a run from ``start`` would remember had it been there before."""
        wanted: dict[int, list[int]] = {}
        for i in ids:
            for t in self.objects.banks[i].missing(start, sign, stride):
                if 0 <= t < self._shape[0]:
                    wanted.setdefault(t, []).append(i)
        return dict(sorted(wanted.items(), reverse=sign < 0))

    def recollect(
        self,
        frame: int,
        image: NDArray[np.uint8] | None,
        masks: Mapping[int, AnyMask],
        scores: Mapping[int, Scores],
        sign: int,
    ) -> None:
        """Remember masks that are known already, as if they had just been tracked in the direction ``sign``."""
        self._receive(frame, image)
        known = {i: found for i, mask in masks.items() if (found := self._unpack(mask)) is not None}
        self.objects.recollect(frame, known, scores, sign)

    def snapshot(self) -> bytes:
        """Return the state of all memory banks."""
        return write_snapshot(self._shape, self.policy, self.objects.banks)

    def restore(self, snapshot: bytes) -> Conditioning:
        """Take up the state of a snapshot; see :meth:`Tracker.restore`."""
        recent, device = self.model.facts.recent_memories, self.model.device
        self.objects.banks = read_snapshot(snapshot, self._shape, self.policy, recent, device)
        return self.objects.conditioning

    def _receive(self, frame: int, image: NDArray[np.uint8] | None) -> None:
        if self._sent is None or image is None:
            return
        self._sent.pop(frame, None)
        self._sent[frame] = image
        while len(self._sent) > SENT_FRAMES:
            del self._sent[next(iter(self._sent))]

    def _sent_frame(self, frame: int) -> NDArray[np.uint8]:
        assert self._sent is not None
        if self._ahead is not None and self._ahead[0] == frame and self._ahead[1] is not None:
            return self._ahead[1]
        return self._sent[frame]

    def _pack(self, mask: NDArray[np.bool_]) -> AnyMask:
        return mask if self._sent is None else rle.encode(mask)

    def _unpack(self, mask: AnyMask | None) -> NDArray[np.bool_] | None:
        return rle.decode(mask, self._shape[1:]) if isinstance(mask, rle.Mask) else mask
