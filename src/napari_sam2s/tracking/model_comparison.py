"""The same prompts on the same clip, with one model after the other: masks, time and memory of each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.tracking.engine import Engine, ModelChoice
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.track_video import Masks
from napari_sam2s.tracking.tracker import Tracker

SAMPLED = 5  # frames between two looks at the memory


@dataclass(frozen=True)
class ModelRun:
    """What one model did on a clip."""

    name: str
    masks: Masks
    seconds: float  # for a frame: the median of all but the first
    memory_bytes: int  # the most that was taken at once: of the GPU, or by the process that the model runs in
    facts: dict[str, Any] = field(default_factory=dict)  # what results depend on, see Tracker.describe

    @property
    def device(self) -> str:
        """Where it ran."""
        return str(self.facts.get("device", ""))


def run_model(
    name: str,
    choice: ModelChoice,
    video: Any,
    prompts: Sequence[Prompt],
    frames: range,
    memory: str | MemoryPolicy = "divemem",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ModelRun:
    """Track prompted objects through a clip with a model, in a process of its own, so that its memory is its own.

    Parameters
    ----------
    frames
        Of the video, ascending; prompts on other frames are left out. Tracking goes forward from each object's first prompt.
    progress
        Called with how many frames are done, and of how many.

    Raises
    ------
    TrackingError
        If no prompt is on these frames.
    """
    given = [p for p in prompts if p.frame in frames]
    if not given:
        raise TrackingError(f"No prompt is on the frames {frames.start} to {frames.stop - 1}: nothing can be compared there.")
    results = Masks.for_objects(video, {p.object_id for p in given})
    with Engine() as running:
        model = running.model(
            choice.name, device=choice.device, image_size=choice.image_size, mode=choice.mode, strict=choice.strict
        )
        tracker = Tracker(model, video, results, memory)
        for prompt in given:
            tracker.give(prompt)
        most, times = tracker.device_memory()[0], []
        before = time.perf_counter()
        for done, _ in enumerate(tracker.propagate(frames.start, frames.stop), 1):
            now = time.perf_counter()
            times.append(now - before)
            if done % SAMPLED == 0 or done == len(frames):
                most = max(most, tracker.device_memory()[0])
            if progress is not None:
                progress(done, len(frames))
            before = time.perf_counter()
        facts = tracker.describe()
    return ModelRun(name, results, statistics.median(times[1:] or times or [0.0]), most, facts)
