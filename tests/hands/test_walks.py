"""What a person does at napari, by real events: a fault that was met once in a real window is walked through here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.hands import desktop

NAME, FRAMES = 1, 3  # columns of the table of objects


def test_widget_first_then_the_video_and_clicks_are_prompts(hand):
    assert hand.opened_with == "SAM2S prompts"
    hand.click(hand.place(130, 240))
    hand.settled()
    assert hand.ask("[p.labels for p in widget.session.project.prompts()]") == [[1]]


def test_a_beginner_is_taught_and_a_question_mark_brings_it_back(hand):
    assert hand.taught_at_first
    assert hand.taught_then
    assert hand.ask("widget.objects_panel.table.isVisible()")
    hand.press("question")
    assert hand.ask("widget.objects_panel.lessons.steps.isVisible()")
    hand.press("question")
    assert hand.ask("widget.objects_panel.table.isVisible()")


def test_a_box_is_where_it_was_dragged_and_the_picture_stays(hand, tmp_path):
    camera = hand.ask("list(viewer.camera.center)")
    start, stop = hand.place(60, 60), hand.place(160, 200)
    hand.drag(start, stop)
    wide, high = stop[0] - start[0], stop[1] - start[1]
    hand.until(
        "b = widget.session.layers._band.band\n"
        f"answer = b is not None and b.isVisible() and max(abs(b.width() - {wide}), abs(b.height() - {high})) <= 3"
    )
    hand.let_go()
    hand.settled()
    np.testing.assert_allclose(hand.ask("widget.session.project.prompts()[0].box"), (60, 60, 160, 200), atol=2)
    assert hand.ask("list(viewer.camera.center)") == camera
    assert not hand.ask("widget.session.layers._band.band.isVisible()")
    assert hand.ask("viewer.layers['SAM2S prompts'].mouse_pan"), "a drag with the space bar moves the picture"


@pytest.mark.parametrize("key", ["k", "n", "g"])
def test_a_shortcut_after_a_row_was_clicked_renames_nothing(hand, key):
    hand.click(hand.place(130, 240))
    hand.settled()
    hand.click(hand.cell(0, NAME))
    hand.press(key)
    if key == "g":
        hand.until("len(widget.session.project.frames) > 1")
    hand.settled()
    assert hand.ask("widget.objects_panel.table.state().name") == "NoState"
    assert hand.ask("[o.name for o in widget.session.project.objects]")[0] == "object 1"
    did = {
        "k": "widget.session.project.masks.confirmed_frames(1)",
        "n": "len(widget.session.project.objects) == 2",
        "g": "len(widget.session.project.frames) > 1",
    }
    assert hand.ask(did[key])


def test_a_shortcut_after_a_rename_renames_nothing(hand):
    hand.click(hand.cell(0, NAME), times=2)
    hand.press("ctrl+a", "c", "l", "i", "p", "Return")
    hand.press("n")
    hand.settled()
    assert hand.ask("[o.name for o in widget.session.project.objects]") == ["clip", "object 2"]


@pytest.mark.parametrize("box", ["widget.run_panel.rate", "widget.run_panel.direction"])
def test_keys_work_after_the_rate_box_and_a_menu(hand, box):
    hand.click(hand.place(130, 240))
    hand.settled()
    hand.click(hand.middle(box))
    if "direction" in box:
        hand.press("Return")
    hand.press("g")
    hand.until("len(widget.session.project.frames) > 1")
    hand.settled()
    assert hand.ask("widget.run_panel.rate.text()") == "every frame"


def test_what_is_painted_without_an_object_becomes_one(hand):
    hand.ask(
        "layer = viewer.layers['SAM2S objects']\nviewer.layers.selection.active = layer\n"
        "layer.mode, layer.brush_size, layer.selected_label = 'paint', 12, 9"
    )
    hand.drag(hand.place(60, 60), hand.place(60, 110))
    hand.let_go()
    hand.settled()
    assert hand.ask("[o.id for o in widget.session.project.objects]") == [1, 2]
    assert hand.ask("int(widget.session.project.mask(0, 2).sum())") > 300


def test_a_locked_object_is_not_painted_and_that_is_told(hand):
    hand.ask(
        "widget.session.project.objects.set_flags(1, locked=True)\nwidget.session.changed.emit()\n"
        "layer = viewer.layers['SAM2S objects']\nviewer.layers.selection.active = layer\n"
        "layer.mode, layer.brush_size, layer.selected_label = 'paint', 12, 1"
    )
    hand.drag(hand.place(60, 60), hand.place(60, 110))
    hand.let_go()
    assert "locked" in hand.status
    assert hand.ask("int(viewer.layers['SAM2S objects']._slice.image.raw.max())") == 0, "nothing is drawn either"
    assert "Traceback" not in (hand.folder / "napari.log").read_text()


def test_undo_redo_and_confirm_say_what_they_did(hand):
    hand.click(hand.place(130, 240))
    hand.settled()
    hand.press("g")
    hand.until("'finished' in widget.status.text()")
    hand.settled()
    assert hand.ask("widget.run_panel.progress.isVisible()")
    hand.press("k")
    assert "is confirmed" in hand.status
    hand.press("u")
    hand.settled()
    assert "Undone: confirm" in hand.status
    hand.press("u")
    hand.settled()
    assert "Undone: the whole run of tracking" in hand.status
    assert not hand.ask("widget.run_panel.progress.isVisible()")
    hand.press("shift+u")
    hand.settled()
    assert "Redone: the whole run of tracking" in hand.status
    assert hand.ask("len(widget.session.project.frames)") == 16


def test_correcting_a_span_of_the_review_leaves_the_view_where_it_is(hand):
    hand.ask(
        "import numpy as np\np = widget.session.project\n"
        "from napari_sam2s.masklets import Scores\n"
        "def disc(y):\n    m = np.zeros(p.shape[1:], bool)\n    m[y:y + 40, 100:140] = True\n    return m\n"
        "p.add_object('second')\n"
        "doubts = {(3, 1): 0.2, (4, 1): 0.1, (5, 1): 0.2, (12, 2): 0.4}\n"
        "rows = [(t, i, disc(60 * i), Scores(doubts.get((t, i), 0.9), 5.0, None)) for t in range(16) for i in (1, 2)]\n"
        "p.write_masks(rows)\nwidget.session.changed.emit()\nwidget.tabs.setCurrentIndex(1)"
    )
    hand.until("len(widget.review_panel.review) > 1", patience=20)
    hand.ask("viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 0, 400), 6\nanswer = 1")  # somewhere else
    hand.press("j")
    chosen = hand.ask("widget.session.current_object")
    x, y = hand.place(60 * chosen + 20, 120)
    assert hand.ask(
        "canvas = viewer.window._qt_viewer.canvas.native\nfrom qtpy.QtCore import QPoint\n"
        f"answer = canvas.rect().contains(canvas.mapFromGlobal(QPoint({x}, {y})))"
    ), "the doubted object is brought into view"
    hand.ask("viewer.reset_view()\nanswer = 1")
    hand.press("shift+w")
    frame = hand.ask("widget.session.frame")
    hand.click(hand.place(80, 120))
    hand.settled()
    hand.until("widget.review_panel._stamp == widget.session.project.store.mask_stamp")  # the queue is computed anew
    hand.rest(0.5)
    assert hand.ask("widget.session.frame") == frame
    start, stop = hand.ask("list(widget.session.correction)")
    assert f"to track frames {start} to {stop - 1} again, both ways" in hand.status
    planned = hand.ask("[[s.start, s.stop, s.objects] for s in widget.run_view.segments()]")
    assert {t for a, b, _ in planned for t in (a, b)} <= set(range(start - 1, stop + 1))
    assert all(objects == planned[0][2] and len(objects) == 1 for _, _, objects in planned)


def test_absent_names_the_object_and_takes_the_doubtful_one(hand):
    hand.ask(
        "import numpy as np\np = widget.session.project\np.objects.rename(1, 'liver')\np.add_object('gauze')\n"
        "from napari_sam2s.masklets import Scores\nm = np.zeros(p.shape[1:], bool)\nm[60:120, 100:160] = True\n"
        "p.write_masks([(t, i, m, Scores(0.9 - 0.2 * (i == 2), 5.0, None)) for t in range(4, 8) for i in (1, 2)])\n"
        "widget.session.changed.emit()\nwidget.tabs.setCurrentIndex(1)"
    )
    hand.until("any(len(s.objects) == 2 for s in widget.review_panel.review)")
    row = hand.ask("next(n for n, s in enumerate(widget.review_panel.review) if len(s.objects) == 2)")
    hand.press(*["j"] * (row + 1))
    assert "gauze is in front." in hand.status
    assert "Q: gauze is not there." in hand.status
    hand.press("q")
    hand.settled()
    assert "gauze is marked absent" in hand.ask(
        "' '.join(n.message for n in napari.utils.notifications.notification_manager.records)"
    )
    assert hand.ask("bool(p.mask(5, 1).any())")
    assert not hand.ask("bool(p.mask(5, 2).any())")


def test_a_message_is_seen_on_a_laptop_and_moves_nothing(hand):
    bottom, window, height = hand.ask(
        "w, window = widget.status, viewer.window._qt_window\n"
        "answer = [w.mapTo(window, w.rect().bottomLeft()).y(), window.height(), w.height()]"
    )
    assert bottom <= window
    assert height > 30
    track = hand.middle("widget.run_panel.track_button")
    hand.ask(
        "widget.session.tell('The model is unsure (predicted IoU 0.41). Click again where the mask is wrong, or paint it. '\n"
        "                    'Press G to track from here.')"
    )
    hand.rest()
    assert hand.middle("widget.run_panel.track_button") == track
    assert hand.ask("w = widget.status\nanswer = w.visibleRegion().boundingRect().height() >= w.heightForWidth(w.width())")


def test_what_is_pressed_most_is_seen_on_a_laptop_and_stays_where_it_is(hand):
    def places():
        return {name: hand.middle(f"widget.{name}") for name in ("run_panel.track_button", "export_button", "status")}

    before = places()
    for text in ("", "16 frames · 1 object", "7,200 frames, 1,440 of them tracked · 3 objects · " * 3):
        hand.ask(f"widget.run_panel.preflight.setText({text!r})\nwidget.run_panel.show_progress(3, 9)")
        hand.rest()
        assert places() == before
    hand.ask("widget.run_panel.progress.setVisible(False)\nwidget.tabs.setCurrentIndex(2)")
    hand.rest()
    assert places() == before, "the page that is highest does not push them down"
    assert hand.ask("widget.export_button.visibleRegion().boundingRect().height() == widget.export_button.height()")


def test_escape_closes_the_keys(hand):
    hand.click(hand.place(130, 240))
    hand.settled()
    hand.press("h")
    assert hand.ask("widget.help.overlay is not None and widget.help.overlay.isVisible()")
    hand.press("Escape")
    assert hand.ask("widget.help.overlay is None")
    hand.press("n")
    assert hand.ask("len(widget.session.project.objects)") == 2


def test_a_click_in_3d_is_refused(hand):
    at = hand.place(130, 240)
    hand.ask("viewer.dims.ndisplay = 3")
    hand.rest(0.5)
    hand.click(at)
    hand.until("'in 3-D' in widget.status.text()")
    hand.ask("viewer.dims.ndisplay = 2")
    assert "in 3-D does not tell the frame" in hand.status
    hand.settled()
    assert hand.ask("len(widget.session.project.prompts())") == 0
    assert hand.ask("len(viewer.layers['SAM2S prompts'].data)") == 0


def test_a_click_across_the_frames_is_refused(hand):
    at = hand.place(130, 240)
    hand.click(hand.middle("viewer.window._qt_viewer.viewerButtons.rollDimsButton"))
    hand.rest(0.5)
    hand.click(at)
    hand.until("'look across the frames' in widget.status.text()")
    for _ in range(2):
        hand.press("ctrl+e")
    hand.rest(0.5)
    assert hand.ask("list(viewer.dims.order)") == [0, 1, 2], "the key that the message names"
    assert hand.ask("[len(widget.session.project.prompts()), len(viewer.layers['SAM2S prompts'].data)]") == [0, 0]
    hand.click(hand.place(130, 240))
    hand.settled()
    assert hand.ask("[p.frame for p in widget.session.project.prompts()]") == [0]


def test_a_plain_array_lies_on_the_frames_and_times_are_shown(hand):
    hand.ask(
        "import numpy as np\nviewer.add_labels(np.zeros((16, 270, 480), np.uint8), name='plain')\nwidget.session.go_to(11)"
    )
    hand.rest()
    assert hand.ask("int(viewer.layers['plain'].world_to_data(viewer.dims.point)[0])") == 11
    assert hand.ask("viewer.dims.nsteps[0]") == 16
    assert hand.ask("widget.timeline.place") == "frame 11 · 0:00.44"
    hand.ask("viewer.layers.remove('plain')\nanswer = 1")


def test_the_panel_leaves_the_picture_its_room_and_no_page_hides_its_buttons(hand):
    width, canvas = hand.ask("window = viewer.window._qt_viewer\nanswer = [widget.width(), window.canvas.native.width()]")
    assert width <= 400
    assert canvas > 500
    last = (
        "objects_panel.from_layer",
        "review_panel._buttons",
        "track_editing_panel.apply_button",
        "phases_panel.remove_button",
    )
    for page, buttons in enumerate(last):
        hand.ask(f"widget.tabs.setCurrentIndex({page})")
        hand.rest()
        assert hand.ask(f"w = widget.{buttons}\nanswer = w.visibleRegion().boundingRect().height() == w.height() > 0")


BOTH = "one, two = (widget.session.project.mask(0, i) for i in (1, 2))\nanswer = [int(m.sum()) for m in (one, two, one & two)]"


@pytest.mark.parametrize("key", ["t", "shift+t", "o"])
def test_what_an_answer_covers_of_another_object_is_settled_by_key(hand, key):
    hand.click(hand.place(130, 240))
    hand.settled()
    hand.ask(  # an object that is partly below what the click gives, and partly beside it
        "p = widget.session.project\nthere = p.mask(0, 1)\nrow = int(there.any(axis=1).nonzero()[0].mean())\n"
        "square = there & False\nsquare[row - 20 : row + 20, :] = True\n"
        "p.undo()\nwidget.session.changed.emit()\nwidget.session.take_masks({'liver': square})"
    )
    hand.settled()
    square = hand.ask("int(square.sum())")
    hand.press("n")
    hand.click(hand.place(130, 240))
    hand.settled()
    assert "object 2 also covers liver. Who gets the shared pixels? T: object 2, Shift-T: liver, O: both." in hand.status
    liver, new, both = hand.ask(BOTH)
    assert liver == square
    assert 1000 < both < min(liver, new)
    hand.press(key)
    hand.settled()
    left, said = {
        "t": ([liver - both, new, 0], "liver gives the shared pixels to object 2."),
        "shift+t": ([liver, new - both, 0], "object 2 gives the shared pixels to liver."),
        "o": ([liver, new, both], "Both keep what they cover."),
    }[key]
    assert hand.ask(BOTH) == left
    assert hand.status == f"{said} Press G to track from here."
    hand.press("u")
    hand.settled()
    if key != "o":
        assert hand.ask(BOTH) == [liver, new, both]
    else:
        assert hand.ask("widget.session.project.mask(0, 2) is None"), "there was nothing to undo but the click"


def test_a_phase_is_named_and_marked_and_keys_go_to_the_canvas_then(hand):
    hand.ask("widget.tabs.setCurrentWidget(widget.phases_panel)")
    hand.rest()
    hand.click(hand.middle("widget.phases_panel.name.lineEdit()"))
    hand.press("ctrl+a", "c", "l", "i", "p", "Return")
    hand.ask("widget.session.go_to(3)")
    hand.press("shift+m")
    assert "clip begins at frame 3" in hand.status
    hand.ask("widget.session.go_to(9)")
    hand.click(hand.middle("widget.phases_panel.mark_button"))
    assert hand.ask("[[p.name, p.start, p.stop] for p in widget.session.project.phases]") == [["clip", 3, 10]]
    hand.press("n")
    assert hand.ask("len(widget.session.project.objects)") == 2
    assert hand.ask("widget.phases_panel.name.currentText()") == "clip"


def test_control_and_a_click_choose_the_object_below_and_prompt_nothing(hand):
    hand.ask(
        "import numpy as np\np = widget.session.project\nmask = np.zeros(p.shape[1:], bool)\nmask[100:160, 200:280] = True\n"
        "p.write_masks([(0, 1, mask, None)])\np.add_object('hook')\nwidget.session.choose(2)"
    )
    hand.rest()
    hand.desktop.do("keydown", "ctrl")
    hand.click(hand.place(130, 240))
    hand.desktop.do("keyup", "ctrl")
    hand.until("widget.status.text() == 'object 1 is chosen.'")
    assert hand.ask("[widget.session.current_object, widget.objects_panel.table.currentRow()]") == [1, 0]
    assert hand.ask("[len(widget.session.project.prompts()), len(viewer.layers['SAM2S prompts'].data)]") == [0, 0]


def test_an_uncertain_link_is_looked_at_and_decided_with_the_pointer(hand):
    hand.ask(
        "import numpy as np\nproject = widget.session.project\nproject.objects.rename(1, 'grasper')\n"
        "second, third = project.add_object('again').id, project.add_object('other').id\n"
        "def disc(y):\n    m = np.zeros(project.shape[1:], bool)\n    m[y:y + 40, 100:140] = True\n    return m\n"
        "from napari_sam2s.masklets import Scores\n"
        "project.write_masks([(t, 1, disc(20), Scores(0.9, 5.0, None)) for t in range(4)])\n"
        "project.write_masks([(t, third, disc(80), Scores(0.9, 5.0, None)) for t in range(4)])\n"
        "project.write_masks([(t, second, disc(30), Scores(0.9, 5.0, None)) for t in range(9, 14)])\n"
        "project.links.add(second, 9, [(third, 0.5), (1, 0.4)], 'it came back')\n"
        "widget.session.changed.emit()\nwidget.tabs.setCurrentIndex(1)"
    )
    hand.until("len(widget.review_panel.review) > 0 and widget.review_panel.review[0].link is not None")
    hand.press("j")
    hand.until("widget.review_panel.links.pictures.isVisible()")
    assert hand.ask("widget.review_panel.links.before_name.text()") == "other, frame 3"
    assert hand.ask("widget.session.frame") == 9
    hand.click(hand.middle("widget.review_panel.links.before"))
    assert hand.ask("widget.session.frame") == 3, "its picture goes to where it was seen"
    hand.press("shift+q")  # not the same: the next candidate
    hand.settled()
    hand.until("widget.review_panel.links.before_name.text() == 'grasper, frame 3'")
    hand.press("w")
    hand.settled()
    assert hand.ask("[o.name for o in project.objects]") == ["grasper", "other"]
    assert hand.ask(
        "[bool(project.mask(10, 1) is not None and project.mask(10, 1).any()), project.mask(3, 1)[30, 120].item()]"
    ) == [True, True]
    hand.press("u")
    hand.settled()
    assert hand.ask("[o.name for o in project.objects]") == ["grasper", "again", "other"]


def test_a_right_click_in_an_answer_that_was_chosen_by_key_takes_out_what_it_hits_and_no_more(hand):
    hand.click(hand.place(130, 240))
    hand.settled()
    hand.press("d")
    hand.until("widget.session.project.prompts()[0].mask is not None")
    hand.settled()
    inside, beside = "int(widget.session.project.mask(0, 1)[128:133, 238:243].sum())", hand.place(30, 60)
    assert hand.ask(inside) == 25
    hand.click(beside, button=3)
    hand.settled()
    assert hand.ask("[list(p.labels) for p in widget.session.project.prompts()]") == [[], [1, 0]]
    assert hand.ask(inside) == 25


def test_a_click_while_the_video_is_the_chosen_layer_is_told_to_be_no_prompt(hand):
    hand.ask("viewer.layers.selection.active = widget.session.image")
    hand.rest()
    hand.click(hand.place(130, 240))
    assert "is selected, so this click was no prompt" in hand.status
    assert hand.ask("widget.session.project.prompts()") == []


def test_the_console_beside_the_timeline_has_room_and_gives_it_back(hand):
    timeline = "t = widget.timeline.parent()\nanswer = [t.y(), t.height()]"
    before = hand.ask(timeline)
    for _ in range(2):
        hand.click(hand.middle("viewer.window._qt_viewer.viewerButtons.consoleButton"))
        hand.until("viewer.window._qt_viewer.dockConsole.height() > 150")
        hand.click(hand.middle("viewer.window._qt_viewer.viewerButtons.consoleButton"))
        hand.until("not viewer.window._qt_viewer.dockConsole.isVisible()")
        hand.rest(0.4)
        assert hand.ask(timeline) == before


@pytest.mark.parametrize("place", ["widget.objects_panel.table", "widget.status", "widget.timeline"])
def test_a_file_that_is_dropped_on_the_panel_is_opened(hand, tmp_path, request, place):
    labels = np.zeros((16, 270, 480), np.int32)
    labels[:, 100:150, 200:300] = 3
    np.save(tmp_path / "cells.npy", labels)
    corner = hand.place(20, 20)
    program = [sys.executable, str(Path(desktop.__file__).with_name("file_manager.py")), str(tmp_path / "cells.npy")]
    files = subprocess.Popen([*program, *map(str, corner)], env=hand.desktop.environment)
    request.addfinalizer(files.wait)
    request.addfinalizer(files.terminate)
    ids = ["xdotool", "search", "--onlyvisible", "--pid", str(files.pid)]
    desktop.wait_for(lambda: subprocess.run(ids, env=hand.desktop.environment, capture_output=True).stdout, "a window")
    hand.rest(0.3)
    hand.drag([corner[0] + 10, corner[1] + 10], hand.middle(place))
    hand.rest(0.3)
    hand.let_go()
    hand.until("'cells' in viewer.layers", patience=20)
    hand.until("widget.status.text() == \"cells holds masks. 'From layer' makes prompts of them.\"", patience=20)
    hand.ask("viewer.layers.remove('cells')\nanswer = 1")
