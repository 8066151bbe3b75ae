"""Colours that are seen on what they cover, and pictures of answers: both without a window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from skimage.color import rgb2lab

from napari_sam2s.masklets import Project, Prompt, Scores
from napari_sam2s.masklets.colours import COLOURS, GIVEN, lab, unlike
from napari_sam2s.synthetic.samples import cells, demo_case
from napari_sam2s.video import open_video
from napari_sam2s.widgets.class_grid import ClassGrid
from napari_sam2s.widgets.clear_colours import clear_colour, recolour
from napari_sam2s.widgets.click_pictures import crop_around, lit
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.model_advice import advice
from napari_sam2s.widgets.object_table import ObjectTable
from napari_sam2s.widgets.objects_panel import ClassChooser
from napari_sam2s.widgets.pointer_names import label_features
from napari_sam2s.widgets.preflight import keep_rate
from napari_sam2s.widgets.settings import remember
from napari_sam2s.widgets.step_names import in_words

ORANGE, BLUE, GREEN = COLOURS[:3]
MASK = np.zeros((20, 30), bool)
MASK[5:15, 10:20] = True


@pytest.mark.parametrize(
    ("under", "around", "taken", "wanted"),
    [
        ((170, 60, 50), (0, 0, 0), (), ORANGE),  # tissue: as it is
        ((200, 180, 60), (0, 0, 0), (), BLUE),  # a yellow arm
        ((197, 177, 96), (0, 0, 0), (), BLUE),  # that of a robot in a dim hall
        ((200, 180, 60), (0, 0, 0), (BLUE,), GREEN),  # and another object is blue
        ((3, 0, 0), (168, 131, 50), (), BLUE),  # a dark figure before the sky of an evening, which orange makes alike
    ],
)
def test_a_mask_gets_a_colour_that_is_seen_on_the_picture(under, around, taken, wanted):
    picture = np.full((20, 30, 3), around, np.uint8)
    picture[MASK] = under
    assert clear_colour(picture, MASK, ORANGE, taken) == wanted
    assert clear_colour(picture, np.zeros_like(MASK), ORANGE, taken) == ORANGE


def test_only_a_first_mask_changes_a_colour_that_nobody_chose(tmp_path):
    yellow = np.full((20, 30, 3), (200, 180, 60), np.uint8)
    project = Project.create(tmp_path / "p.sam2s", np.zeros((3, 20, 30, 3), np.uint8))
    for _ in range(2):
        i = project.add_object().id
        project.prompts.add(Prompt(i, 0, ((8.0, 12.0),), (1,)))
        project.write_masks([(0, i, MASK, None)])
    recolour(project, 1, 0, yellow)
    assert project.objects.get(1).colour == GREEN, "blue is the other object's"
    for colour in (ORANGE, (250, 200, 10)):
        project.objects.set_colour(1, colour)
        project.prompts.add(Prompt(1, 1, ((8.0, 12.0),), (1,)))
        recolour(project, 1, 0, yellow)
        assert project.objects.get(1).colour == colour
    project.close()


def test_a_new_object_has_the_colour_that_is_least_like_those_of_others(tmp_path):
    def least(colours):
        seen = rgb2lab(np.array(colours) / 255)
        return np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(len(colours), 1)].min()

    np.testing.assert_allclose(lab(GIVEN), rgb2lab(np.array(GIVEN) / 255), atol=1e-6)

    with Project.create(tmp_path / "p.sam2s", np.zeros((3, 20, 30, 3), np.uint8)) as project:
        for _ in range(2):
            project.add_object()
        project.objects.set_colour(1, BLUE)  # as the first mask on something orange gets it
        project.objects.set_colour(2, (0, 150, 110))  # nearly a usual one
        colours = [o.colour for o in project.objects]
        for n in range(3, 64):
            colours.append(project.add_object().colour)
            if n in (10, 20, 63):
                assert least(colours) > {10: 40, 20: 35, 63: 20}[n], "in CIELAB: 2 is seen side by side, 20 at a glance"
    assert len({unlike(GIVEN + (GIVEN[0],) * n) for n in range(9)}) == 9, "all are taken: in turn"


def test_pictures_of_answers_show_the_answer_and_dim_the_rest():
    small = np.zeros_like(MASK)
    small[7:9, 12:14] = True
    here = crop_around([MASK, small])
    assert here == (slice(1, 19), slice(6, 24))
    picture = np.full((20, 30, 3), (200, 100, 0), np.uint8)
    shown = lit(picture[here], small[here])
    assert (shown[small[here]] == (200, 100, 0)).all()
    assert (shown[~small[here]] == 45).all()
    assert crop_around([np.zeros_like(MASK)]) == (slice(0, 24), slice(0, 34))


def test_napari_is_told_the_name_and_class_of_each_label(tmp_path):
    project = Project.create(tmp_path / "p.sam2s", np.zeros((3, 20, 30, 3), np.uint8))
    project.add_object("left grasper", "grasper")
    table = label_features(project.objects)
    assert table["index"].tolist() == [0, 1]
    assert table[["name", "class"]].iloc[1].tolist() == ["left grasper", "grasper"]
    project.close()


def test_steps_of_undo_are_told_in_words_and_names():
    names = {1: "grasper", 12: "left hook"}
    assert in_words("absent 1", names) == "marking absent grasper"
    assert in_words("swap 1 and 12", names) == "swapping grasper and left hook"
    assert in_words("fill holes of object 12", names) == "fill holes of left hook"
    assert in_words("move 3 to 1", names) == "giving masks of object 3 to grasper"
    assert in_words("divide 1", names) == "dividing grasper"
    assert in_words("set flags", names) == "locking or hiding"
    assert in_words("something new", names) == "something new"


def test_the_model_menu_recommends_one_and_says_how_fast_it_was_or_would_be():
    remember("speed", measured="")
    try:
        assert advice("edgetam", "")[0] == advice("sam2s-nano", "cpu")[0] == ""
        assert advice("edgetam", "cpu")[0] == advice("sam2.1-base-plus", "cuda")[0] == "recommended for this machine"
        keep_rate("sam2s-nano on cpu at 384 px", 3, 2.0)
        keep_rate("sam2s-nano on cpu at 384 px", 1, 8.7)
        keep_rate("sam2s-nano on cpu at 384 px, fast", 1, 99.0)
        assert advice("sam2s-nano", "cpu")[0] == "8.7 frames/s here"
        keep_rate("sam2.1-tiny on cpu at 512 px", 1, 5.0)  # as of MedSAM2, which is no measure of SAM 2 itself
        keep_rate("edgetam on cpu at 1024 px", 60, 0.1)
        assert advice("sam2.1-tiny", "cpu")[0] == "about 3.4 s a frame here"
        short, tip = advice("edgetam", "cpu")
        assert short == "recommended for this machine · about 2.1 frames/s here", (
            "1.2 s / 0.29; a run of sixty objects says nothing"
        )
        assert "estimate" in tip
        assert advice("sam2.1-tiny", "cuda") == (
            "",
            "Anything; the fastest of SAM 2.1.\n39 M parameters, input 1024 px, licence Apache-2.0.",
        )
    finally:
        remember("speed", measured="")


class Someone:
    """As much of a session as the grid of classes asks for."""

    def __init__(self, project):
        self.project, self.current_object, self.said = project, project.add_object().id, []
        self.changed = SimpleNamespace(emit=lambda: None)

    def new_object(self):
        self.current_object = self.project.add_object().id

    def activate_prompts(self):
        pass

    def tell(self, message):
        self.said.append(message)


def test_a_class_button_names_an_untouched_object_and_makes_another_of_one_in_use(qtbot, tmp_path):
    project = Project.create(tmp_path / "p.sam2s", np.zeros((3, 20, 30, 3), np.uint8))
    someone = Someone(project)
    keys = Keys(ViewerModel())
    grid = ClassGrid(someone, keys)
    qtbot.addWidget(grid)
    grid.show_classes(["dissecting and grasping forceps", "hook"])
    assert grid.buttons[0].toolTip().startswith("dissecting and grasping forceps (Ctrl-1)")
    grid.take(1)
    assert [(o.id, o.class_name) for o in project.objects] == [(1, "hook")]
    project.prompts.add(Prompt(1, 0, ((8.0, 12.0),), (1,)))
    grid.take(1)
    keys.actions["class_8"].run()  # no such class in the list
    assert someone.said[-1] == "The list of classes ends at 2: there is no class 8."
    assert [(o.name, o.class_name) for o in project.objects] == [("hook", "hook"), ("hook 2", "hook")]
    assert someone.said[-2] == "hook 2 is new: click it in the picture."
    project.undo()
    assert len(project.objects) == 1, "one step"
    project.close()


def test_classes_suit_the_video_until_the_user_chooses_a_list(qtbot):
    def suited(array, **more):
        chooser.suit(open_video(array, **more))
        return chooser.source

    chooser = ClassChooser()
    qtbot.addWidget(chooser)
    chooser.load_remembered()
    assert chooser.source == "SA-SV"
    assert suited(np.zeros((3, 20, 30), np.uint16)) == "cells"
    assert chooser.currentText() == "cells (8)"
    assert suited(np.zeros((3, 20, 30, 3), np.uint8)) == "SA-SV"
    assert suited(np.zeros((3, 2, 20, 30), np.uint8), axes="TCYX") == "cells"
    grey = np.broadcast_to(np.arange(90, dtype=np.uint8)[None, None, :, None], (3, 20, 90, 3)).copy()
    assert suited(grey, axes="TYXC", limits=(0, 255)) == "cells"
    grey[0, 5, 5, 1] += 9
    assert suited(grey, axes="TYXC", limits=(0, 255)) == "SA-SV"
    assert suited(demo_case(3), axes="TYXC", limits=(0, 255)) == "SA-SV"
    assert suited(cells(), axes="TYXC", limits=(0, 255)) == "cells"
    chooser.take("everyday")
    assert suited(cells(), axes="TYXC", limits=(0, 255)) == "everyday"
    again = ClassChooser()
    qtbot.addWidget(again)
    again.load_remembered()
    assert again.source == "everyday"


def test_a_class_that_is_not_in_the_list_is_not_suggested(qtbot, tmp_path):
    project = Project.create(tmp_path / "p.sam2s", np.zeros((3, 20, 30, 3), np.uint8))
    project.add_object()
    scores = Scores(0.9, 5.0, {"hook": 0.9, "grasper": 0.1})
    project.write_masks([(0, 1, np.ones((20, 30), bool), scores)])
    table = ObjectTable()
    qtbot.addWidget(table)
    for classes, choices, told in ((("hook",), ["hook"], True), (("cell",), ["cell"], False)):
        table.classes = classes
        table.show_project(project, 1)
        assert table.choices(0) == choices
        assert ("suggests hook" in table.item(0, 2).toolTip()) == told
    project.close()
