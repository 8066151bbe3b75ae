"""The project file: what goes in comes out, and nothing is lost."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, Prompt, Scores, schema
from napari_sam2s.video import open_video


def square(t, i):
    mask = np.zeros((24, 32), dtype=bool)
    mask[2 + 10 * (i - 1) : 9 + 10 * (i - 1), t % 20 : t % 20 + 8] = True
    return mask


def test_everything_is_there_after_reopening(tmp_path, video):
    path = tmp_path / "case.sam2s"
    prompts = [
        Prompt(1, 3, ((4.0, 5.5), (6.0, 7.0)), (1, 0)),
        Prompt(1, 4, box=(1.0, 2.0, 10.0, 12.0)),
        Prompt(2, 5, mask=square(5, 1)),
    ]
    with Project.create(path, video) as project:
        grasper = project.add_object("grasper left", class_name="grasper", colour=(1, 2, 3))
        project.add_object()
        for prompt in prompts:
            project.prompts.add(prompt)
        project.write_masks([(3, grasper.id, square(3, 1), Scores(0.9, 4.5, {"grasper": 0.75, "hook": 0.25}))])
        project.confirm(3)
        run = project.runs.start(model="sam2s-nano", seed=5)
        project.runs.save_snapshot(run, 7, "forward", b"state")
    with Project.open(path) as again:
        assert again.shape == (30, 24, 32)
        assert [(o.name, o.class_name) for o in again.objects] == [("grasper left", "grasper"), ("object 2", None)]
        assert again.objects[0].colour == (1, 2, 3)
        loaded = again.prompts()
        assert loaded[:2] == prompts[:2]
        np.testing.assert_array_equal(loaded[2].mask, prompts[2].mask)
        np.testing.assert_array_equal(again.mask(3, 1), square(3, 1))
        assert again.scores(3)[1] == Scores(0.9, 4.5, {"grasper": 0.75, "hook": 0.25})
        assert again.masks.suggested_class(1) == ("grasper", 0.75)
        assert again.masks.confirmed_frames(1) == [3]
        assert again.runs[0].status == "interrupted"
        assert again.runs[0].provenance == {"model": "sam2s-nano", "seed": 5}
        assert again.runs.latest_snapshot(run) == (7, "forward", b"state")
        again.video.check(video)


def test_ids_are_never_given_twice(project):
    third = project.add_object()
    project.objects.remove(third.id)
    assert project.add_object().id == third.id + 1
    project.undo()
    project.undo()
    project.undo()
    assert [o.id for o in project.objects] == [1, 2]
    assert project.add_object().id > third.id


def test_absent_unseen_and_low_scores_are_told_apart(tmp_path, video):
    with Project.create(tmp_path / "a.sam2s", video) as project:
        i = project.add_object().id
        empty = np.zeros((24, 32), dtype=bool)
        rows = [(t, i, square(t, 1), Scores(0.9, 5.0)) for t in range(5)]
        rows += [(t, i, empty, Scores(0.9, -5.0)) for t in range(5, 8)]
        rows += [(t, i, square(t, 1), Scores(0.2, 1.0)) for t in range(8, 10)]
        project.write_masks(rows)
        spans = [(s.start, s.stop, s.state) for s in project.masks.presence(i)]
        assert spans == [(0, 5, "present"), (5, 8, "absent"), (8, 10, "low score"), (10, 30, "unseen")]
        assert not project.mask(6, i).any()
        assert project.mask(20, i) is None


def test_propagation_never_overwrites_a_person(project):
    project.labels[4, 20:22, 20:22] = 1
    project.confirm(6, 2)
    project.objects.set_flags(2, locked=True)
    before = {t: project.masks(t) for t in (4, 6, 8)}
    other = np.ones((24, 32), dtype=bool)
    project.write_masks([(t, i, other, None) for t in (4, 6, 8) for i in (1, 2)])
    np.testing.assert_array_equal(project.mask(4, 1), before[4][1])
    np.testing.assert_array_equal(project.mask(6, 2), before[6][2])
    np.testing.assert_array_equal(project.mask(8, 2), before[8][2])  # locked
    assert project.mask(8, 1).all()


def test_two_masks_of_one_object_on_one_frame_are_an_error(project):
    before = project.mask(4, 1)
    rows = [(4, 1, np.ones((24, 32), bool), None), (5, 1, square(5, 1), None), (np.int64(4), 1, square(9, 1), None)]
    with pytest.raises(ProjectError, match="Object 1 has two masks on frame 4: write one"):  # the last won without a word
        project.write_masks(rows)
    np.testing.assert_array_equal(project.mask(4, 1), before)
    project.write_masks([(4, 1, square(4, 1), None), (4, 2, square(4, 2), None)])


def test_the_file_is_found_with_its_video_and_refuses_another(tmp_path, video):
    path = tmp_path / "a.sam2s"
    Project.create(path, video).close()
    other = open_video(np.zeros((30, 24, 32, 3), dtype=np.uint8))
    shorter = open_video(np.zeros((20, 24, 32, 3), dtype=np.uint8))
    with Project.open(path) as project:
        with pytest.raises(ProjectError, match="other content"):
            project.video.check(other)
        with pytest.raises(ProjectError, match="20 frames"):
            project.video.check(shorter)
        project.video.relink(other)
        project.video.check(other)
        i = project.add_object().id
        project.write_masks([(24, i, square(0, 1), None)])
        with pytest.raises(ProjectError, match=r"20 frames, but the project has data on frame 24"):
            project.video.relink(shorter)
        with pytest.raises(ProjectError, match="would not fit"):
            project.video.relink(open_video(np.zeros((30, 24, 40, 3), dtype=np.uint8)))
        assert project.shape == (30, 24, 32)
        longer = open_video(np.zeros((40, 24, 32, 3), dtype=np.uint8))
        project.video.relink(longer)  # the recording went on
        assert project.labels.shape == (40, 24, 32)
    with Project.open(path) as project:
        project.video.check(longer)
        np.testing.assert_array_equal(project.mask(24, i), square(0, 1))


def test_undo_brings_nothing_back_behind_the_end_of_a_video_that_was_cut(tmp_path, video):
    with Project.create(tmp_path / "a.sam2s", video) as project:
        i = project.add_object().id
        project.write_masks([(t, i, square(0, 1), None) for t in range(30)])
        project.tracks.delete(i, 20, 30)
        project.video.relink(open_video(np.zeros((20, 24, 32, 3), dtype=np.uint8)))
        with pytest.raises(ProjectError, match=r"bring back data of frame 29.*20 frames now\. Relink"):
            project.undo()
        assert project.frames == list(range(20))
        project.objects.rename(i, "thing")
        assert project.undo() == "rename"  # what is within the video is undone as ever
        project.video.relink(video)
        assert project.undo() == "delete 1"
        assert project.frames == list(range(30))


def test_signals_tell_what_changed(project):
    told = []
    project.masks_changed.connect(lambda frames: told.append(frames))
    project.write_masks([(3, 1, square(3, 2), None)])
    assert told == [(3,)]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"not a database at all" * 200, "not a project"), (b"", "is empty, not a project"), (None, "no project")],
)
def test_what_is_no_project(tmp_path, content, words):
    path = tmp_path / "x.sam2s"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ProjectError, match=words):
        Project.open(path)
    assert not list(tmp_path.glob("*.lock"))
    if content is not None:
        assert path.read_bytes() == content


def test_a_truncated_file_says_so(tmp_path, video):
    path = tmp_path / "a.sam2s"
    with Project.create(path, video) as project:
        i = project.add_object().id
        project.write_masks([(t, i, np.random.default_rng(t).random((24, 32)) < 0.5, None) for t in range(30)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(ProjectError, match=r"damaged|not a project"):
        read_all(path)


def read_all(path):
    with Project.open(path) as project:
        return [project.masks(t) for t in range(30)]


def test_a_newer_format_and_a_foreign_database(tmp_path, video):
    path = tmp_path / "a.sam2s"
    Project.create(path, video).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ProjectError, match="newer"):
        Project.open(path)
    foreign = tmp_path / "b.sam2s"
    db = sqlite3.connect(foreign)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()
    with pytest.raises(ProjectError, match="another application"):
        Project.open(foreign)


def test_one_writer_many_readers(project):
    with pytest.raises(ProjectError, match=f"open for writing by process {os.getpid()}"):
        Project.open(project.path)
    with Project.open(project.path, mode="r") as reader:
        assert reader.frames == list(range(30))
        project.write_masks([(0, 1, np.ones((24, 32), dtype=bool), None)])
        assert reader.mask(0, 1).all()
        with pytest.raises(ProjectError, match="reading only"):
            reader.add_object()


def test_bad_input_is_one_sentence(project, tmp_path):
    with pytest.raises(ProjectError, match="exists already"):
        Project.create(project.path, project)
    with pytest.raises(ProjectError, match="no folder"):
        Project.create(tmp_path / "no" / "a.sam2s", project)
    with pytest.raises(ProjectError, match="Frame 99"):
        project.write_masks([(99, 1, square(0, 1), None)])
    with pytest.raises(ProjectError, match="shape of the frame"):
        project.write_masks([(0, 1, np.zeros((5, 5), bool), None)])
    with pytest.raises(ProjectError, match="no object 7"):
        project.objects.rename(7, "x")
    with pytest.raises(ProjectError, match="at least one character"):
        project.objects.rename(1, " ")
    with pytest.raises(ProjectError, match="no object 9 to paint"):
        project.labels[0, 0, 0] = 9
    with pytest.raises(ProjectError, match=r"no object 99 \(it has \[1, 2\]\): add_object makes one"):
        project.write_masks([(0, 1, square(0, 2), None), (0, 99, square(0, 1), None)])
    np.testing.assert_array_equal(project.mask(0, 1), square(0, 1))  # all of them or none
    project.close()
    with pytest.raises(ProjectError, match="was closed"):
        project.masks(0)


def test_a_file_that_a_viewer_of_databases_holds_is_not_called_damaged(tmp_path, video, monkeypatch):
    monkeypatch.setattr("napari_sam2s.masklets.schema.BUSY_SECONDS", 0.05)
    Project.create(tmp_path / "a.sam2s", video).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "a.sam2s", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ProjectError, match="is in use by another program, such as a viewer of databases: close it there"):
            Project.open(tmp_path / "a.sam2s")
    Project.open(tmp_path / "a.sam2s").close()


def test_a_name_that_is_too_long_is_one_sentence(tmp_path, video):
    for call in (lambda path: Project.create(path, video), Project.open, open_video):
        with pytest.raises(ProjectError, match="is longer than a name can be"):
            call(tmp_path / ("x" * 300))


def test_a_full_disk_loses_nothing(project):
    before = [project.labels[t] for t in range(30)]
    pages = project.store.db.execute("PRAGMA page_count").fetchone()[0]
    project.store.db.execute(f"PRAGMA max_page_count = {pages}")
    noise = np.random.default_rng(0).random((30, 24, 32)) < 0.5
    with pytest.raises(ProjectError, match="full"):
        write_often(project, noise)
    project.store.db.execute("PRAGMA max_page_count = 1000000")
    assert project.store.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    changed = [t for t in range(30) if not np.array_equal(project.labels[t], before[t])]
    assert len(changed) in (0, 30)  # a transaction is whole or not there
    project.write_masks([(0, 1, noise[0], None)])


def write_often(project, noise):
    for _ in range(50):
        project.write_masks([(t, 1, noise[t], None) for t in range(30)])


KILLED = """
import sys, numpy as np
from napari_sam2s.masklets import Project
class Clip: shape, fps, path = (100000, 24, 32, 3), 25.0, None
project = Project.create(sys.argv[1], Clip())
project.add_object(), project.add_object()
run = project.runs.start(model="x")
rng = np.random.default_rng(0)
for t in range(100000):
    project.write_masks([(t, 1, rng.random((24, 32)) < 0.5, None)], run=run)
    if t % 7 == 0:
        project.labels[t, :4, :4] = 2
    print(t, flush=True)
"""


@pytest.mark.parametrize("moment", range(5))
def test_kill_at_any_moment(tmp_path, moment):
    path = tmp_path / "a.sam2s"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED), str(path)], stdout=subprocess.PIPE, text=True
    )
    rng = np.random.default_rng(moment)
    while process.stdout.readline().strip() != str(5 + moment):
        assert process.poll() is None
    time.sleep(rng.uniform(0.0, 0.1))
    os.kill(process.pid, signal.SIGKILL)
    reported = [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    done = max(reported, default=5 + moment)
    with Project.open(path) as project:
        assert project.store.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert project.frames[: done + 1] == list(range(done + 1))
        again = np.random.default_rng(0)
        for t in range(done + 1):
            mask = again.random((24, 32)) < 0.5
            if t % 7 == 0:
                mask[:4, :4] = False  # painted over by object 2
            np.testing.assert_array_equal(project.labels[t] == 1, mask)
        assert project.runs[0].status == "interrupted"
        project.undo()


def test_one_that_nobody_closed_goes_without_a_word(tmp_path, video):
    """A layer that shows its masks holds it, and goes when it goes. Since Python 3.13 SQLite would warn."""
    Project.create(tmp_path / "p.sam2s", video).close()
    looked_at = Project.open(tmp_path / "p.sam2s", mode="r")
    gone = weakref.ref(looked_at.store.db)
    del looked_at
    gc.collect()
    assert gone() is None


def test_read_only_folder(tmp_path, video):
    path = tmp_path / "a.sam2s"
    Project.create(path, video).close()
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ProjectError, match="cannot be written"):
            Project.open(path)
    finally:
        tmp_path.chmod(0o700)


def test_a_project_that_may_not_be_read_is_not_called_damaged(tmp_path, video, monkeypatch):
    path = tmp_path / "a.sam2s"
    Project.create(path, video).close()
    denied = sqlite3.OperationalError("unable to open database file")
    denied.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    with monkeypatch.context() as patch:  # root may read anything

        def refuse(*_, **__):
            raise denied

        patch.setattr(schema, "_open_and_ask", refuse)
        patch.setattr(os, "access", lambda *_, **__: False)
        with pytest.raises(ProjectError, match=r"a\.sam2s may not be read by you: change its permissions"):
            Project.open(path, mode="r")


def test_it_moves_with_its_video(tmp_path, real_data):
    import shutil

    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    shutil.copy(real_data / "videos" / "06_pingpong.mp4", here / "case.mp4")
    with open_video(here / "case.mp4") as clip:
        Project.create(here / "case.sam2s", clip).close()
    here.rename(there)
    with Project.open(there / "case.sam2s") as project:
        assert project.video.path == there / "case.mp4"
        with open_video(project.video.path) as clip:
            project.video.check(clip)
    assert not Path(here).exists()


def test_what_a_kill_while_it_was_made_has_left_goes(tmp_path, video):
    for name in ("case.sam2s.new-4242", "case.sam2s.new-4242-journal"):
        (tmp_path / name).write_bytes(b"half")
    Project.create(tmp_path / "case.sam2s", video).close()
    assert [p.name for p in tmp_path.iterdir()] == ["case.sam2s"]


@pytest.mark.parametrize("kept", ["[3, 1]", "[-1, 4]", "3", '"x"', "{}", "", "[1]", '["a", 9]', None, b"\x00"])
def test_the_range_of_tracking_is_kept_and_what_is_none_is_all_of_the_video(project, kept):
    steps = project.history.last
    project.runs.keep_bounds((1, 4))
    assert project.runs.bounds == (1, 4)
    assert project.history.last == steps, "there is nothing to undo"
    with project.store.transaction() as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'bounds'", (kept,))
    assert project.runs.bounds is None
    project.runs.keep_bounds(None)
    assert project.runs.bounds is None
