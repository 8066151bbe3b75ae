"""Propagates segment after segment, pauses, and resumes what was interrupted: what the key of the widget does.

A script with a tracker of its own::

    controller = RunController(project, lambda: tracker)
    controller.propagate(plan(project, 0, "both"))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari_sam2s.masklets import Project
from napari_sam2s.tracking.propagation_plan import Segment

if TYPE_CHECKING:  # torch comes with the first run, so that the viewer opens at once
    from napari_sam2s.tracking.propagation_run import ProjectRun
    from napari_sam2s.tracking.tracker import Tracker

PROGRESS_SECONDS = 0.25  # each word of it costs a viewer a painting of its window


class RunController:
    """Does the runs of a project, in one thread.

    Parameters
    ----------
    project
        Where results go.
    tracker
        Gives the tracker, which knows all prompts as they are.
    progressed
        Called with frames done, frames in all, the frame, and frames a second.
    prompts_changed
        Called when the tracker may know other prompts than the project has; by default they are loaded at once.
    """

    def __init__(
        self,
        project: Project,
        tracker: Callable[[], Tracker],
        progressed: Callable[[int, int, int, float], None] | None = None,
        prompts_changed: Callable[[], None] | None = None,
    ) -> None:
        self._project, self._tracker = project, tracker
        self._progressed = progressed if progressed is not None else _say_nothing
        self._prompts_changed = prompts_changed if prompts_changed is not None else self._reload_all
        self.corrected: set[int] = set()  # objects that got a prompt since they were last tracked
        self._newer: set[int] = set()  # those that got one since the latest run began

    def note_prompt(self, object_id: int) -> None:
        """Note that an object was prompted."""
        self.corrected.add(object_id)
        self._newer.add(object_id)

    def propagate(self, segments: Sequence[Segment], pause: threading.Event | None = None) -> bool:
        """Propagate one segment after the other until ``pause`` is set; return whether all came to their end."""
        self._newer.clear()
        return self._propagate_all(self._tracker(), segments, pause)

    def resume(self, pause: threading.Event | None = None) -> bool:
        """Resume the run that was interrupted, then those that were to come after it; return whether all came to their end."""
        from napari_sam2s.tracking.propagation_run import ProjectRun

        tracker = self._tracker()
        now = _conditioning(tracker)
        # The tracker goes back to the prompts of when the run was interrupted: later ones have to be given again.
        try:
            run = ProjectRun.resume(tracker)
            changed = bool(self._newer) or _conditioning(tracker) != now
            later = run.later
            if not self._propagate(run, pause):
                return False
        finally:
            self._prompts_changed()
        return self._propagate_all(self._tracker() if changed else tracker, later, pause)

    def _propagate_all(self, tracker: Tracker, segments: Sequence[Segment], pause: threading.Event | None) -> bool:
        from napari_sam2s.tracking.propagation_run import segment_runs

        return all(self._propagate(run, pause) for run in segment_runs(tracker, segments))

    def _propagate(self, run: ProjectRun, pause: threading.Event | None) -> bool:
        """Do a run; return whether it came to its end."""

        def tell(frame: int, seconds: float) -> None:
            self._progressed(run.done, len(run), frame, run.done / max(seconds, 1e-9))

        whole = run.follow(tell, lambda: pause is not None and pause.is_set(), PROGRESS_SECONDS)
        if whole:
            self.corrected -= set(run.objects) - self._newer
        return whole

    def _reload_all(self) -> None:
        from napari_sam2s.tracking.propagation_run import reload_prompts

        tracker = self._tracker()
        for object_id in {o.id for o in self._project.objects} | set(tracker.object_ids):
            reload_prompts(tracker, self._project, object_id)


def _conditioning(tracker: Tracker) -> dict[int, list[int]]:
    """Return the conditioning frames of each object, ascending."""
    return {i: sorted(frames) for i, frames in tracker.conditioning.items()}


def _say_nothing(done: int, of: int, frame: int, rate: float) -> None:
    pass
