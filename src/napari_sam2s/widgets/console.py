"""What is open, for napari's console: ``sam2s.current_project()``."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari_sam2s.errors import ProjectError

if TYPE_CHECKING:
    from napari_sam2s.masklets import Project
    from napari_sam2s.widgets.session import Session

SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()  # of the widgets that are open


def current_session() -> Session:
    """Return the session of the widget in the viewer that was used last: frame, object, prompts, undo.

    Raises :class:`ProjectError` if no widget has a video open.
    """
    import napari

    open_ones = [session for session in SESSIONS if session.project is not None]
    viewer = napari.current_viewer()
    here = [session for session in open_ones if _bare(session.viewer) is _bare(viewer)]
    if not open_ones:
        raise ProjectError("No video is open in SAM2S. Open Plugins > SAM2S > Segment video and a video first.")
    return (here or open_ones)[-1]


def current_project() -> Project:
    """Return the project that is open in the widget; what is changed in it is on screen a moment later.

    Raises :class:`ProjectError` if no widget has a video open.
    """
    project = current_session().project
    assert project is not None
    return project


def _bare(viewer: object) -> object:
    return getattr(viewer, "__wrapped__", viewer)
