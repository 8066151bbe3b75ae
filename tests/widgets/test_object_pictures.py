"""Small pictures of objects: of frames that are on show, each made once, drawn where only they are new."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QColor

from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.widgets.object_pictures import BAR, HEIGHT, WIDTH, ObjectPictures, _as_wide, picture_icon
from napari_sam2s.widgets.object_table import SWATCH, ObjectTable


class Frames:
    """A video that says which frames were read."""

    def __init__(self):
        self.read = []

    def __getitem__(self, frame):
        self.read.append(frame)
        return np.full((40, 60, 3), (200, 30, 30 + frame), np.uint8)


class Someone(QObject):
    """As much of a session as pictures are made of."""

    moved, changed, opened = Signal(), Signal(), Signal(object)

    def __init__(self, project):
        super().__init__()
        self.project, self.video, self.frame, self.tracking = project, Frames(), 0, False


@pytest.fixture
def someone(qapp, tmp_path):
    with Project.create(tmp_path / "p.sam2s", np.zeros((9, 40, 60, 3), np.uint8)) as project:
        square = np.zeros((40, 60), bool)
        square[10:20, 10:20] = True
        for i in (project.add_object().id for _ in range(3)):
            project.write_masks([(t, i, square, None) for t in (2, 3, 4)])
        yield Someone(project)


def test_only_frames_on_show_are_read_and_each_picture_is_made_once(someone):
    told = []
    pictures = ObjectPictures(someone, someone, lambda: [1, 2], lambda: told.append(set(pictures.known)))
    pictures.look()
    assert (someone.video.read, told) == ([], []), "no object is on frame 0"
    someone.frame, someone.tracking = 2, True
    pictures.look()
    assert someone.video.read == [], "not in the midst of a run"
    someone.tracking = False
    pictures.look()
    pictures.look()
    assert (someone.video.read, told) == ([2], [{1, 2}]), "the third is not on show"
    someone.frame = 3
    someone.project.prompts.add(Prompt(2, 3, ((15.0, 15.0),), (1,)))
    pictures.look()
    blue = {i: (p.prompted, p.image.pixelColor(p.image.rect().center()).blue()) for i, p in pictures.known.items()}
    assert blue == {1: (False, 32), 2: (True, 33)}
    someone.opened.emit(SimpleNamespace())
    assert pictures.known == {}


def test_a_picture_follows_a_correction_and_goes_with_its_mask(someone):
    told = []
    pictures = ObjectPictures(someone, someone, lambda: [1, 2], lambda: told.append(set(pictures.known)))
    someone.frame = 2
    larger = np.zeros((40, 60), bool)
    larger[5:35, 10:50] = True
    someone.project.write_masks([(2, 1, larger, None)])
    pictures.look()
    first = dict(pictures.known)
    someone.project.undo()
    pictures.look()
    assert pictures.known[1] is not first[1]
    assert pictures.known[2] is first[2]
    someone.project.tracks.delete(1, 0, 9)
    pictures.look()
    assert set(pictures.known) == told[-1] == {2}


def test_a_picture_is_drawn_beside_its_colour(someone, qtbot):
    table = ObjectTable()
    qtbot.addWidget(table)
    pictures = ObjectPictures(someone, someone, table.seen, table.show_pictures)
    table.pictures = pictures.known
    table.resize(400, 200)
    table.show_project(someone.project, 1)
    before = [table.item(row, SWATCH) for row in range(3)]
    assert table.seen() == [1, 2, 3]
    someone.frame = 4
    pictures.look()
    assert all(table.item(row, SWATCH) is not before[row] for row in range(3))
    shown = [table.item(row, SWATCH) for row in range(3)]
    table.show_pictures()
    table.show_project(someone.project, 1)
    assert all(table.item(row, SWATCH) is shown[row] for row in range(3)), "nothing is drawn twice"
    image = picture_icon(pictures.known[1], QColor(1, 2, 3)).pixmap(WIDTH, HEIGHT).toImage()
    middle = image.pixelColor((BAR + WIDTH) // 2, HEIGHT // 2)
    assert (middle.red(), middle.green(), middle.blue()) == (200, 30, 34)
    assert image.pixelColor(1, 1).getRgb()[:3] == (1, 2, 3)


@pytest.mark.parametrize(("here", "wanted"), [((10, 20, 10, 20), (10, 20, 9, 22)), ((0, 40, 0, 5), (0, 40, 0, 52))])
def test_it_is_as_wide_as_there_is_room(here, wanted):
    y0, y1, x0, x1 = here
    rows, columns = _as_wide((slice(y0, y1), slice(x0, x1)), (40, 60))
    assert (rows.start, rows.stop, columns.start, columns.stop) == wanted
