"""What comes from outside is taken as it is meant, or refused."""

import json
import os
import sqlite3
import subprocess

import numpy as np
import pytest
import torch

from napari_sam2s.errors import ProjectError, PromptError
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.colours import COLOURS
from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.masklets.validation import binary_mask, colour_of, frame_of, id_of, name_of, quoted
from tests.fakes import squares

SIZE = (6, 8)
TRUE = np.zeros(SIZE, bool)
TRUE[1:4, 2:6] = True


@pytest.mark.parametrize(
    "value",
    [
        TRUE,
        TRUE.astype(np.uint8),
        TRUE * np.uint8(255),
        TRUE * 0.5,
        3 * TRUE.astype(int),
        TRUE.tolist(),
        torch.from_numpy(TRUE),
        torch.from_numpy(TRUE.astype(np.float32)).requires_grad_(),
        torch.from_numpy(TRUE).to(torch.bfloat16),  # which NumPy does not know
        np.ma.array(TRUE, mask=False),
        torch.from_numpy(TRUE).to_sparse(),
        torch.complex(torch.zeros(SIZE), -torch.from_numpy(TRUE).float()).conj().imag,  # negated when it is read
    ],
)
def test_two_values_are_a_mask(value):
    mask = binary_mask(value, SIZE, PromptError)
    assert mask.dtype == bool
    assert np.array_equal(mask, TRUE)


def test_what_was_given_may_change_afterwards():
    given = TRUE.copy()
    mask = binary_mask(given, SIZE, PromptError)
    given[:] = False
    assert np.array_equal(mask, TRUE)


class Unreadable:
    """An array of a store that went."""

    def __array__(self, dtype=None, copy=None):
        raise OSError("disk went")


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (np.where(TRUE, 0.95, 0.05), "mask > 0.5"),
        (np.where(TRUE, 0.95, 0.0) + 0.01 * np.eye(*SIZE), "mask > 0.5"),
        (np.where(TRUE, 8.0, -8.0), "mask > 0"),
        (np.where(TRUE, 1, -1), "mask > 0"),
        (TRUE + np.eye(*SIZE, dtype=int), "labels == 2"),
        (np.where(TRUE, 1.0, np.nan), "nan or inf"),
        (np.where(TRUE, np.inf, 0), "nan or inf"),
        (np.full(SIZE, "0"), "True and False"),
        (np.full(SIZE, None), "True and False"),
        (TRUE.astype(complex), "True and False"),
        (np.ma.array(np.ones(SIZE, bool), mask=~TRUE), r"mask\.filled\(False\)"),  # masked out was the object, too
        (TRUE[None], r"shape of the frame, \(6, 8\)"),
        (TRUE.T, r"got \(8, 6\)"),
        ([[True], [True, False]], "different lengths"),
        (torch.empty(SIZE, device="meta"), "give a dense one"),
        (Unreadable(), "True and False; got what cannot be read as one .disk went"),
    ],
)
def test_anything_else_is_refused_with_the_remedy(value, remedy):
    with pytest.raises(PromptError, match=remedy):
        binary_mask(value, SIZE, PromptError)


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "a.sam2s", squares(2)) as project:
        project.add_object()
        yield project


@pytest.mark.parametrize("value", [0.9, -1, "1", np.nan])
def test_a_project_keeps_no_guesses(project, value):
    mask = np.full(project.shape[1:], 0, dtype=object if isinstance(value, str) else float)
    mask[:3], mask[3] = value, 0.5
    with pytest.raises(ProjectError):
        project.write_masks([(0, 1, mask, None)])
    assert project.frames == []


@pytest.mark.parametrize("slip", [True, np.bool_(True), 1.0, "1"])
def test_what_is_no_number_of_a_frame_or_object(slip):
    for number in (frame_of, id_of):
        with pytest.raises(ProjectError, match=r"must be a whole number, not "):
            number(slip)


ONE = np.ones((48, 80), bool)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.objects.set_flags(1, visible=2),
        lambda p: p.objects.set_flags(1, locked="yes"),
        lambda p: p.objects.reorder([1, "2"]),
        lambda p: p.objects.reorder(None),
        lambda p: p.write_masks([(0, 1, ONE, None)], origin="drawn"),
        lambda p: p.write_masks([(0, 1, ONE, None)], confirmed=2),
        lambda p: p.write_masks([(0, 1, ONE)]),
        lambda p: p.write_masks(None),
        lambda p: p.write_masks([(0, 1, ONE, (0.5, 0.5))]),
        lambda p: p.write_masks([(0, 1, ONE, Scores("a", "b"))]),
        lambda p: p.write_masks([(0, 1, ONE, Scores(0.5, 0.5, {1: 0.5}))]),
        lambda p: p.write_masks([(0, 1, ONE, Scores(0.5, 0.5, {"a": np.nan}))]),
        lambda p: p.confirm(2**70),
        lambda p: p.mask(0, 2**70),
        lambda p: p.labels.__setitem__(0, ONE * 1.5),
        lambda p: p.labels.__setitem__(0, ONE * (256 + 1)),  # which a picture of bytes would take for object 1
        lambda p: p.labels.__setitem__((0, 0, 0), -1),
        lambda p: p.labels.__setitem__((0, 0, 0), np.nan),
        lambda p: p.labels.__setitem__(0, "a"),
    ],
)
def test_what_a_project_could_not_be_opened_with_is_not_written(project, change):
    with pytest.raises(ProjectError):
        change(project)
    assert project.frames == []
    with Project.open(project.path, "r") as other:
        assert [(o.visible, o.locked) for o in other.objects] == [(True, False)]


def test_names_are_text_on_one_line(project):
    assert name_of("  left \n grasper\t2 ") == "left grasper 2"
    assert project.add_object("a\tb").name == "a b"
    assert [name_of(odd) for odd in ("a\0b", "\x1b[31mred\x07", "a\ud800b")] == ["ab", "[31mred", "a\ufffdb"]
    assert name_of("grasper \u202eleft") == "grasper left"  # what follows would read from right to left
    for bad in (5, " \n", "\0", "n" * 100_001, "\u200b", "\ufeff", "\u0301"):
        with pytest.raises(ProjectError, match="A name"):
            project.add_object(bad)
        with pytest.raises(ProjectError, match="A name"):
            project.objects.rename(1, bad)
    assert [o.name for o in project.objects] == ["object 1", "a b"]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("#ff8000", "(255, 128, 0)"),
        ("red", "(255, 0, 0)"),
        ((1.0, 0.5, 0.0), "(255, 128, 0)"),
        ((0.0, 0.0, 1.0, 0.3), "(0, 0, 255)"),
    ],
)
def test_other_colours_are_refused_with_what_they_are(project, value, meant):
    with pytest.raises(ProjectError) as refused:
        project.add_object("x", colour=value)
    assert f"give {meant}" in str(refused.value)


@pytest.mark.parametrize("value", [(300, -5, 2), (1, 2), "nonsense", None, (np.nan, 0.0, 0.0), ((1, 2), (3,))])
def test_what_is_no_colour(value):
    with pytest.raises(ProjectError, match="A colour is"):
        colour_of(value)


def test_colours_that_earlier_versions_kept_are_read(project, tmp_path):
    project.add_object("second")
    project.add_object("third", colour=(1, 2, 3))
    project.close()
    with sqlite3.connect(project.path) as db:
        for i, kept in ((1, "#ff8000"), (2, [0.5, "x", 0])):
            db.execute("UPDATE objects SET colour = ? WHERE id = ?", (json.dumps(kept), i))
    db.close()
    with Project.open(project.path) as again:
        assert [o.colour for o in again.objects] == [(255, 128, 0), COLOURS[1], (1, 2, 3)]


def test_prompts_are_equal_if_they_say_the_same():
    """A dataclass compares the masks as arrays do: an error, and since Python 3.13 one even of the same array."""
    mask = np.eye(3, dtype=bool)
    prompt = Prompt(1, 0, mask=mask)
    assert prompt == Prompt(1, 0, mask=mask) == Prompt(1, 0, mask=mask.copy())
    assert prompt not in [Prompt(1, 0), Prompt(2, 0, mask=mask), Prompt(1, 0, mask=~mask), (1, 0)]
    assert len({Prompt(1, 0, ((1.0, 2.0),), (1,)), Prompt(1, 0, ((1.0, 2.0),), (1,))}) == 1


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("name", ["a b.ts", "$(touch x).ts", "`x`;y.ts", "it's.ts", '"x" $HOME.ts', "-rf.ts", "ä.ts", "a\nb"])
def test_a_name_in_a_command_is_a_name_alone(name):
    said = subprocess.run(["sh", "-c", f"printf %s {quoted(name)}"], capture_output=True, text=True, check=True).stdout
    assert said.removeprefix("./") == name
    assert not said.startswith("-")
