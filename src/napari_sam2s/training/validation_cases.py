"""What a model is judged on: videos and the tracks of the objects in them, recorded ones and drawn ones.

Training draws its seeds below 2**31, so drawn clips of seeds from there on are new by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.clip import ArrayClip, Clip
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.training.data_sources import open_recordings

FIRST_SEED = 2**31  # of drawn clips that no model was trained on


@dataclass
class Track:
    """The ground truth of one object, from the frame on which it is prompted; a :class:`Masklets`."""

    object: Object
    known: dict[int, NDArray[np.bool_]]  # frame: (Y, X), empty where it is absent; other frames are unknown
    void: dict[int, NDArray[np.bool_]] = field(default_factory=dict)  # frame: (Y, X), pixels that nobody labelled

    @property
    def objects(self) -> tuple[Object]:
        """The object."""
        return (self.object,)

    @property
    def frames(self) -> list[int]:
        """The annotated frames, ascending."""
        return sorted(self.known)

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return the mask of a frame."""
        return {self.object.id: self.known[frame]}

    def ignored(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels of a frame that are not scored; ``None`` if there are none."""
        return self.void.get(frame)


@dataclass
class Case:
    """A video and the objects to follow in it."""

    name: str
    video: Any  # shape (T, Y, X, 3), video[i] a frame
    tracks: list[Track]


def tracks_of(truth: Masklets) -> list[Track]:
    """Part ground truth into objects, each from the first frame on which it is to be seen.

    Frames on which nobody looked for an object (``truth.unknown``) are unknown of it, not its absence.
    """
    unknown: Callable[[int], frozenset[int]] = getattr(truth, "unknown", lambda _: frozenset())
    ignored: Callable[[int], NDArray[np.bool_] | None] = getattr(truth, "ignored", lambda _: None)
    known: dict[int, dict[int, NDArray[np.bool_]]] = {o.id: {} for o in truth.objects}
    void: dict[int, NDArray[np.bool_]] = {}
    for t in truth.frames:
        masks, unseen, unlabelled = truth.masks(t), unknown(t), ignored(t)
        if unlabelled is not None:
            void[t] = unlabelled
        for i, frames in known.items():
            mask = masks.get(i)
            if mask is not None and mask.any():
                frames[t] = mask
            elif frames and i not in unseen:
                size = next(iter(frames.values())).shape
                frames[t] = np.zeros(size, dtype=bool)
    return [Track(o, known[o.id], void) for o in truth.objects if len(known[o.id]) > 1]


def recorded_cases(sources: Iterable[Path]) -> Iterator[Case]:
    """Yield projects (all of whose masks count as truth) and the videos of DAVIS roots, sparsely annotated ones too."""
    for source in sources:
        for recording in open_recordings(source):
            yield Case(recording.name, recording.video, tracks_of(recording.truth))


def rendered(clip: Clip) -> Case:
    """Draw a procedural clip once; it is tracked several times."""
    stack = [(clip[t], clip.masks(t)) for t in range(len(clip))]
    images = np.stack([image for image, _ in stack])
    masks = np.stack([[m[o.id] for o in clip.objects] for _, m in stack])
    return Case(clip.name, images, tracks_of(ArrayClip(clip.name, images, masks, clip.objects)))


def laparoscopy(numbers: Iterable[int], size: int = 256, longest: int = 300, seed: int = FIRST_SEED) -> Iterator[Case]:
    """Yield procedural cases of 60 to ``longest`` frames and 1 to 4 objects, some of which leave and come back."""
    for i in numbers:
        frames = int(np.random.default_rng(seed + i).integers(60, longest + 1))
        yield rendered(Laparoscopy(seed + i, frames, (size, size)))
