"""What happens around a session: closing, reopening, deleting, renaming, disks that cannot be written."""

from __future__ import annotations

import gc
import os
import shutil
import weakref

import numpy as np
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtWidgets import QApplication

from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project
from napari_sam2s.widgets import project_location
from napari_sam2s.widgets.layer_factory import OBJECTS, PROMPTS
from napari_sam2s.widgets.recent_projects import recent_projects
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.settings import remember
from napari_sam2s.widgets.timeline import Timeline


def track_a_little(user):
    project = user.widget.session.project
    user.click(130, 240)
    user.wait(lambda: bool(project.frames))
    user.press(Qt.Key.Key_G)
    user.wait(lambda: len(project.frames) > 3)
    return project


def test_closed_in_mid_run_and_reopened(local_user):
    """Napari takes a widget out of its dock without closing it."""
    user = local_user
    project = track_a_little(user)
    path, engine = project.path, user.widget.session.worker.source.engine
    user.widget.timeline.set_bounds(2, 20)  # for the next run; this one goes to the end
    dock = user.widget.parent()
    user.viewer.window.remove_dock_widget(dock)
    assert user.widget.session.worker is None
    assert not engine.alive
    layer = user.viewer.layers[OBJECTS]
    assert PROMPTS not in user.viewer.layers
    assert layer.data[0].any()  # the masks can still be looked at ...
    assert not layer.editable
    user.press(Qt.Key.Key_N)  # ... and the keys are let go of
    user.viewer.dims.set_point(0, 11)  # the middle, where napari puts a video that is opened
    again = SegmentWidget(user.viewer, project_folder=path.parent)
    user.viewer.window.add_dock_widget(again)
    user.widget = again
    user.wait(lambda: "ready" in again.status.text())
    assert again.session.frame == again.session.project.runs[-1].next_frame - 1, "where the run was interrupted"
    assert [layer.name for layer in user.viewer.layers] == ["case", OBJECTS, PROMPTS]
    assert len(again.session.project.objects) == 1
    assert again.run_panel.resume_button.isVisible()
    user.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
    user.wait(user.finished)
    assert again.session.project.frames == list(range(24))
    assert again.timeline.bounds == again.session.bounds == (2, 20), "the range was kept"
    assert recent_projects() == [path], "it is offered where no video is open"
    assert "in doubt" in again._first_step(), "what to do next, not what to do first"
    again.picker.use_project(path.with_name("other.sam2s"))
    assert again.session.bounds == (0, 24), "the range is the other project's"
    assert "Click an object" in again._first_step()


def test_layers_deleted_in_mid_run_are_back_and_that_is_told(user):
    project = track_a_little(user)
    user.widget.session.news.connect((news := [""]).append)
    for gone in ((OBJECTS,), (PROMPTS,), (OBJECTS, PROMPTS)):
        for name in gone:
            user.viewer.layers.remove(name)
        user.wait(lambda: f"{gone[0]} is back, because it shows the project." in news[-1])  # noqa: B023
        assert [layer.name for layer in user.viewer.layers][-2:] == [OBJECTS, PROMPTS], "the dots above the masks"
    user.wait(user.finished)
    assert project.frames == list(range(24))
    np.testing.assert_array_equal(user.viewer.layers[OBJECTS].data[5], project.labels[5])


def test_video_deleted_in_mid_run(user):
    project = track_a_little(user)
    path = project.path
    user.viewer.layers.remove("case")
    user.wait(lambda: user.widget.session.worker is None)
    assert len(user.viewer.layers) == 0
    with Project.open(path) as again:
        assert len(again.frames) > 3


def test_layers_renamed(user):
    user.viewer.layers["case"].name = "my case"
    user.viewer.layers[PROMPTS].name = "clicks"
    project = track_a_little(user)
    user.wait(user.finished)
    assert project.frames == list(range(24))
    user.viewer.layers.remove("clicks")
    assert user.widget.session.layers.prompts is None
    user.viewer.layers.remove("my case")
    user.wait(lambda: user.widget.session.worker is None)


def test_two_viewers_cannot_write_one_project(user, make_napari_viewer, tmp_path):
    other = make_napari_viewer()
    video = user.viewer.layers["case"]
    other.add_image(video.data, name="case", rgb=True, metadata=dict(video.metadata))
    second = SegmentWidget(other, project_folder=tmp_path)
    assert second.session.worker is None
    assert second.status.text().startswith(f"case.mp4.sam2s is open for writing by process {os.getpid()} of ")
    assert second.status.text().endswith(
        ". Close it there first. Then press a key such as G here. Or begin another project with the button '...'."
    )
    (tmp_path / "elsewhere").mkdir()
    second.picker.use_project(tmp_path / "elsewhere" / "other.sam2s")  # where the user says
    assert second.session.worker is not None
    assert user.widget.session.project.path != second.session.project.path
    second.close()


def test_two_viewers_two_videos(user, make_napari_viewer, tmp_path):
    other = make_napari_viewer()
    other.add_image(np.random.default_rng(0).integers(0, 255, (5, 64, 64), dtype=np.uint8), name="stack")
    second = SegmentWidget(other, project_folder=tmp_path)
    assert second.session.worker is not None
    user.press(Qt.Key.Key_N)
    assert len(user.widget.session.project.objects) == 2
    assert len(second.session.project.objects) == 1
    second.close()
    track_a_little(user)


def timelines():
    return sum(type(widget) is Timeline for widget in QApplication.allWidgets())


def test_nothing_of_a_closed_widget_stays(make_napari_viewer, qtbot, shared_engine, tmp_path):
    """Whoever opens and closes it all day in one napari keeps neither its parts nor their layers."""
    remember("model", address=shared_engine.address)
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 32, 32), np.uint8), name="stack")
    before = timelines()
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    viewer.window.add_dock_widget(widget)
    session = widget.session
    worker, sync = session.worker, session.layers
    prompts, objects = sync.prompts, sync.objects
    session.settle()
    parts = (worker, worker.project, sync, sync._strokes, prompts, objects, widget, session, widget.keys, widget.run_view)
    parts += (widget.timeline, widget.objects_panel, widget.review_panel, widget.picker, widget.answers)
    parts = {type(part).__name__: weakref.ref(part) for part in parts}
    viewer.window.remove_dock_widget(widget.parent())
    parts["what was left to look at"] = weakref.ref(viewer.layers[OBJECTS].data)  # an open file of the project goes with it
    widget.close()
    widget.deleteLater()
    viewer.layers.clear()
    del widget, session, worker, sync, prompts, objects

    def left():
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
        return [name for name, part in parts.items() if part() is not None]

    qtbot.waitUntil(lambda: not left() and timelines() == before)


def test_a_video_that_cannot_be_written_beside(make_napari_viewer, case, tmp_path, monkeypatch):
    """The project goes to the folder of the preferences; work that lies beside is copied, not lost."""
    frozen, chosen = tmp_path / "disc", tmp_path / "chosen"
    frozen.mkdir()
    file = write_video((case[t] for t in range(3)), frozen / "case.mp4")
    monkeypatch.setattr(project_location, "may_write", lambda folder: folder != frozen)
    monkeypatch.setattr(project_location, "remembered", lambda *_: str(chosen))
    viewer = make_napari_viewer()
    viewer.open(str(file), plugin="napari-sam2s")
    widget = SegmentWidget(viewer)
    first = widget.session.project
    first.objects.rename(1, "grasper")
    assert first.path.parent == chosen
    widget.close()
    shutil.move(first.path, frozen / "case.mp4.sam2s")
    again = SegmentWidget(viewer)
    assert again.session.project.path.parent == chosen
    assert again.session.project.objects[0].name == "grasper"
    again.close()


def test_a_disk_that_cannot_be_written_is_said(user, tmp_path):
    user.widget.picker.use_project(tmp_path / "nowhere" / "case.sam2s")
    assert user.widget.session.worker is None
    assert "no folder" in user.widget.status.text()
    assert [layer.name for layer in user.viewer.layers] == ["case"]
    user.widget.picker.use_project(tmp_path / "here.sam2s")
    assert user.widget.session.project.path == tmp_path / "here.sam2s"


def test_what_it_cannot_take_it_says(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((2, 3, 20, 20)), name="4D")
    widget = SegmentWidget(viewer, project_folder=tmp_path)
    assert "4 dimensions" in widget.status.text()
    assert [layer.name for layer in viewer.layers] == ["4D"]
    widget.session.trouble.connect((told := []).append)
    widget.run_view.track()
    assert "4 dimensions" in widget.status.text(), "there is a video, so it is not 'No video is open'"
    viewer.layers.clear()
    viewer.add_image(np.zeros((20, 20)), name="2D")
    assert ["single picture" in each for each in told] == [False, True], "said once"
    widget.close()


def test_a_project_that_another_napari_has_open_is_opened_once_it_is_free(user, tmp_path):
    path = tmp_path / "theirs.sam2s"
    with Project.create(path, user.widget.session.video):
        user.widget.picker.use_project(path)
        assert user.widget.session.worker is None
        user.press(Qt.Key.Key_G)
        assert "open for writing" in user.widget.status.text()
    user.press(Qt.Key.Key_G)
    assert user.widget.session.project.path == path


def test_device_out_of_memory(user, monkeypatch):
    """What torch raises on a full GPU arrives as an exception of the engine."""
    project = track_a_little(user)
    user.press(Qt.Key.Key_G)
    user.wait(lambda: not user.widget.session.tracking)
    user.settle()
    tracker, reached = user.widget.session.worker.source.tracker, len(project.frames)

    def full(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(tracker, "restore", full)
    user.widget.run_view.resume()
    user.wait(lambda: "ran out of memory" in user.widget.status.text())
    assert "Resume" in user.widget.status.text()
    assert len(project.frames) == reached
    user.widget.run_view.resume()  # in a new engine
    user.wait(user.finished)
    assert project.frames == list(range(24))
