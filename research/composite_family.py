"""Composites as a family of clips to learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_sam2s.errors import TrainingError
from napari_sam2s.synthetic.clip import Clip


class Composites:
    """Composites of collected material; loaded where first used, so that worker processes start fast."""

    def __init__(self, path: Path, size: int, departures: float = 0.0) -> None:
        if not path.is_file():
            raise TrainingError(
                f"There is no material at {path}: collect it with `python -m research.collect_material REAL OUT`."
            )
        self.path, self.size, self.departures = path, size, departures
        self._make: Callable[[int, int], Clip] | None = None

    def __call__(self, seed: int, frames: int) -> Clip:
        """Return the clip of a seed."""
        if self._make is None:
            from research.composites import CompositeMaker
            from research.material import TRAINING_SEGMENTS, Material

            material = Material.load(self.path)
            self._make = CompositeMaker(material, self.size, segments=TRAINING_SEGMENTS, departures=self.departures)
        return self._make(seed, frames)
