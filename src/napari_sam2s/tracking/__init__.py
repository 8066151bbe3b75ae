"""Prompts and frames in, masks out: the memory bank, its policies, the tracker and the engine it runs in.

Importing this package is light: torch comes with the first name that needs it, so that the viewer opens at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2s.tracking.engine import Engine, EngineLost
    from napari_sam2s.tracking.policy import DIVEMEM, VANILLA, MemoryPolicy
    from napari_sam2s.tracking.remote import RemoteTracker
    from napari_sam2s.tracking.runs import ProjectRun, continue_run, reload_prompts, resume_run, unfinished
    from napari_sam2s.tracking.tracker import Tracker
    from napari_sam2s.tracking.whole import Masks, track

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
    "Masks": "whole",
    "MemoryPolicy": "policy",
    "ProjectRun": "runs",
    "RemoteTracker": "remote",
    "Tracker": "tracker",
    "continue_run": "runs",
    "reload_prompts": "runs",
    "resume_run": "runs",
    "track": "whole",
    "unfinished": "runs",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
