"""Prompts and frames in, masks out: the memory bank, its policies, the tracker and the engine it runs in.

Importing this package is light: torch comes with the first name that needs it, so that the viewer opens at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2s.tracking.candidates import Candidate
    from napari_sam2s.tracking.crop_tracker import CropTracker, make_tracker
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
    "RunController",
    "Segment",
    "Tracker",
    "make_tracker",
    "plan",
    "reload_prompts",
    "replace_prompts",
    "resumable_run",
    "resume_run",
    "segment_runs",
    "track",
]

_HOME = {
    "DIVEMEM": "policy",
    "VANILLA": "policy",
    "Candidate": "candidates",
    "CropTracker": "crop_tracker",
    "Engine": "engine",
    "EngineLost": "engine",
    "Masks": "track_video",
    "MemoryPolicy": "policy",
    "ModelChoice": "engine",
    "ProjectRun": "propagation_run",
    "RunController": "run_controller",
    "Segment": "propagation_plan",
    "Tracker": "tracker",
    "make_tracker": "crop_tracker",
    "plan": "propagation_plan",
    "reload_prompts": "propagation_run",
    "replace_prompts": "prompt_replacement",
    "resumable_run": "propagation_run",
    "resume_run": "propagation_run",
    "segment_runs": "propagation_run",
    "track": "track_video",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
