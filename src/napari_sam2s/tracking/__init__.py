"""Prompts and frames in, masks out: the memory bank, its policies, the tracker and the engine it runs in.

Importing this package is light: torch comes with the first name that needs it, so that the viewer opens at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2s.tracking.engine import Engine, EngineLost
    from napari_sam2s.tracking.policy import DIVEMEM, VANILLA, MemoryPolicy
    from napari_sam2s.tracking.propagation_run import ProjectRun, continue_run, reload_prompts, resume_run, unfinished
    from napari_sam2s.tracking.remote import RemoteTracker
    from napari_sam2s.tracking.track_video import Masks, track
    from napari_sam2s.tracking.tracker import Tracker

__all__ = [
    "DIVEMEM",
    "VANILLA",
    "Engine",
    "EngineLost",
    "Masks",
    "MemoryPolicy",
    "ProjectRun",
    "RemoteTracker",
    "Tracker",
    "continue_run",
    "reload_prompts",
    "resume_run",
    "track",
    "unfinished",
]

_HOME = {
    "DIVEMEM": "policy",
    "VANILLA": "policy",
    "Engine": "engine",
    "EngineLost": "engine",
    "Masks": "track_video",
    "MemoryPolicy": "policy",
    "ProjectRun": "propagation_run",
    "RemoteTracker": "remote",
    "Tracker": "tracker",
    "continue_run": "propagation_run",
    "reload_prompts": "propagation_run",
    "resume_run": "propagation_run",
    "track": "track_video",
    "unfinished": "propagation_run",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
