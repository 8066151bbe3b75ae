"""Tracks objects leg after leg, and goes on with what was interrupted. Used in the session's thread only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_sam2s.masklets import Project
from napari_sam2s.widgets.plan import Leg
from napari_sam2s.widgets.tracker_source import TrackerSource

if TYPE_CHECKING:
    from napari_sam2s.tracking import ProjectRun, RemoteTracker

PROGRESS_SECONDS = 0.25  # each word of it costs the viewer a painting of its window


class Follower:
    """Does the runs of a session.

    ``progressed`` is called with frames done, frames in all, the frame, and frames a second.
    """

    def __init__(self, project: Project, source: TrackerSource, progressed: Callable[[int, int, int, float], None]) -> None:
        self._project, self._source, self._progressed = project, source, progressed
        self.corrected: set[int] = set()  # objects that got a prompt since they were last tracked
        self._newer: set[int] = set()  # those that got one since the latest run began

    def note_prompt(self, object_id: int) -> None:
        """Note that something was said of an object."""
        self.corrected.add(object_id)
        self._newer.add(object_id)

    def follow(self, legs: Sequence[Leg], pause: threading.Event) -> bool:
        """Do one leg after the other; return whether all came to their end."""
        self._newer.clear()
        return self._follow_all(self._source.fresh(), legs, pause)

    def go_on(self, pause: threading.Event) -> bool:
        """Go on with the run that was interrupted and the legs that were to come after it; return whether all ended."""
        from napari_sam2s.tracking import continue_run

        tracker = self._source.fresh()
        now = _conditioning(tracker)
        # The tracker goes back to the prompts of when the run was interrupted: what was said since has to be told again.
        try:
            run = continue_run(tracker)
            changed = bool(self._newer) or _conditioning(tracker) != now
            then = next(r for r in self._project.runs if r.id == run.id).provenance.get("then", [])
            if not self._follow(run, pause):
                return False
        finally:
            self._source.all_stale()
        if changed:
            tracker = self._source.fresh()
        return self._follow_all(tracker, [Leg(**{**leg, "objects": tuple(leg["objects"])}) for leg in then], pause)

    def _follow_all(self, tracker: RemoteTracker, legs: Sequence[Leg], pause: threading.Event) -> bool:
        from napari_sam2s.tracking.propagation_run import one_after_the_other

        known = [{**asdict(leg), "objects": [i for i in leg.objects if i in tracker.object_ids]} for leg in legs]
        runs = one_after_the_other(tracker, [leg for leg in known if leg["objects"]])
        return all(self._follow(run, pause) for run in runs)

    def _follow(self, run: ProjectRun, pause: threading.Event) -> bool:
        """Do a run; return whether it came to its end."""
        started = told = time.monotonic()
        frames = iter(run)
        for frame, _ in frames:
            now = time.monotonic()
            if now - told > PROGRESS_SECONDS or run.done == 1:
                told = now
                self._progressed(run.done, len(run), frame, run.done / max(now - started, 1e-9))
            if pause.is_set() and run.done < len(run):
                frames.close()  # type: ignore[attr-defined]
                run.pause()
                return False
        if len(run):
            self._progressed(run.done, len(run), run.frames[-1], run.done / max(time.monotonic() - started, 1e-9))
        self.corrected -= set(run.objects) - self._newer
        return True


def _conditioning(tracker: RemoteTracker) -> dict[int, list[int]]:
    """Return the frames on which a tracker was told of each object, ascending."""
    return {i: sorted(frames) for i, frames in tracker.conditioning.items()}
