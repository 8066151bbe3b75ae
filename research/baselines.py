"""What a model has to be better than: the first mask left where it is, and the first mask moved by optical flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError
from napari_sam2s.masklets.types import Object
from napari_sam2s.training.validation_cases import Case, Track


@dataclass
class Frozen:
    """The baseline that costs nothing: the first mask, on every frame."""

    object: Object
    mask: NDArray[np.bool_]
    frames: list[int]

    @property
    def objects(self) -> tuple[Object]:
        """The object."""
        return (self.object,)

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return the same mask whatever the frame."""
        return {self.object.id: self.mask}


def carry_by_flow(case: Case) -> list[Track]:
    """Carry every object's first mask through a case by OpenCV's DIS optical flow (Kroeger et al. 2016), preset "medium".

    It knows nothing of leaving and covering. Returned are masks from the frame of the first one on, in the order of the tracks.

    Raises
    ------
    TrainingError
        If OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise TrainingError("Optical flow is OpenCV's: pip install 'napari-sam2s[train]'.") from error
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = case.video.shape[1:3]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    found = [Track(track.object, {}) for track in case.tracks]
    soft: dict[int, NDArray[np.float32]] = {}  # masks in [0, 1], so that what is thin is not worn off by rounding
    before = None
    for t in range(1 + max(track.frames[-1] for track in case.tracks)):
        grey = cv2.cvtColor(np.ascontiguousarray(case.video[t]), cv2.COLOR_RGB2GRAY)
        if before is not None and soft:
            back = flow.calc(grey, before, np.zeros((*grey.shape, 2), np.float32))  # from this frame to where its pixels were
            places = x + back[..., 0], y + back[..., 1]
            soft = {n: np.asarray(cv2.remap(m, *places, cv2.INTER_LINEAR), np.float32) for n, m in soft.items()}
        before = grey
        for n, track in enumerate(case.tracks):
            if t == track.frames[0]:
                soft[n] = track.known[t].astype(np.float32)
            if n in soft:
                found[n].known[t] = soft[n] > 0.5
    return found
