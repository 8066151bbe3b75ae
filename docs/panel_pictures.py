"""Pictures of the pages of the widget in both themes, for the documentation: python docs/panel_pictures.py [FOLDER]."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project, Scores
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.widgets.segment import SegmentWidget

FRAMES = 48


def fill(project: Project) -> None:
    """Put the drawn case's truth into a project, with scores, and some things to doubt."""
    case = demo_case(FRAMES)
    ids = {}
    for n, o in enumerate(case.objects):
        ids[o.id] = 1 if n == 0 else project.add_object().id
        project.rename(ids[o.id], o.name)
        if n % 2:
            project.set_class(ids[o.id], o.class_name)
    rows = []
    for t in range(FRAMES):
        for i, mask in case.masks(t).items():
            doubted = ids[i] == 2 and 20 <= t < 27
            classes = {str(case.objects[ids[i] - 1].class_name): 0.9, "hook": 0.1}
            rows.append((t, ids[i], mask, Scores(0.35 if doubted else 0.92, 0.4 if doubted else 6.0, classes)))
    project.write_masks(rows)
    whole = np.ones(project.shape[1:], dtype=bool)
    project.write_masks([(t, 3, whole, Scores(0.3, 0.2, {"hook": 0.6})) for t in range(40, 43)])
    project.write_masks([(t, 1, project.mask(t, 2), Scores(0.9, 5.0)) for t in range(8, 12)])


def pause(seconds: float) -> None:
    """Let Qt and the review's thread do their work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


def main() -> None:
    """Make them."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images")
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        case = demo_case(FRAMES)
        video = write_video((case[t] for t in range(FRAMES)), Path(folder, "case.mp4"))
        viewer = napari.Viewer()
        viewer.window.resize(1500, 950)
        viewer.open(str(video), plugin="napari-sam2s")
        widget = SegmentWidget(viewer, project_folder=Path(folder))
        viewer.window.add_dock_widget(widget, name="SAM2S")
        fill(widget.session.project)
        widget.refresh()
        while not len(widget.review_panel.review):
            pause(0.5)
        widget.surgery_panel.start.setValue(8)
        widget.surgery_panel.last.setValue(11)
        for theme in ("dark", "light"):
            viewer.theme = theme
            for panel, name in (
                (widget.objects_panel, "objects"),
                (widget.review_panel, "review"),
                (widget.surgery_panel, "surgery"),
            ):
                widget.tabs.setCurrentWidget(panel)
                pause(0.5)
                if panel is widget.review_panel:
                    panel.next()
                widget.go_to(9)
                pause(2)
                panel.grab().save(str(out / f"{name}-{theme}.png"))
        widget.close()
        viewer.close()


if __name__ == "__main__":
    main()
