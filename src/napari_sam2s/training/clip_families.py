"""The families of videos that clips are drawn from, by the names a configuration gives them shares under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import TrainingError
from napari_sam2s.synthetic.clip import Clip
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.synthetic.microscopy import Microscopy
from napari_sam2s.training.data_sources import Recording, open_recordings


@dataclass(frozen=True)
class Procedural:
    """Procedural laparoscopy with instrument classes, on square pictures of a size."""

    size: int

    def __call__(self, seed: int, frames: int) -> Clip:
        """Return a clip that is longer than asked for, so that frames far apart can be drawn; in half an instrument leaves."""
        size = (self.size, self.size)
        if frames == 1:
            return Laparoscopy(seed, 1, size)
        return Laparoscopy(seed, max(6 * frames, 48), size, absences=seed % 2, absence_frames=(1, frames))


@dataclass(frozen=True)
class Cells:
    """Drawn nuclei that drift, grow and divide, on square pictures of a size."""

    size: int

    def __call__(self, seed: int, frames: int) -> Clip:
        """Return the clip of a seed."""
        return Microscopy(seed, max(3 * frames, 24), (self.size, self.size))


class RecordedClip(Clip):
    """The annotated frames of a video and its masklets, squashed to the network's size.

    Frames that nobody annotated are left out: "no mask was drawn" is not "the object is absent".
    """

    def __init__(self, recording: Recording, size: int) -> None:
        self._video, self._truth, self._path = recording.video, recording.truth, recording.path
        self._annotated = list(self._truth.frames)
        self.name = recording.name
        if not self._annotated:
            raise TrainingError(f"{self.name} has no annotated frames to train on.")
        self.fps = float(getattr(self._video, "fps", None) or 25.0)
        self.objects = tuple(self._truth.objects)
        self.shape = (len(self._annotated), size, size, 3)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return an annotated frame."""
        picture = Image.fromarray(np.asarray(self._video[self._annotated[index]]))
        return np.asarray(picture.resize(self.shape[2:0:-1], Image.Resampling.BILINEAR, reducing_gap=2.0))

    def masks(self, index: int) -> dict[int, NDArray[np.bool_]]:
        """Return the masks of an annotated frame, empty for objects that are not there or unknown."""
        size = self.shape[1:3]
        known = self._truth.masks(self._annotated[index])
        empty = np.zeros(size, dtype=bool)
        return {o.id: _shrink(known[o.id], size) if o.id in known else empty for o in self.objects}

    def unknown(self, index: int) -> frozenset[int]:
        """Return the objects that nobody looked for on this frame."""
        return self._truth.unknown(self._annotated[index])

    def ignored(self, index: int) -> NDArray[np.bool_] | None:
        """Return the pixels that are void or unlabelled."""
        ignored = self._truth.ignored(self._annotated[index])
        return None if ignored is None else _covered(ignored, self.shape[1:3]) > 127

    def same_video(self, other: Clip) -> bool:
        """Return whether another clip is of the same file or folder, annotated by whomever."""
        return isinstance(other, RecordedClip) and other._path == self._path


def _covered(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return how much of each pixel of a smaller picture a mask covers, 255 for all of it."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BOX))


def _shrink(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    covered = _covered(mask, size)
    # A thread that covers half of no pixel is there all the same: where it covers most.
    most = int(covered.max())
    return covered > (127 if most > 127 else most // 2)


class Recorded:
    """Real videos with masks: projects, DAVIS roots with ``JPEGImages`` beside ``Annotations``, or folders of such roots.

    Raises
    ------
    TrainingError
        If there is nothing in them, or masks have no picture.
    """

    def __init__(self, sources: Sequence[Path], size: int) -> None:
        self.sources, self.size = list(sources), size
        self._clips: list[RecordedClip] | None = None
        self.check()

    def check(self) -> None:
        """Open everything once, so that what is missing is said before training starts."""
        clips = self._open()
        if not any(clip.objects for clip in clips):
            raise TrainingError(f"There are no objects in {', '.join(map(str, self.sources)) or 'an empty list of sources'}.")

    def __call__(self, seed: int, frames: int) -> Clip:
        """Return one of the videos: the more annotated frames it has, the more often, as in SAM 2's sampling."""
        lengths = np.cumsum([len(clip) for clip in self.clips])
        return self.clips[int(np.searchsorted(lengths, seed % lengths[-1], side="right"))]

    @property
    def clips(self) -> list[RecordedClip]:
        """The videos that have objects."""
        if self._clips is None:
            self._clips = [clip for clip in self._open() if clip.objects]
        return self._clips

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_clips": None}  # opened anew in each process

    def _open(self) -> list[RecordedClip]:
        return [RecordedClip(recording, self.size) for source in self.sources for recording in open_recordings(source)]
