"""Composites as a family of clips to learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_sam2s.synthetic.clip import Clip
from research.material import TRAINING_SEGMENTS, Material, existing


class Composites:
    """Composites of collected material; loaded where first used, so that worker processes start fast."""

    def __init__(self, path: Path, size: int, departures: float = 0.0) -> None:
        self.path, self.size, self.departures = existing(path), size, departures
        self._make: Callable[[int, int], Clip] | None = None

    def __call__(self, seed: int, frames: int) -> Clip:
        """Return the clip of a seed."""
        if self._make is None:
            from research.composites import CompositeMaker

            material = Material.load(self.path)
            self._make = CompositeMaker(material, self.size, segments=TRAINING_SEGMENTS, departures=self.departures)
        return self._make(seed, frames)
