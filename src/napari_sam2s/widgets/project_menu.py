"""What the menu File > IO Utilities offers: a project opened, or begun anew for a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_sam2s.errors import Sam2sError
from napari_sam2s.widgets.layout import open_widget
from napari_sam2s.widgets.notifications import show_error
from napari_sam2s.widgets.project_location import ENDING
from napari_sam2s.widgets.settings import PLUGIN


def open_project(viewer: napari.Viewer) -> None:
    """Ask for a project, and open its video with its masks in the widget."""
    _open(viewer, "Open a project", f"Projects (*{ENDING})")


def new_project(viewer: napari.Viewer) -> None:
    """Ask for a video, and open it in the widget with an empty project beside those that it has."""
    widget = _open(viewer, "A video, or a stack of pictures, for a new project", "")
    project = None if widget is None else widget.session.project
    # The widget itself makes the first object.
    if project is not None and (len(project.objects) > 1 or project.prompts() or project.frames):
        widget.picker.use_project(_unused(Path(project.path)))


def _open(viewer: Any, title: str, files: str) -> Any:
    """Open what the user chooses; return the widget, or ``None`` if nothing was or could be opened."""
    chosen, _ = QFileDialog.getOpenFileName(QApplication.activeWindow(), title, "", files)
    if not chosen:
        return None
    try:
        layers = viewer.open(chosen, plugin=PLUGIN)
    except Sam2sError as error:
        show_error(str(error))
        return None
    if not layers:  # what is wrong was told
        return None
    widget = open_widget(viewer)
    images = [layer for layer in layers if layer in list(widget.picker.video.choices)]
    if images:
        widget.picker.video.value = images[0]
    return widget


def _unused(path: Path) -> Path:
    """Return the path of a project that is not there yet: ``case.mp4.2.sam2s`` beside ``case.mp4.sam2s``."""
    stem, number = path.name.removesuffix(ENDING), 2
    while (free := path.with_name(f"{stem}.{number}{ENDING}")).exists():
        number += 1
    return free
