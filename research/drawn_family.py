"""What the families that draw on material share: when it is loaded, that every seed shows an object, and the camera."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError
from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.clip import ArrayClip, Clip
from research.camera_effects import develop
from research.material import Material, existing

Rng = np.random.Generator
Pictures = Callable[[Rng], NDArray[np.uint8]]
SMALLEST_AREA = 0.003  # of the picture, on the first frame, for an object worth finding
TRIES = 20


class DrawnFamily(ABC):
    """A family of clips of ``size`` pixels; material is loaded where it is first used, so that worker processes start fast."""

    name: ClassVar[str]  # of its clips, before the seed
    largest: ClassVar[float] = 1.0  # area of an object on the first frame

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = existing(path), size
        self._pictures: Pictures | None = None

    def __call__(self, seed: int, frames: int = 1) -> Clip:
        """Return the clip of a seed; all its objects are visible on the first frame.

        Raises
        ------
        TrainingError
            If none was visible in 20 tries.
        """
        if self._pictures is None:
            self._pictures = choose_picture(Material.load(self.path))
        rng = np.random.default_rng(seed)
        for _ in range(TRIES):
            images, stack = self.draw(rng, frames, self._pictures)
            areas = stack[0].mean(axis=(1, 2))
            keep = (areas > SMALLEST_AREA) & (areas <= self.largest)
            if keep.any():
                break
        else:
            raise TrainingError(f"No object was visible in {TRIES} tries of seed {seed}.")
        stack = np.ascontiguousarray(stack[:, keep])
        objects = tuple(Object(n + 1, f"object {n + 1}") for n in range(stack.shape[1]))
        return ArrayClip(f"{self.name}-{seed}", develop(rng, images), stack, objects)

    @abstractmethod
    def draw(self, rng: Rng, frames: int, pictures: Pictures) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return images ``(T, S, S, 3)`` and the masks of all that was drawn ``(T, N, S, S)``, which do not share pixels."""


def choose_picture(material: Material) -> Pictures:
    """Return what draws a photograph or a frame of a video from material."""

    def choose(rng: Rng) -> NDArray[np.uint8]:
        if material.pictures and rng.random() < 0.5:
            return material.pictures[rng.integers(len(material.pictures))]
        video = material.videos[rng.integers(len(material.videos))]
        return video[rng.integers(len(video))]

    return choose
