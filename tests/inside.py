"""The one place where tests look inside of what has no public door: a rename there is mended here."""

from __future__ import annotations

from typing import Any

from napari_sam2s.tracking.tracker import Tracker
from napari_sam2s.tracking.tracker_actor import TrackerActor


def actor_of(tracker: Tracker) -> TrackerActor:
    """Return what tracks: the objects' memories and the predictor, which users reach by the tracker's methods alone."""
    actor: Any = tracker._actor
    assert isinstance(actor, TrackerActor), "an engine's memories are in its own process"
    return actor
