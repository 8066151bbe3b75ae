"""The session without a window: what is open, on show and chosen, and what panels hear of it."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.key_bindings import KeymapHandler

from napari_sam2s.masklets import Prompt
from napari_sam2s.video import open_video
from napari_sam2s.widgets.layer_factory import OBJECTS, PROMPTS
from napari_sam2s.widgets.session import ANSWERING, NO_VIDEO, Session
from napari_sam2s.widgets.tracker_source import Choice


@pytest.fixture
def session(qapp, tmp_path):
    """A session on nine frames; no engine is started."""
    stack = np.random.default_rng(0).integers(0, 255, (9, 64, 64), dtype=np.uint8)
    viewer = ViewerModel()
    layer = viewer.add_image(stack, name="stack", scale=(0.5, 1, 1))
    made = Session(viewer)
    made.heard, made.changes = [], []
    made.message.connect(made.heard.append)
    made.changed.connect(lambda: made.changes.append(made.current_object))
    made.open(layer, open_video(stack, axes="TYX"), tmp_path / "stack.sam2s", Choice("sam2s-nano"))
    yield made
    made.let_go()


def test_what_is_open(session):
    viewer, path = session.viewer, session.project.path
    assert [layer.name for layer in viewer.layers] == ["stack", OBJECTS, PROMPTS]
    assert len(session.video) == 9
    assert [o.id for o in session.project.objects] == [session.current_object] == [1]
    closing = []
    session.closing.connect(closing.append)
    worker = session.worker
    session.close()
    assert closing == [worker]
    assert (session.project, session.video, session.image, session.layers, session.tracking) == (None, None, None, None, False)
    assert [layer.name for layer in viewer.layers] == ["stack"]
    assert path.exists()


def test_masks_may_stay_to_look_at(session):
    session.project.write_masks([(3, 1, np.ones((64, 64), bool), None)])
    session.close(leave_masks=True)
    layer = session.viewer.layers[OBJECTS]
    assert np.all(layer.data[3] == 1)
    assert not layer.editable


def test_a_click_that_is_not_answered_at_once_was_heard(session, monkeypatch, qtbot):
    may_answer = threading.Event()
    monkeypatch.setattr(session.worker, "_ask", lambda prompt, *, reset: may_answer.wait(10))
    monkeypatch.setattr("napari_sam2s.widgets.session.PATIENCE_MS", 0)
    session.prompt(Prompt(1, 0, ((5.0, 5.0),), (1,)))
    qtbot.waitUntil(lambda: session.heard[-1:] == [ANSWERING], timeout=5000)
    may_answer.set()
    session.settle()


def test_the_usual_keys_undo_and_redo_in_our_layers(session, monkeypatch):
    did = []
    for step in ("undo", "redo"):
        monkeypatch.setattr(session, step, lambda step=step: did.append(step))
    keyboard = KeymapHandler()
    for layer in (session.layers.objects, session.layers.prompts):
        keyboard.keymap_providers = [layer, session.viewer]
        keyboard.press_key("Control-Z")
        keyboard.press_key("Control-Shift-Z")
    assert did == ["undo", "redo"] * 2


def test_the_frame_on_show(session):
    moves = []
    session.moved.connect(lambda: moves.append(session.frame))
    session.go_to(7)
    assert session.frame == 7
    assert moves[-1] == 7
    assert session.viewer.dims.point[0] == 3.5
    session.close()
    assert session.frame == 0


def test_the_object_that_clicks_belong_to(session):
    session.new_object()
    assert session.current_object == session.viewer.layers[OBJECTS].selected_label == 2
    session.choose(1)
    assert session.viewer.layers[OBJECTS].selected_label == 1
    session.viewer.layers[OBJECTS].selected_label = 2
    assert session.current_object == 2
    assert session.changes == [2, 1, 2]
    session.undo()
    session.settle()
    session.changed.emit()
    assert session.current_object == 1
    session.remove_object()
    assert [o.id for o in session.project.objects] == [session.current_object]


def test_what_cannot_be_done_is_told(session):
    session.go_to(4)
    session.confirm()
    assert session.heard == ["Frame 4 has no masks yet. Click or track first, then confirm it."]
    session.project.objects.rename(1, "grasper")
    session.project.objects.set_flags(1, locked=True)
    session.prompt(Prompt(1, 0, ((3.0, 3.0),), (1,)))
    session.replace_prompts(1, 0, ())
    assert session.heard[1:] == ["grasper is locked. Unlock it to change its masks."] * 2
    session.settle()
    assert not session.project.prompts()


def test_with_nothing_open_nothing_happens_and_it_is_said(session):
    session.close()
    for action in (session.new_object, session.remove_object, session.confirm, session.undo, session.redo, session.settle):
        action()
    session.prompt(Prompt(1, 0, ((3.0, 3.0),), (1,)))
    session.go_to(3)
    assert session.heard == [NO_VIDEO] * 4


def pressed(layer, *moves):
    """Press and let go of the button in a layer, as napari tells of it."""
    event = SimpleNamespace(type="mouse_press", position=(0, 5, 5), button=1, modifiers=(), dims_displayed=[1, 2])
    running = [drag(layer, event) for drag in list(layer.mouse_drag_callbacks)]
    running = [drag for drag in running if drag is not None and next(drag, running) is None]
    for kind in (*moves, "mouse_release"):
        event.type = kind
        running = [drag for drag in running if next(drag, running) is None]


def test_a_click_in_another_layer_is_told_not_to_be_a_prompt(session):
    image, objects = session.image, session.layers.objects
    pressed(image)
    assert session.heard[-1] == (
        "stack is selected, so this click was no prompt. Prompts go to SAM2S prompts: select it in the list of layers."
    )
    session.heard.clear()
    pressed(image, "mouse_move")  # the picture was moved
    image.mode = "transform"
    pressed(image)
    assert session.heard == []
    objects.mode = "pan_zoom"
    session.viewer.layers.remove(session.layers.prompts)
    session.layers.notice_removal()
    pressed(objects)
    assert session.heard[-1].endswith("the button New brings it back.")
    session.close()
    session.heard.clear()
    image.mode = "pan_zoom"
    pressed(image)
    assert session.heard == []


def test_a_video_too_large_for_three_dimensions_stays_flat(session, monkeypatch, qtbot):
    dims, camera = session.viewer.dims, session.viewer.scene.camera
    dims.ndisplay = 3
    assert dims.ndisplay == 3
    dims.ndisplay = 2
    read = []
    image = session.image
    image.events.set_data.connect(lambda event: read.append(image._slice_input.ndisplay))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=9 * 64 * 64 * 25))  # half of it may be taken
    session.go_to(4)
    camera.zoom, camera.center = 7, (0, 20, 30)
    dims.ndisplay = 3
    assert dims.ndisplay == 2
    assert 3 not in read
    qtbot.wait(1)
    assert (session.frame, camera.zoom, camera.center) == (4, 7, (0, 20, 30))
    assert session.heard[-1] == "In 3-D, napari reads all 9 frames at once: 922 kB. The view stays in 2-D."
    session.close()
    dims.ndisplay = 3
    assert dims.ndisplay == 3


def test_after_an_edit_the_tracker_is_told_anew_what_has_changed_and_no_more(session):
    project, source = session.project, session.worker.source
    square = np.zeros((64, 64), bool)
    square[:9, :9] = True
    for i in (1, 2, 3):
        if i > 1:
            project.add_object()
        project.keep_prompt(Prompt(i, 0, mask=square), square, None)

    def stale_after(change):
        source.stale.clear()
        session.edit(change)
        session.settle()
        return set(source.stale)

    assert stale_after(lambda p: p.tracks.confirm([2], 0, 1)) == {2}
    assert stale_after(lambda p: p.objects.rename(1, "first")) == set()
    assert stale_after(lambda p: p.tracks.swap(1, 3)) == {1, 3}
    assert stale_after(lambda p: p.objects.remove(2)) == {2}
    assert stale_after(lambda p: p.undo()) == {2}
    assert stale_after(lambda p: p.prompts.remove(3)) == {3}
    assert stale_after(lambda p: p.store.forget()) == {1, 2, 3}
