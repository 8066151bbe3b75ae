"""Where a tracker puts what it finds: a project, or memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import Project, rle
from napari_sam2s.masklets.mask_writer import Row
from napari_sam2s.masklets.types import Origin, Prompt, Scores


class ResultStore(Protocol):
    """What a tracker needs of the place its results go to; :class:`napari_sam2s.Project` is one."""

    def write_masks(self, rows: Iterable[Row], *, origin: Origin = "propagated", run: int | None = None) -> None:
        """Keep masks."""

    def mask(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        """Return a mask ``(Y, X)``, or ``None`` where nothing is known."""

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return the scores of every object known on a frame."""

    def keep_prompt(self, prompt: Prompt, mask: NDArray[np.bool_], scores: Scores | None, *, reset: bool = False) -> None:
        """Keep a prompt and the mask that answers it; with ``reset`` in place of what was said there before."""

    def prompts(self, object_id: int | None = None, frame: int | None = None) -> list[Prompt]:
        """Return prompts in the order they were given."""


def refuse_unknown(results: ResultStore, object_id: int) -> None:
    """Raise a :class:`ProjectError` if results go to a project that does not have that object; memory takes any."""
    if isinstance(results, Project):
        results.objects.check(object_id)


class MemoryResults:
    """Results in memory, as run lengths: about a kilobyte for each object and frame."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._masks: dict[int, dict[int, rle.Mask]] = {}
        self._scores: dict[int, dict[int, Scores]] = {}
        self._prompts: list[Prompt] = []

    def write_masks(self, rows: Iterable[Row], *, origin: Origin = "propagated", run: int | None = None) -> None:
        """Keep masks; where they come from is not kept here."""
        for frame, object_id, mask, scores in rows:
            self._masks.setdefault(frame, {})[object_id] = mask if isinstance(mask, rle.Mask) else rle.encode(mask)
            if scores is not None:
                self._scores.setdefault(frame, {})[object_id] = scores
            else:
                self._scores.get(frame, {}).pop(object_id, None)  # of the mask that was there

    def mask(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        """Return a mask ``(Y, X)``, or ``None``."""
        mask = self._masks.get(frame, {}).get(object_id)
        return None if mask is None else rle.decode(mask, self._size)

    @property
    def frames(self) -> list[int]:
        """Frames on which at least one object is known, ascending."""
        return sorted(self._masks)

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of a frame."""
        return {i: rle.decode(mask, self._size) for i, mask in self._masks.get(frame, {}).items()}

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return the scores of a frame."""
        return dict(self._scores.get(frame, {}))

    def keep_prompt(self, prompt: Prompt, mask: NDArray[np.bool_], scores: Scores | None, *, reset: bool = False) -> None:
        """Keep a prompt and the mask that answers it."""
        if reset:
            here = (prompt.object_id, prompt.frame)
            self._prompts = [p for p in self._prompts if (p.object_id, p.frame) != here]
        self._prompts.append(prompt)
        self.write_masks([(prompt.frame, prompt.object_id, mask, scores)], origin="prompted")

    def prompts(self, object_id: int | None = None, frame: int | None = None) -> list[Prompt]:
        """Return prompts in the order they were given."""
        return [p for p in self._prompts if object_id in (None, p.object_id) and frame in (None, p.frame)]
