"""Prompts and frames in, masks out: the memory bank, its policies, the tracker and the engine it runs in.

Importing this package is light: torch comes with the first name that needs it, so that the viewer opens at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2s.lazy_names import lazy_names

if TYPE_CHECKING:
    from napari_sam2s.tracking.candidates import Candidate
    from napari_sam2s.tracking.crop_tracker import CropTracker, make_tracker
    from napari_sam2s.tracking.deprecated_names import RemoteTracker, continue_run, still_to_come, unfinished
    from napari_sam2s.tracking.engine import Engine, EngineLost, ModelChoice
    from napari_sam2s.tracking.policy import DIVEMEM, VANILLA, MemoryPolicy
    from napari_sam2s.tracking.prompt_replacement import replace_prompts
    from napari_sam2s.tracking.propagation_plan import Segment, plan
    from napari_sam2s.tracking.propagation_run import ProjectRun, reload_prompts, resumable_run, resume_run, segment_runs
    from napari_sam2s.tracking.run_controller import RunController
    from napari_sam2s.tracking.track_video import Masks, track
    from napari_sam2s.tracking.tracker import Tracker

__all__ = [
    "DIVEMEM",
    "VANILLA",
    "Candidate",
    "CropTracker",
    "Engine",
    "EngineLost",
    "Masks",
    "MemoryPolicy",
    "ModelChoice",
    "ProjectRun",
    "RemoteTracker",
    "RunController",
    "Segment",
    "Tracker",
    "continue_run",
    "make_tracker",
    "plan",
    "reload_prompts",
    "replace_prompts",
    "resumable_run",
    "resume_run",
    "segment_runs",
    "still_to_come",
    "track",
    "unfinished",
]

__getattr__ = lazy_names(
    __name__,
    candidates="Candidate",
    crop_tracker="CropTracker make_tracker",
    deprecated_names="RemoteTracker continue_run still_to_come unfinished",
    engine="Engine EngineLost ModelChoice",
    policy="DIVEMEM VANILLA MemoryPolicy",
    prompt_replacement="replace_prompts",
    propagation_plan="Segment plan",
    propagation_run="ProjectRun reload_prompts resumable_run resume_run segment_runs",
    run_controller="RunController",
    track_video="Masks track",
    tracker="Tracker",
)
