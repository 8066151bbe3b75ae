"""SIGKILL to napari itself in mid-run: reopen, go on, the same masks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam2s.masklets import Project
from napari_sam2s.tracking import ProjectRun, Tracker

pytestmark = pytest.mark.long
PATIENCE = 240.0  # seconds

NAPARI = """
import sys, time
import napari
from pathlib import Path
from qtpy.QtWidgets import QApplication
from napari_sam2s.masklets import Prompt
from napari_sam2s.widgets.segment_widget import SegmentWidget

viewer = napari.Viewer(show=True)
viewer.open(sys.argv[1], plugin="napari-sam2s")
widget = SegmentWidget(viewer, project_folder=Path(sys.argv[2]))
viewer.window.add_dock_widget(widget)
widget.session.prompt(Prompt(1, 0, ((130.0, 240.0),), (1,)))
widget.session.worker.prompted.connect(lambda *_: widget.run_view.track())
napari.run()
"""


def test_napari_killed_in_mid_run(make_user, case_file, tmp_path):
    napari = subprocess.Popen([sys.executable, "-c", NAPARI, str(case_file), str(tmp_path)])
    path = tmp_path / "case.mp4.sam2s"
    end = time.monotonic() + PATIENCE
    reached = 0
    while reached < 5:
        assert time.monotonic() < end
        assert napari.poll() is None
        time.sleep(0.2)
        if path.exists():
            with Project.open(path, mode="r") as look:
                reached = len(look.frames)
    os.kill(napari.pid, signal.SIGKILL)
    napari.wait()
    with Project.open(path, mode="r") as look:
        kept = {t: look.labels[t].copy() for t in look.frames}
    assert 5 <= len(kept) < 24

    user = make_user()
    session, project = user.widget.session, user.widget.session.project
    assert user.widget.run_panel.resume_button.isVisible()
    user.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
    user.wait(user.finished)
    assert project.frames == list(range(24))
    for t, labels in kept.items():
        np.testing.assert_array_equal(project.labels[t], labels)
    with Project.create(tmp_path / "whole.sam2s", session.video) as whole:
        whole.add_object()
        source = session.worker.source
        tracker = Tracker(source.engine.model(source.choice.model, image_size=source.choice.image_size), session.video, whole)
        tracker.prompt(1, 0, points=[(130, 240)], labels=[1])
        for _ in ProjectRun(tracker, 0):
            pass
        for t in range(24):
            np.testing.assert_array_equal(project.labels[t], whole.labels[t])
