"""What the widget is made of and where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import create_widget
from napari.layers import Image
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam2s.widgets.model_panel import ModelPanel
from napari_sam2s.widgets.objects_panel import ObjectsPanel
from napari_sam2s.widgets.project_location import ENDING
from napari_sam2s.widgets.run_panel import RunPanel, button
from napari_sam2s.widgets.timeline import Timeline

if TYPE_CHECKING:
    import napari

    from napari_sam2s.widgets.segment_widget import SegmentWidget

TIMELINE = "SAM2S timeline"


class Parts(QObject):
    """The parts of one widget, laid out in a column that scrolls; the timeline stands under the canvas."""

    project_chosen = Signal(object)  # a path

    def __init__(self, widget: SegmentWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._docked = False
        self.video: Any = create_widget(annotation=Image, label="video")
        self.video.native.setToolTip("The image layer to segment: time (or z), y, x, grey or colour.")
        self.project = QLabel("none")
        self.project.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.model = ModelPanel()
        self.objects = ObjectsPanel(widget)
        self.table = self.objects.table
        self.timeline = Timeline()
        self.run = RunPanel()
        self.tabs = QTabWidget()
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setToolTip("What goes on, and what to do next.")
        self.tabs.addTab(self.objects, "Objects")
        self._lay_out(widget)

    def _lay_out(self, widget: SegmentWidget) -> None:
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.addLayout(self._video_row())
        layout.addLayout(self._project_row())
        layout.addWidget(self.model)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.run)
        last = row(
            ("Confirm", widget.confirm, "Vouch for this frame: tracking stops here and never changes it."),
            ("Undo", widget.undo, "Undo the last step, whatever it was."),
            ("Redo", widget.redo, "Redo what was undone."),
            ("Keys", widget.help, "Show all keys."),
        )
        self.export = QPushButton("Export")
        self.export.setToolTip("Write the masks in another format; the project stays as it is.")
        last.addWidget(self.export)
        layout.addLayout(last)
        layout.addWidget(self.status)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(column)
        around = QVBoxLayout(widget)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(scroll)
        widget.setMinimumWidth(380)

    def _video_row(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.addWidget(QLabel("video"))
        line.addWidget(self.video.native, 1)
        return line

    def _project_row(self) -> QHBoxLayout:
        choose = QToolButton()
        choose.setText("...")
        choose.setToolTip("Keep the project somewhere else, or take up another one.")
        choose.clicked.connect(self._choose_project)
        line = QHBoxLayout()
        line.addWidget(QLabel("project"))
        line.addWidget(self.project, 1)
        line.addWidget(choose)
        return line

    def show_project(self, path: Path | None, otherwise: str = "none") -> None:
        """Say where the project is."""
        self.project.setText(otherwise if path is None else path.name)
        self.project.setToolTip("Everything you do is kept here at once." if path is None else f"Everything is kept in {path}.")

    def _choose_project(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self._widget,
            "Keep the project here, or take up this one",
            "",
            f"Projects (*{ENDING})",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if chosen:
            path = Path(chosen)
            self.project_chosen.emit(path if path.suffix == ENDING else path.with_name(path.name + ENDING))

    def dock_timeline(self, viewer: napari.viewer.Viewer) -> None:
        """Put the timeline under the canvas."""
        if self.timeline.parent() is None:
            viewer.window.add_dock_widget(self.timeline, name=TIMELINE, area="bottom", allowed_areas=["bottom", "top"])

    def undock_timeline(self, viewer: napari.viewer.Viewer) -> None:
        """Take it away; a viewer that was closed from a script has no window to take it from."""
        if self.timeline.parent() is not None and hasattr(viewer.window, "_qt_window"):
            viewer.window.remove_dock_widget(self.timeline)


def row(*buttons: tuple[str, Any, str]) -> QHBoxLayout:
    """Return buttons side by side: text, action, tooltip."""
    line = QHBoxLayout()
    for text, action, tip in buttons:
        line.addWidget(button(text, action, tip))
    return line
