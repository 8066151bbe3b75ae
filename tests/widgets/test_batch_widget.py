"""All videos of a folder from a dock: what is done and what failed stands in the table, and a press pauses them."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.widgets import batch_widget
from napari_sam2s.widgets.batch_widget import PAUSE, START, BatchWidget


def test_a_folder_is_tracked_and_can_be_paused(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    case = demo_case(5, size=(120, 160))
    write_video((case[t] for t in range(5)), tmp_path / "a.mp4")
    Image.fromarray(case.masks(0)[1].astype(np.uint8)).save(tmp_path / "a_frame0.png")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    settings = {"input_size": 64, "precision": "float32"}
    monkeypatch.setattr(batch_widget, "remembered", lambda _, key, default: settings.get(key, default))
    viewer = make_napari_viewer()
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert not widget.button.isEnabled()
    widget.take_folder(tmp_path)
    widget.prompts.setCurrentIndex(widget.prompts.findData("masks"))
    widget.workers.setValue(1)

    def column(n):
        return [widget.table.item(row, n).text() for row in range(widget.table.rowCount())]

    assert column(0) == ["a.mp4", "broken.mp4"]
    with qtbot.waitSignal(widget.ended):
        QTest.mouseClick(widget.button, Qt.MouseButton.LeftButton)
        assert widget.button.text() == PAUSE
    qtbot.wait(20)  # until what it leads to in this thread is done: it was heard in another
    assert column(1) == ["done", "failed"]
    assert column(2)[0] == "5 of 5"
    assert "broken.mp4" in column(4)[1]
    assert widget.status.text().startswith("1 of 2 videos done")
    assert "1 failed" in widget.status.text()
    with Project.open(tmp_path / "a.mp4.sam2s", "r") as project:
        assert project.frames == list(range(5))

    def paused(folder, *, progress, stop, **options):
        assert (folder, options["prompts"], options["workers"], options["image_size"]) == (tmp_path, "masks", 1, 64)
        assert (options["precision"], options["crop"]) == ("bfloat16", True)
        assert stop.wait(240)
        rows = [replace(row, state="stopped") for row in made]
        progress(rows)
        return rows

    made = [batch_widget.BatchRow(tmp_path / "a.mp4", tmp_path / "a.mp4.sam2s")]
    monkeypatch.setattr(batch_widget, "batch", paused)
    settings["precision"] = "bfloat16"
    widget.crop.setChecked(True)
    QTest.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(widget.ended):
        QTest.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    qtbot.wait(20)  # until what it leads to in this thread is done: it was heard in another
    assert column(1) == ["stopped"]
    assert widget.status.text().endswith(f"Press {START} to track what is missing.")
    assert widget.button.text() == START
    widget.close()


def test_closing_does_not_wait_for_the_videos_to_pause(make_napari_viewer, tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"video")
    begun, paused, over = threading.Event(), threading.Event(), threading.Event()

    def slow(folder, *, progress, stop, **options):
        begun.set()
        assert stop.wait(240)
        assert paused.wait(240)  # as long as this takes
        rows = [batch_widget.BatchRow(tmp_path / "a.mp4", tmp_path / "a.mp4.sam2s")]
        progress(rows)
        over.set()
        return rows

    monkeypatch.setattr(batch_widget, "batch", slow)
    widget = BatchWidget(make_napari_viewer())
    widget.take_folder(tmp_path)
    told = []
    widget.told.connect(told.append)
    QTest.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    assert begun.wait(240)
    widget.close()
    assert not over.is_set()
    paused.set()
    assert over.wait(240)
    assert told == []
