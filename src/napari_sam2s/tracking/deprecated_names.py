"""Names of before, which go on working and say what they are called now."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from napari_sam2s.masklets import Project, Run
from napari_sam2s.tracking.engine import Engine
from napari_sam2s.tracking.propagation_run import ProjectRun, resumable_run, segment_runs
from napari_sam2s.tracking.tracker import Tracker


def RemoteTracker(engine: Engine, model: str, video: Any, project: Project, memory: Any = "divemem", **choice: Any) -> Tracker:
    """Return ``Tracker(engine.model(model, ...), video, project, memory)``."""
    _tell("RemoteTracker(engine, name, ...)", "Tracker(engine.model(name), ...)")
    return Tracker(engine.model(model, **choice), video, project, memory)


def continue_run(tracker: Tracker) -> ProjectRun:
    """Return ``ProjectRun.resume(tracker)``."""
    _tell("continue_run", "ProjectRun.resume")
    return ProjectRun.resume(tracker)


def unfinished(project: Project) -> Run | None:
    """Return ``resumable_run(project)``."""
    _tell("unfinished", "resumable_run")
    return resumable_run(project)


def still_to_come(run: ProjectRun) -> Iterator[ProjectRun]:
    """Return ``segment_runs(run.tracker, run.later)``."""
    _tell("still_to_come", "segment_runs with ProjectRun.later")
    return segment_runs(run.tracker, run.later)


def _tell(old: str, new: str) -> None:
    warnings.warn(f"{old} is called {new} now.", DeprecationWarning, stacklevel=3)
