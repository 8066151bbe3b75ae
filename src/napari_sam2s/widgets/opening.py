"""The widget as napari's menu opens it: the window says at once that something begins, and imports it then."""

from __future__ import annotations

import sys
from typing import Any

import napari
from qtpy.QtGui import QGuiApplication

from napari_sam2s.widgets.layout import getting_ready

WIDGET, HOME = "SegmentWidget", "napari_sam2s.widgets.segment_widget"


def __getattr__(name: str) -> Any:
    """Return the widget's class, for which napari asks when the menu is used."""
    if name != WIDGET:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    viewer = napari.current_viewer()
    if HOME not in sys.modules and viewer is not None and QGuiApplication.instance() is not None:
        with getting_ready(viewer):
            import napari_sam2s.widgets.segment_widget  # noqa: F401
    from napari_sam2s.widgets.segment_widget import SegmentWidget

    return SegmentWidget
