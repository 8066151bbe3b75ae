"""What a user is told of files that are no videos, by every door, and while one is opened."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from platformdirs import user_data_dir
from qtpy.QtWidgets import QFileDialog

from napari_sam2s.errors import VideoError
from napari_sam2s.widgets.notifications import notices
from napari_sam2s.widgets.session import NO_VIDEO
from napari_sam2s.widgets.start_folder import note_folder, start_folder


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"this is no video" * 100)
    return path


def close_notices(viewer):
    for shown in notices(viewer.window._qt_window):
        shown.close()


def test_a_file_that_is_no_video_is_told_in_one_whole_sentence(sharing_user, broken, monkeypatch):
    viewer, status = sharing_user.viewer, sharing_user.widget.status
    close_notices(viewer)
    said = []
    sharing_user.widget.session.begins.connect(said.append)
    notes = broken.with_name("notes.txt")
    notes.write_text("the quick brown fox\n" * 400)
    sharing_user.widget.picker.open_file(str(notes))  # "Open a video ...": the ending is not ours
    assert status.text().endswith("notes.txt is text, not a video: give a video file, or a folder of pictures.")
    with pytest.raises(VideoError):  # a script
        viewer.open(str(broken), plugin="napari-sam2s")
    close_notices(viewer)
    monkeypatch.setattr(sys, "excepthook", notification_manager.receive_error)  # as while napari runs
    before = list(viewer.layers)
    assert viewer.open(str(broken), plugin="napari-sam2s") == []  # Ctrl+O, or dropped, with our reader chosen
    assert list(viewer.layers) == before
    assert status.text().startswith("broken.mp4 cannot be opened as a video: ")
    assert status.text().endswith("The end of the file is missing, or it is not a video: copy, download or record it again.")
    assert said == ["Opening notes.txt ...", "Opening broken.mp4 ...", "Opening broken.mp4 ..."]
    told = [each for each in notices(viewer.window._qt_window) if each.message.text() == status.text()]  # closed ones linger
    shown = told[-1]
    assert shown.property("expanded")
    assert shown.height() >= shown.sizeHint().height()
    close_notices(viewer)


def test_a_video_of_another_ending_is_opened_by_the_button(sharing_user, broken, encoded):
    odd = broken.with_name("case.recording")
    odd.write_bytes(encoded.read_bytes())
    layers = sharing_user.viewer.layers
    before = list(layers)
    sharing_user.widget.picker.open_file(str(odd))
    [new] = [layer for layer in layers if layer not in before]
    assert new.data.shape == (24, 270, 480, 3)
    layers.remove(new)


def test_keys_without_a_video_say_what_to_do(sharing_user):
    widget = sharing_user.widget
    widget.session.close()
    for act in (
        widget.run_view.track,
        widget.run_view.resume,
        widget.session.confirm,
        widget.session.undo,
        widget.session.new_object,
    ):
        widget.status.clear()
        act()
        assert widget.status.text() == NO_VIDEO


def test_dialogs_begin_in_a_folder_that_the_user_knows(sharing_user, tmp_path, monkeypatch):
    viewer, widget = sharing_user.viewer, sharing_user.widget
    folder = widget.session.video.path.parent
    asked = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda parent, title, at, kinds: (asked.append(at), ("", ""))[1])
    widget.session.project.write_masks([(0, 1, np.ones((270, 480), bool), None)])
    widget.exporter.ask("davis")
    assert asked == [str(folder / "case-davis")]
    assert folder != widget.session.project.path.parent
    note_folder(viewer, str(tmp_path / "masks.csv"))
    assert start_folder(viewer) == tmp_path
    note_folder(viewer, str(folder))

    class Nothing:
        layers = ()  # such as a sample, whose project is in a hidden folder

    assert start_folder(Nothing) == Path.home()
    assert start_folder(Nothing, Path(user_data_dir("napari-sam2s")) / "projects" / "a.sam2s") == Path.home()
    assert start_folder(Nothing, tmp_path / "a.sam2s") == tmp_path, "the user put it there"
