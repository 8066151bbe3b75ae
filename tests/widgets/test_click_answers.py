"""What comes after a click, without a window: other answers, objects that are covered, rapid marking, masks of a layer."""

from __future__ import annotations

import napari
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QPushButton

import napari_sam2s
from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Prompt, Scores
from napari_sam2s.tracking import Candidate
from napari_sam2s.video import open_video
from napari_sam2s.widgets.click_answers import ClickAnswers
from napari_sam2s.widgets.console import SESSIONS
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.label_menu import LabelMenu
from napari_sam2s.widgets.object_table import give_class
from napari_sam2s.widgets.session import TAKEN, Session
from napari_sam2s.widgets.tracker_source import Choice


def square(y, x, side):
    mask = np.zeros((64, 64), bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.fixture
def session(qapp, tmp_path, monkeypatch):
    """A session on nine frames whose model answers at once: with a square of 20 around a click, or the mask that is given."""
    stack = np.random.default_rng(0).integers(0, 255, (9, 64, 64), dtype=np.uint8)
    viewer = ViewerModel()
    layer = viewer.add_image(stack, name="stack")
    made = Session(viewer)
    made.heard = []
    viewer.dims.set_point(0, 0)
    made.message.connect(made.heard.append)
    worker = made.open(layer, open_video(stack, axes="TYX"), tmp_path / "stack.sam2s", Choice("sam2s-nano"))

    def ask(prompt, *, reset=False):
        y, x = prompt.points[0] if prompt.points else (0, 0)
        mask = prompt.mask if prompt.mask is not None else square(int(y) - 10, int(x) - 10, 20)
        worker.project.keep_prompt(prompt, mask, Scores(0.9, 5.0), reset=reset)

    monkeypatch.setattr(worker, "_ask", ask)
    yield made
    made.let_go()


@pytest.fixture
def answers(session):
    """What comes after its clicks, with keys; the window is a list of what would be on the status line."""
    owner = QObject()
    made = ClickAnswers(session, Keys(session.viewer), owner)
    made._watch(session.worker)
    session.worker.prompted.connect(lambda frame, object_id: session.heard.append(made.say(frame, object_id)))
    yield made
    owner.deleteLater()


def click(session, y, x):
    session.layers.clicks.click(session.frame, (float(y), float(x)))
    session.settle()


def wait_for(qtbot, session, words):
    qtbot.waitUntil(lambda: any(words in said for said in session.heard))


def test_a_key_shows_one_answer_after_the_other(session, answers, qtbot):
    answers.next_answer()
    assert "Click the object on this frame first" in session.heard[-1]
    click(session, 30, 30)
    qtbot.waitUntil(lambda: session.heard[-1] == "")  # nothing is doubtful
    found = [Candidate(square(20, 20, 20), 0.9), Candidate(square(25, 25, 8), 0.6), Candidate(square(10, 10, 40), 0.8)]
    answers._offered(1, 0, found)
    wait_for(qtbot, session, "whole 0.80 · part 0.90 · [finer part 0.60]")
    assert session.project.mask(0, 1).sum() == 64
    assert "D shows the next." in session.heard[-1]
    answers.next_answer()
    wait_for(qtbot, session, "[whole 0.80] · part 0.90 · finer part 0.60")
    assert session.project.mask(0, 1).sum() == 1600
    assert [p.mask is not None for p in session.project.prompts(1, 0)] == [True]
    session.undo()
    session.settle()
    assert session.project.mask(0, 1).sum() == 64, "each choice is a step of undo"
    wait_for(qtbot, session, "Undone: another answer to a click.")
    shown = []
    answers.offered.connect(shown.append)
    session.changed.emit()
    assert shown[-1].describe() == "whole 0.80 · part 0.90 · [finer part 0.60]"
    session.undo()
    session.undo()
    session.settle()
    session.changed.emit()
    assert shown[-1] is None, "the click itself was undone"
    click(session, 30, 30)
    assert answers._offer is None or session.heard
    session.go_to(1)
    click(session, 30, 30)
    answers._offered(1, 1, [Candidate(session.project.mask(1, 1), 0.9)])
    assert "no other answer" in session.heard[-1]


def test_no_press_is_forgotten_while_answers_are_on_their_way(session, answers, qtbot, monkeypatch):
    asked = []
    monkeypatch.setattr(session.worker, "candidates", lambda *where: asked.append(where))
    click(session, 30, 30)
    qtbot.waitUntil(lambda: session.heard[-1:] == [""])
    answers.next_answer()
    answers.next_answer()
    assert asked == [(1, 0)]
    found = [Candidate(square(20, 20, 20), 0.9), Candidate(square(25, 25, 8), 0.6), Candidate(square(10, 10, 40), 0.8)]
    answers._offered(1, 0, found)
    wait_for(qtbot, session, "[whole 0.80] · part 0.90 · finer part 0.60")
    answers.next_answer()  # three times before the first is answered
    answers.next_answer()
    answers.next_answer()
    session.settle()
    qtbot.waitUntil(lambda: answers._choosing == 0)
    answers.next_answer()
    wait_for(qtbot, session, "whole 0.80 · [part 0.90] · finer part 0.60")
    assert asked == [(1, 0)]


def test_a_click_that_corrects_a_chosen_answer_says_what_the_answer_was_to(session, answers, qtbot):
    click(session, 30, 30)
    qtbot.waitUntil(lambda: session.heard[-1:] == [""])
    answers._offered(1, 0, [Candidate(square(20, 20, 20), 0.9), Candidate(square(10, 10, 40), 0.8)])
    wait_for(qtbot, session, "[whole 0.80]")
    no = Prompt(1, 0, ((45.0, 45.0),), (0,))
    assert answers.with_what_was_said(no) == Prompt(1, 0, ((30.0, 30.0), (45.0, 45.0)), (1, 0))
    session.undo()
    session.settle()
    assert answers.with_what_was_said(no) == no
    session.redo()
    session.settle()
    session.prompt(no)
    session.settle()
    assert [p.labels for p in session.project.prompts(1, 0)] == [(), (1, 0)]


def test_an_answer_that_is_most_of_the_picture_is_told_to_be_so(session, answers, qtbot):
    session.worker._ask(Prompt(1, 0, mask=square(0, 0, 60)))
    session.project.write_masks([(0, 1, square(0, 0, 60), Scores(0.9, 5.0))], origin="prompted")
    told = "This is most of the picture. If it is the background, U takes it back."
    assert answers.say(0, 1) == told
    session.project.write_masks([(0, 1, square(0, 0, 50), Scores(0.9, 5.0))], origin="prompted")
    assert answers.say(0, 1) == ""


def test_the_first_answer_is_among_those_to_choose_from(session, answers, qtbot):
    click(session, 30, 30)
    qtbot.waitUntil(lambda: session.heard[-1:] == [""])
    before = session.project.mask(0, 1)
    answers._offered(1, 0, [Candidate(square(10, 10, 40), 0.8), Candidate(square(25, 25, 8), 0.6)])
    wait_for(qtbot, session, "first 0.90 · [whole 0.80] · part 0.60")
    answers.choose(0)
    wait_for(qtbot, session, "[first 0.90]")
    np.testing.assert_array_equal(session.project.mask(0, 1), before)


def test_an_answer_that_covers_another_object_is_told_and_settled_by_key(session, answers, qtbot):
    session.project.objects.rename(1, "liver")
    session.project.add_object("gauze")
    session.project.write_masks([(0, 2, square(30, 30, 20), None)])
    click(session, 30, 30)
    wait_for(qtbot, session, "liver also covers gauze. Who gets the shared pixels? T: liver, Shift-T: gauze, O: both.")
    answers.give()
    session.settle()
    assert session.project.mask(0, 1).sum() == 300
    assert session.project.mask(0, 2).sum() == 400
    wait_for(qtbot, session, "liver gives the shared pixels to gauze.")
    session.undo()
    session.settle()
    wait_for(qtbot, session, "Undone: who has the shared pixels.")
    assert answers.say(0, 1)
    answers.take()
    session.settle()
    assert session.project.mask(0, 2).sum() == 300
    assert session.project.mask(0, 1).sum() == 400
    wait_for(qtbot, session, "gauze gives the shared pixels to liver.")
    assert answers.say(0, 1) == ""
    answers.keep()
    assert "There is nothing to decide" in session.heard[-1]
    session.project.write_masks([(0, 2, square(22, 22, 5), None)], origin="painted")
    assert answers.say(0, 1)
    answers.take()
    assert session.heard[-1].startswith("gauze would have no pixels left.")
    answers.keep()
    assert session.heard[-1].startswith("Both keep")


def test_rapid_marking_keeps_every_overlap_until_it_is_decided(session, answers, qtbot):
    session.rapid = True
    for y, x in ((15, 15), (15, 30), (40, 30), (40, 45)):  # without waiting for any answer: 2 covers 1, 4 covers 3
        session.layers.clicks.click(0, (float(y), float(x)))
    session.settle()
    asked = "Who gets the shared pixels? T: object 4, Shift-T: object 3, O: both. 1 more to decide after this."
    asked = f"object 4 also covers object 3. {asked}"
    wait_for(qtbot, session, asked)
    answers.take()
    session.settle()
    qtbot.waitUntil(lambda: session.heard[-1].startswith("object 3 gives the shared pixels to object 4. object 2 also covers"))
    session.go_to(1)
    answers.give()
    assert session.heard[-1].endswith("Frame 0 has objects that overlap.")
    session.go_to(0)
    answers.give()
    session.settle()
    assert [session.project.mask(0, i).sum() for i in (1, 2, 3, 4)] == [400, 300, 300, 400]
    qtbot.waitUntil(lambda: session.heard[-1] == "object 2 gives the shared pixels to object 1.")
    answers.keep()
    assert "There is nothing to decide." in session.heard[-1]


def test_rapid_marking_makes_an_object_of_every_click(session):
    click(session, 20, 20)
    click(session, 22, 22)
    assert [o.id for o in session.project.objects] == [1]
    session.rapid = True
    for y in (30, 40, 50):
        click(session, y, 30)
    session.layers.clicks.click(0, (12.0, 12.0), positive=False)  # what the last one is not
    session.settle()
    assert [(p.object_id, p.labels) for p in session.project.prompts()] == [
        (1, (1,)),
        (1, (1,)),
        (2, (1,)),
        (3, (1,)),
        (4, (1,)),
        (4, (0,)),
    ]


def test_masks_of_any_labels_layer_are_prompts_in_two_clicks(session):
    cells = np.zeros((9, 64, 64), np.uint16)
    cells[0, 5:15, 5:15], cells[0, 30:40, 30:40], cells[3, 50:60, 5:15] = 7, 9, 11
    layer = session.viewer.add_labels(cells, name="cellpose")
    layer.selected_label = 9
    button = QPushButton()
    menu = LabelMenu(session, button)
    menu.fill()
    texts = ["cellpose: all 2 objects", "cellpose: label 9 alone", "A file of labels ..."]
    assert [action.text() for action in menu.actions()] == texts
    menu.actions()[0].trigger()
    session.settle()
    assert not layer.visible, "or its masks would be taken for the tracked ones"
    assert session.viewer.layers.selection.active.name == "SAM2S prompts"
    project = session.project
    assert [o.name for o in project.objects] == ["cellpose 7", "cellpose 9"], "the empty first object is one of them"
    np.testing.assert_array_equal(project.mask(0, 2), cells[0] == 9)
    assert [(p.object_id, p.frame, p.mask is not None) for p in project.prompts()] == [(1, 0, True), (2, 0, True)]
    assert project.undo() == TAKEN
    assert [o.name for o in project.objects] == ["object 1"]
    assert not project.prompts()
    project.redo()
    session.go_to(3)
    menu.fill()
    assert menu.actions()[0].text() == "cellpose: the object"
    menu.actions()[0].trigger()
    session.settle()
    assert (project.objects[-1].name, project.prompts()[-1].frame) == ("cellpose 11", 3)
    session.go_to(5)
    menu.fill()
    assert not menu.actions()[0].isEnabled()


def test_labels_that_are_objects_already_are_told_and_can_be_left_out(session):
    cells = np.zeros((9, 64, 64), np.uint16)
    cells[0, 5:15, 5:15], cells[0, 30:40, 30:40], cells[0, 50:60, 5:15] = 7, 9, 11
    session.project.write_masks([(0, 1, np.roll(cells[0] == 9, 2, axis=1), None)])  # clicked before
    session.viewer.add_labels(cells, name="cellpose")
    button = QPushButton()
    menu = LabelMenu(session, button)
    menu.fill()
    texts = ["cellpose: the 2 of 3 that are no objects yet", "cellpose: all 3 objects", "A file of labels ..."]
    assert [action.text() for action in menu.actions()] == texts
    menu.actions()[0].trigger()
    session.settle()
    assert [o.name for o in session.project.objects] == ["object 1", "cellpose 7", "cellpose 11"]
    assert not any("tracked twice" in said for said in session.heard)
    session.project.undo()
    menu.fill()
    menu.actions()[1].trigger()
    session.settle()
    assert len(session.project.objects) == 4
    assert any("1 of 3 masks of cellpose lie on objects that you already have" in said for said in session.heard)
    menu.fill()
    assert [action.text() for action in menu.actions()] == texts[1:]


def test_labels_in_an_image_layer_and_in_a_file_are_prompts(session, tmp_path):
    cells = np.zeros((9, 64, 64), np.uint16)
    cells[0, 5:15, 5:15], cells[0, 30:40, 30:40] = 7, 9
    session.viewer.add_image(cells, name="masks")  # as napari opens a file of labels
    session.viewer.add_image(np.random.default_rng(1).integers(0, 9, (9, 64, 64), dtype=np.uint8), name="noise")
    session.viewer.add_image(cells.astype(float), name="floats")
    button = QPushButton()
    menu = LabelMenu(session, button)
    menu.fill()
    assert [action.text() for action in menu.actions()] == ["masks: all 2 objects", "A file of labels ..."]
    tifffile.imwrite(tmp_path / "cells.tif", cells)
    tifffile.imwrite(tmp_path / "small.tif", cells[:, :9, :9])
    menu.take_file(tmp_path / "cells.tif")
    session.settle()
    assert [o.name for o in session.project.objects] == ["cells 7", "cells 9"]
    for name, words in (("small.tif", "9 x 9, the video 64 x 64 pixels"), ("none.tif", "no such file")):
        menu.take_file(tmp_path / name)
        assert words in session.heard[-1]
    session.go_to(1)
    menu.take_file(tmp_path / "cells.tif")
    assert "0 labels for frame 1" in session.heard[-1]
    assert len(session.project.objects) == 2


def test_a_class_names_what_has_no_name(session):
    project = session.project
    for _ in range(2):
        project.add_object()
    give_class(project, 1, "grasper")
    give_class(project, 2, "grasper")
    project.objects.rename(3, "mine")
    give_class(project, 3, "hook")
    assert [(o.name, o.class_name) for o in project.objects] == [
        ("grasper", "grasper"),
        ("grasper 2", "grasper"),
        ("mine", "hook"),
    ]
    project.undo()
    project.undo()
    project.undo()
    assert project.objects.get(2).name == "object 2", "it is one step"


def test_the_open_project_from_the_console(session, qtbot, monkeypatch):
    with pytest.raises(ProjectError, match="No video is open in SAM2S"):
        napari_sam2s.current_project()
    monkeypatch.setattr(napari, "current_viewer", lambda: session.viewer)
    SESSIONS.add(session)
    assert napari_sam2s.current_project() is session.project
    with qtbot.waitSignal(session.changed):  # what is changed there is shown
        napari_sam2s.current_project().write_masks([(2, 1, square(1, 1, 5), None)])
    session.close()
    with pytest.raises(ProjectError, match="No video is open"):
        napari_sam2s.current_project()


def test_a_prompt_on_a_frame_is_asked_for_its_candidates(session, qtbot, monkeypatch):
    asked, offered = [], []

    class Tracker:
        def candidates(self, frame, **given):
            asked.append((frame, given))
            return []

    monkeypatch.setattr(session.worker.source, "fresh", Tracker)
    session.worker.offered.connect(lambda *found: offered.append(found))
    session.project.prompts.add(Prompt(1, 2, ((3.0, 4.0), (5.0, 6.0)), (1, 0)))
    session.project.prompts.add(Prompt(1, 2, box=(1.0, 2.0, 9.0, 9.0)))
    session.worker.candidates(1, 2).result(timeout=240)
    assert asked == [(2, {"points": [(3.0, 4.0), (5.0, 6.0)], "labels": [1, 0], "box": (1.0, 2.0, 9.0, 9.0)})]
    qtbot.waitUntil(lambda: offered == [(1, 2, [])])
