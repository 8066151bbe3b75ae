"""Rows that no project has, written into a sound file by hand: told at the door, found by the doctor, saved around."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, Prompt, Scores, row_check
from napari_sam2s.masklets.damage import find_damage
from napari_sam2s.masklets.row_check import lost_parents
from napari_sam2s.masklets.salvage import salvage_project

FRAMES, SIZE = 6, (24, 32)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A project with a row in every table."""
    path = tmp_path_factory.mktemp("sound") / "case.sam2s"
    square = np.zeros(SIZE, bool)
    square[4:12, 5:15] = True
    with Project.create(path, np.zeros((FRAMES, *SIZE, 3), np.uint8)) as project:
        for name in "abc":
            project.add_object(name, class_name="cell")
        project.objects.set_parent(2, 1)
        project.prompts.add(Prompt(1, 0, points=((6.0, 7.0),), labels=(1,)))
        project.prompts.add(Prompt(2, 0, mask=square))
        run = project.runs.start(next_frame=0, stop_frame=FRAMES)
        scores = Scores(0.9, 5.0, {"cell": 0.5})
        project.write_masks([(t, i, np.roll(square, t, 1), scores) for t in range(3) for i in (1, 2)], run=run)
        project.write_masks([(t, 3, square, None) for t in range(3, FRAMES)])
        project.runs.finish(run, "paused")
        project.links.add(3, 3, [(1, 0.5)])
    return path


@pytest.fixture
def path(sound, tmp_path):
    return shutil.copy(sound, tmp_path / "case.sam2s")


def change(path, sql):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        assert db.execute(sql).rowcount > 0


def prompt(points="[[1, 2]]", labels="[1]", box="null"):
    return f"""prompts SET content = '{{"points": {points}, "labels": {labels}, "box": {box}}}'"""


def link(candidates="[[1, 0.5]]", reason='""', source="{}"):
    return f"""links SET content = '{{"candidates": {candidates}, "reason": {reason}, "source": {source}}}'"""


CHANGES = {
    "masks SET origin = 'alien' WHERE frame = 1": "the mask of object 1 on frame 1: origin is 'alien'",
    "masks SET origin = 7 WHERE frame = 1": "origin is '7'",
    "masks SET iou = 'x' WHERE frame = 1": "iou is 'x'",
    "masks SET object_score = 1e300 WHERE frame = 1": "object_score is 1e",
    "masks SET confirmed = -1 WHERE frame = 1": "confirmed is -1",
    "masks SET frame = 1.5 WHERE frame = 1 AND object_id = 1": "frame is 1.5",
    "masks SET object_id = 99 WHERE frame = 1 AND object_id = 1": "object_id is 99",
    "objects SET parent = 99 WHERE id = 2": "object 2 descends from 99, which is not there",
    "objects SET parent = 2 WHERE id = 1": "object 1 descends from 2, which is not there or descends from it",
    "objects SET parent = 3 WHERE id = 3": "object 3 descends from 3",
    "objects SET parent = 'x' WHERE id = 2": "parent is 'x'",
    "objects SET sort = 'x' WHERE id = 2": "objects, row 2: sort is 'x'",
    "objects SET locked = 'x' WHERE id = 2": "locked is 'x'",
    "objects SET visible = 2 WHERE id = 2": "visible is 2",
    "objects SET class_name = x'ff' WHERE id = 2": "class_name is b'",
    "objects SET id = -5 WHERE id = 3": "id is -5",
    "prompts SET content = 'x'": "prompts, row 1: content is 'x'",
    "prompts SET content = '{}'": "content is",
    "prompts SET content = '[]'": "content is",
    prompt(points="[[1, 2, 3]]"): "content is",
    prompt(points='[["a", "b"]]'): "content is",
    prompt(points="[[NaN, 2]]"): "content is",
    prompt(labels="[]"): "content is",
    prompt(labels="[3]"): "content is",
    prompt(box="[1, 2]"): "content is",
    "prompts SET mask = x'00'": "mask is",
    "prompts SET frame = 99": "frame is 99",
    "prompts SET object_id = 99": "prompts of object 99, which is not there",
    "runs SET status = 'alien'": "runs, row 1: status is 'alien'",
    "runs SET direction = 'up'": "direction is 'up'",
    "runs SET provenance = '[]'": "provenance is",
    "runs SET seconds = 'x'": "seconds is 'x'",
    "runs SET next_frame = 'x'": "next_frame is 'x'",
    "links SET content = '{}'": "links, row 1: content is",
    link(candidates="[1]"): "content is",
    link(source="[]"): "content is",
    "links SET ruled_out = 'x'": "ruled_out is 'x'",
    "links SET same_as = 99": "links of object 99, which is not there",
    "links SET frame = -5": "frame is -5",
    "class_lists SET names = '[1, 2]'": "class_lists, row 1: names is",
    "steps SET made = 'x'": "made is 'x'",
    "meta SET value = 'x' WHERE key = 'fps'": "its fps is 'x'",
    "meta SET value = '[1]' WHERE key = 'pixel_size'": "its pixel_size is",
    "meta SET value = 7 WHERE key = 'video'": "its video is 7",
    "meta SET value = x'00' WHERE key = 'pictures'": "its pictures is",
}


@pytest.mark.parametrize("sql", CHANGES)
def test_what_is_in_no_project_is_one_sentence_and_found(path, sql):
    change(path, f"UPDATE {sql}")
    with pytest.raises(ProjectError) as refused:
        Project.open(path)
    assert CHANGES[sql] in str(refused.value)
    assert "`napari-sam2s doctor case.sam2s` says what can be saved, and how." in str(refused.value)
    assert not find_damage(path).whole


def test_what_is_left_is_saved(path, tmp_path):
    for first in (
        "masks SET origin",
        "masks SET object_id",
        "objects SET class",
        "prompts SET frame",
        "runs SET",
        "links SET same",
    ):
        change(path, "UPDATE " + next(sql for sql in CHANGES if sql.startswith(first)))
    for first in ("class_lists", "steps", "meta SET value = 'x'", "meta SET value = x'00'"):
        change(path, "UPDATE " + next(sql for sql in CHANGES if sql.startswith(first)))
    made, damage = salvage_project(path, tmp_path / "saved.sam2s")
    assert {"objects", "prompts", "runs", "links", "class lists", "history", "video"} <= {
        p.replace("_", " ") for p in damage.parts
    }
    assert find_damage(made).whole
    with Project.open(made) as saved:
        assert {o.id: o.class_name for o in saved.objects} == {1: "cell", 2: None, 3: "cell"}
        assert saved.frames == [0, 2, 3, 4, 5]
        saved.review()


def test_hidden_masks_of_a_run_that_was_not_undone(path, tmp_path):
    change(path, "INSERT INTO hidden_runs VALUES (1)")
    with pytest.raises(ProjectError, match="masks of run 1 are hidden, and it was not undone"):
        Project.open(path)
    made, damage = salvage_project(path, tmp_path / "saved.sam2s")
    assert "undone runs" in damage.parts
    with Project.open(made) as saved:
        assert saved.frames == list(range(FRAMES))


def test_only_what_is_wrong_of_an_object_is_lost(path, tmp_path):
    change(path, "UPDATE objects SET sort = 'x', parent = 2, colour = 'red' WHERE id = 2")
    made, _ = salvage_project(path, tmp_path / "saved.sam2s")
    with Project.open(made) as saved:
        assert [(o.id, o.name, o.class_name, o.order, o.parent) for o in saved.objects] == [
            (1, "a", "cell", 1, None),
            (2, "b", "cell", 2, None),
            (3, "c", "cell", 3, None),
        ]


@pytest.mark.parametrize("what", ["origin = 'alien'", "object_score = 1e300", "iou = 'x'"])
def test_masks_of_a_large_file_are_told_when_they_are_read(path, monkeypatch, what):
    monkeypatch.setattr(row_check, "QUICK_BYTES", 0)
    change(path, f"UPDATE masks SET {what} WHERE frame = 1")
    read = (lambda project: project.scores(1)) if "iou" in what else (lambda project: project.review())
    with Project.open(path) as project, pytest.raises(ProjectError, match=r"is damaged \((a|the) (mask|score)"):
        read(project)


def test_ids_are_new_even_where_the_count_of_them_is_lost(path):
    change(path, "UPDATE sqlite_sequence SET seq = 'x'")
    with Project.open(path) as project:
        assert project.add_object().id == 4
        assert project.prompts.add(Prompt(1, 1, points=((6.0, 7.0),), labels=(1,))) == 3
        assert np.asarray(project.labels[0]).max() == 2


def test_commands_say_it_in_one_sentence(path, capsys):
    change(path, "UPDATE masks SET origin = 'alien' WHERE frame = 1")
    for words in (["show", path], ["export", path, path.with_name("out")], ["methods", path], ["resume", path]):
        assert main(list(map(str, words))) == 2
        assert "origin is 'alien'" in capsys.readouterr().err
    assert not path.with_name("out").exists()


def test_lost_parents():
    assert lost_parents({1: None, 2: 1, 3: 2}) == set()
    assert lost_parents({1: 2, 2: 1, 3: 2, 4: 9}) == {1, 2, 4}


def test_a_video_that_says_what_cannot_be(tmp_path):
    class Video:
        shape, fps = (2, 4, 4, 3), "25"

    with pytest.raises(ProjectError, match="The video says that its fps is '25'"):
        Project.create(tmp_path / "a.sam2s", Video())
    assert not list(tmp_path.glob("a.sam2s"))


@pytest.mark.parametrize(
    ("sql", "words", "saved"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON masks BEGIN DELETE FROM masks WHERE frame = 0; END", "gave it the trigger t", True),
        ("DROP INDEX masks_of_object", "its index masks_of_object is not there", True),
        ("DROP VIEW known_masks", "its view known_masks is not there", True),
        ("DROP TABLE links", "its table links is not there", True),
        ("DROP TABLE masks_changes", "its table masks_changes is not there", True),
        ("ALTER TABLE masks RENAME COLUMN iou TO x", "its table masks lacks iou", False),
    ],
)
def test_tables_that_are_not_as_they_were_made(path, tmp_path, sql, words, saved):
    """A trigger took masks away without a word; what was missing ended in a traceback."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(sql)
    with pytest.raises(ProjectError, match=words):
        Project.open(path)
    if not saved:
        with pytest.raises(ProjectError, match=words):
            find_damage(path)
        return
    assert words in find_damage(path).parts["tables"]
    with Project.open(salvage_project(path, tmp_path / "saved.sam2s")[0]) as project:
        assert project.frames == list(range(FRAMES))


def test_a_table_of_another_program_does_no_harm(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE notes (text)")
    with Project.open(path) as project:
        assert project.frames == list(range(FRAMES))


def test_masks_of_frames_below_0_are_found(path):
    change(path, "UPDATE masks SET frame = -3 WHERE frame = 1 AND object_id = 1")
    assert find_damage(path).lost == {1: [-3]}
