"""What an answer in the review is about: the span that was chosen and is on show, wherever its row has moved to."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_sam2s.masklets import ReviewSpan, Scores
from napari_sam2s.masklets.review import Reason
from napari_sam2s.widgets.review_spans import row_of

SHIFT = Qt.KeyboardModifier.ShiftModifier


def span(start, stop, *objects):
    return ReviewSpan(start, stop, objects, 0.5, (Reason("low predicted IoU", start, stop - start, 0.5, "low"),))


def test_a_span_is_found_again_where_its_row_has_moved():
    cup, hand = span(56, 65, 1), span(105, 108, 2)
    assert row_of(hand, (cup, hand), 0) == 1
    assert row_of(hand, (cup, span(100, 103, 2), span(104, 106, 2)), -1) == 2, "it has grown: the same object, frames shared"
    assert row_of(hand, (cup, span(105, 108, 1, 2)), -1) == -1, "other objects are another question"
    assert row_of(hand, (cup, span(108, 110, 2)), -1) == -1, "no frame is shared"
    assert row_of(None, (cup,), 0) == -1


@pytest.fixture
def desk(sharing_user):
    """One viewer serves all of these tests; object 1 is in some doubt on frames 4 to 7."""
    project = sharing_user.widget.session.project
    project.objects.rename(1, "cup")
    project.add_object("hand")
    for i, y in ((1, 20), (2, 150)):
        project.write_masks([(t, i, square(y), Scores(0.9, 6.0)) for t in range(24)])
    project.write_masks([(t, 1, square(20), Scores(0.4, 6.0)) for t in range(4, 8)])
    show(sharing_user, 1)
    return sharing_user


def square(y):
    mask = np.zeros((270, 480), dtype=bool)
    mask[y : y + 60, 100:160] = True
    return mask


def show(user, rows):
    user.widget.session.changed.emit()
    panel = user.widget.review_panel
    user.wait(lambda: panel.table.rowCount() == rows and not panel._behind)


def test_the_selection_goes_with_its_span_and_an_answer_is_about_what_is_on_show(desk):
    widget, project, panel = desk.widget, desk.widget.session.project, desk.widget.review_panel
    desk.press(Qt.Key.Key_J)
    chosen = panel.span
    assert widget.status.text().startswith("Frames 4 to 7, cup: predicted IoU down to 0.40")
    project.write_masks([(t, 2, square(150), Scores(0.1, 0.2)) for t in range(18, 21)])  # worse: it comes first
    show(desk, 2)
    assert (panel.table.currentRow(), panel.span) == (1, chosen)
    assert widget.session.frame == 4

    widget.session.go_to(12)  # somewhere else: W confirms nothing that is not on show
    desk.press(Qt.Key.Key_W)
    assert widget.session.frame == 4
    assert widget.status.text().startswith("Look at the masks first, then press W again. Frames 4 to 7, cup:")
    assert not any(project.masks.confirmed_frames(i) for i in (1, 2))
    desk.press(Qt.Key.Key_W)
    desk.wait(lambda: panel.table.rowCount() == 1)
    assert (project.masks.confirmed_frames(1), project.masks.confirmed_frames(2)) == ([4, 5, 6, 7], [])
    said = "Confirmed: cup on frames 4 to 7. U undoes it. Next: Frames 18 to 20, hand:"
    desk.wait(lambda: widget.status.text().startswith(said))


def test_undo_of_a_new_object_chooses_the_one_before(desk):
    session = desk.widget.session
    session.project.add_object("third")
    session.choose(2)
    session.new_object()
    assert session.current_object == 4
    desk.press(Qt.Key.Key_U)
    desk.wait(lambda: session.current_object == 2)
    assert desk.widget.objects_panel.table.currentRow() == 1
    assert desk.widget.picker.saved.text() == "saved"


def test_a_confirmed_mask_is_not_marked_absent_along_with_its_span(desk):
    project = desk.widget.session.project
    desk.press(Qt.Key.Key_J)
    desk.widget.session.go_to(5)
    desk.press(Qt.Key.Key_K)
    show(desk, 1)
    desk.press(Qt.Key.Key_J)
    desk.press(Qt.Key.Key_Q)
    desk.settle()
    assert [bool(project.mask(t, 1).any()) for t in range(3, 9)] == [True, False, True, False, False, True]
    assert "cup is marked absent on frames 4 to 7, but not on 5, which you confirmed." in desk.widget.status.text()
    project.undo()
    assert all(project.mask(t, 1).any() for t in range(3, 9)), "one step"


def test_a_correction_names_the_frames_up_to_what_is_confirmed(desk):
    desk.widget.session.project.tracks.confirm([1], 6, 7)
    show(desk, 1)
    desk.press(Qt.Key.Key_J)
    desk.press(Qt.Key.Key_W, SHIFT)
    assert desk.widget.session.frame < 6
    assert "to track frames 4 to 5 again, both ways" in desk.widget.status.text()
    assert desk.widget.session.correction == (4, 6)


def test_no_row_is_chosen_where_the_span_is_gone_without_an_answer(desk):
    project, panel = desk.widget.session.project, desk.widget.review_panel
    desk.press(Qt.Key.Key_J)
    project.write_masks([(t, 1, square(20), Scores(0.9, 6.0)) for t in range(4, 8)])  # tracked again, and sure now
    project.write_masks([(t, 2, square(150), Scores(0.1, 0.2)) for t in range(4, 8)])
    show(desk, 1)
    desk.wait(lambda: panel.review[0].objects == (2,))  # there was one before, too
    assert (panel.table.currentRow(), panel.span, panel.table.selectedItems()) == (-1, None, [])
    desk.press(Qt.Key.Key_W)
    assert desk.widget.status.text() == "Press J first: it goes to a span."
    assert project.masks.confirmed_frames(2) == []


def test_of_frames_that_pass_by_in_a_run_none_is_confirmed(desk, monkeypatch):
    session, panel = desk.widget.session, desk.widget.review_panel
    desk.press(Qt.Key.Key_J)
    session.following = True
    monkeypatch.setattr(type(session), "tracking", property(lambda self: True))  # a run at work
    desk.press(Qt.Key.Key_K)
    assert "the view stays on frame 4. Look at it, then confirm once more." in desk.widget.status.text()
    session.following = True
    panel.accept()
    assert desk.widget.status.text().startswith("Look at the masks first")
    assert session.project.masks.confirmed_frames(1) == []
    desk.press(Qt.Key.Key_K)
    assert session.project.masks.confirmed_frames(1) == [4]


@pytest.mark.parametrize("room", [True, False])
def test_a_look_in_3d_ends_no_following_and_a_move_does(desk, monkeypatch, room):
    session, run, dims = desk.widget.session, desk.widget.run_view, desk.viewer.dims
    if not room:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=0))
    run._jump(2)
    monkeypatch.setattr(type(session), "tracking", property(lambda self: True))  # a run at work
    session.following = True
    dims.ndisplay = 3
    desk.qtbot.wait(20)
    run._jump(6)
    dims.ndisplay = 2
    desk.qtbot.wait(20)
    run._jump(7)
    assert (session.following, session.frame) == (True, 7)
    session.go_to(5)
    assert not session.following


def test_a_division_is_asked_for_where_it_can_be_seen_and_nothing_is_answered_where_nothing_is_chosen(desk):
    widget, project, panel = desk.widget, desk.widget.session.project, desk.widget.review_panel
    answers = [panel._buttons.findChild(QPushButton, f"review_{name}") for name in ("accept", "correct", "absent")]
    two = square(150)
    two[170:190] = False
    project.write_masks([(t, 2, two, Scores(0.9, 6.0)) for t in (12, 13)])
    project.write_masks([(14, 2, square(150), Scores(0.1, -3.0))])  # far worse, of one part
    project.write_masks([(t, 1, square(20), Scores(0.9, 6.0)) for t in range(4, 8)])
    show(desk, 1)
    panel.table.setCurrentCell(-1, -1)
    panel._show_detail()
    assert not any(each.isEnabled() for each in answers)
    panel.next()
    assert widget.session.frame in (12, 13)
    assert widget.status.text().endswith("If one part is something else, right-click that part."), "instruments do not divide"
    assert panel._division.isHidden()
    widget.objects_panel.chooser.take("cells")
    panel.next()
    assert widget.status.text().startswith("That was the last span. Again from the worst: Frames 12 to 14, hand")
    assert "If it divided, Shift-D" in widget.status.text()
    assert all(each.isEnabled() for each in answers)


def test_nothing_to_review_is_not_said_of_masks_that_nobody_has_looked_through(desk):
    """As right after tracking: the queue is computed a moment later, and was empty before."""
    widget, project = desk.widget, desk.widget.session.project
    project.write_masks([(t, 1, square(20), Scores(0.9, 6.0)) for t in range(4, 8)])
    show(desk, 0)
    desk.press(Qt.Key.Key_J)
    assert widget.status.text().startswith("Nothing to review")
    project.write_masks([(t, 2, square(150), Scores(0.1, 0.2)) for t in range(18, 21)])
    desk.press(Qt.Key.Key_J)
    assert widget.status.text() == "The masks are still being checked. Press J again in a moment."
    show(desk, 1)
    desk.press(Qt.Key.Key_J)
    assert widget.status.text().startswith("Frames 18 to 20, hand:")


@pytest.fixture
def overlap(desk):
    """The hand lies over a third of the cup on frames 4 to 8, and over all of it on frame 7."""
    project = desk.widget.session.project
    project.write_masks([(t, 1, square(20), Scores(0.9, 6.0)) for t in range(24)])
    places = {**dict.fromkeys(range(24), 90), **dict.fromkeys(range(4, 9), 60), 7: 20}
    project.write_masks([(t, 2, square(y), Scores(0.9, 6.0)) for t, y in places.items()])
    show(desk, 1)
    return desk


def test_of_two_that_overlap_the_chosen_one_is_in_front_while_the_row_is_on_show(overlap):
    session, project = overlap.widget.session, overlap.widget.session.project
    overlap.press(Qt.Key.Key_J)
    for row in (1, 0):
        overlap.widget.objects_panel.table.setCurrentCell(row, 1)
    layer = session.layers.objects
    shown = layer.data.frame(session.frame)
    assert (shown == 1).sum() == square(20).sum(), "all of the cup, though the hand is below it in the table"
    assert overlap.widget.status.text() == (
        "cup is in front. Who gets the shared pixels? T: cup, Shift-T: hand, O: both. Q: cup is not there."
    )
    session.choose(2)
    assert (layer.data.frame(session.frame) == 2).sum() == square(60).sum()
    session.choose(1)
    session.go_to(12)
    session.go_to(4)
    assert (layer.data.frame(4) == 1).sum() == square(20).sum()
    assert (project.labels[4] == 1).sum() == (square(20) & ~square(60)).sum(), "exports and scores follow the table"
    session.go_to(9)
    assert layer.data.front is None


@pytest.mark.parametrize(("key", "modifier", "winner"), [(Qt.Key.Key_T, None, 1), (Qt.Key.Key_T, SHIFT, 2)])
def test_the_shared_pixels_of_all_frames_go_to_one_by_key(overlap, key, modifier, winner):
    project = overlap.widget.session.project
    overlap.press(Qt.Key.Key_J)
    overlap.widget.session.choose(1)
    overlap.press(key, *([] if modifier is None else [modifier]))
    overlap.settle()
    loser = 3 - winner
    for t in (4, 5, 6, 8):
        whole = {1: square(20), 2: square(60)}
        np.testing.assert_array_equal(project.mask(t, winner), whole[winner])
        np.testing.assert_array_equal(project.mask(t, loser), whole[loser] & ~whole[winner])
    np.testing.assert_array_equal(project.mask(7, loser), square(20), "nothing of it would be left: it keeps its mask")
    said = f"{('cup', 'hand')[loser - 1]} keeps its mask on frame 7: you confirmed it there, or nothing would be left of it."
    overlap.wait(lambda: said in overlap.widget.status.text())
    overlap.press(Qt.Key.Key_U)
    named = ("cup", "hand")[winner - 1]
    overlap.wait(lambda: f"Undone: giving the shared pixels to {named}." in overlap.widget.status.text())
    np.testing.assert_array_equal(project.mask(5, loser), {1: square(20), 2: square(60)}[loser], "one step")


def test_both_keep_what_they_share_and_without_a_row_the_key_says_what_it_is_for(overlap):
    project = overlap.widget.session.project
    overlap.press(Qt.Key.Key_J)
    assert "Who gets the shared pixels? T: " in overlap.widget.status.text()
    overlap.press(Qt.Key.Key_O)
    overlap.wait(lambda: overlap.widget.review_panel.table.rowCount() == 0)
    assert (project.masks.confirmed_frames(1), project.masks.confirmed_frames(2)) == ([4, 5, 6, 7, 8],) * 2
    overlap.press(Qt.Key.Key_T)
    assert "There is nothing to decide." in overlap.widget.status.text()
