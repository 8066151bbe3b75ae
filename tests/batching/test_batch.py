"""Many videos: which they are, what a worker does with one, and that everything but the damaged comes to its end."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest
from PIL import Image

import napari_sam2s as sam2s
from napari_sam2s.batching.batch_rows import BatchRow, write_summary
from napari_sam2s.batching.batch_task import BatchTask, do_task, missing, stop_batch
from napari_sam2s.batching.batch_videos import VIDEO_ENDINGS, find_batch
from napari_sam2s.batching.local_workers import LocalWorkers
from napari_sam2s.batching.shared_files import SharedFiles, marked
from napari_sam2s.cli import main
from napari_sam2s.cli.batch_command import Table
from napari_sam2s.errors import PromptError, TrackingError
from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import ModelChoice

FRAMES = 8
SMALL = ModelChoice("sam2s-nano", image_size=64)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A video and labels of two objects on its first frame."""
    folder, case = tmp_path_factory.mktemp("made"), demo_case(FRAMES, size=(120, 160))
    write_video((case[t] for t in range(FRAMES)), folder / "a.mp4")
    labels = np.zeros((120, 160), np.uint8)
    for i in (1, 3):
        labels[case.masks(0)[i]] = i
    Image.fromarray(labels).save(folder / "a_frame0.png")
    return folder, labels


@pytest.fixture
def folder(made, tmp_path):
    """A folder with the video `a.mp4` and its masks."""
    for path in made[0].iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


def task_of(folder, prompts="masks", **more):
    [one] = find_batch([folder], prompts)
    return BatchTask("test", one, SharedFiles.of(one, ""), prompts, SMALL, **more)


def do(task):
    told = []
    return do_task(task, told.append), told


def test_the_endings_are_those_that_napari_opens():
    [reader] = PluginManifest.from_file(Path(__file__).parents[2] / "napari.yaml").contributions.readers
    assert set(reader.filename_patterns) == {f"*{ending}" for ending in VIDEO_ENDINGS} | {"*.sam2s"}  # a project is no video


def test_videos_of_a_folder_are_found_and_what_prompts_them_is_none(tmp_path):
    for name in ("b.mp4", "a.mkv", "a_frame3.tif", "a_frame12.png", "notes.txt", ".hidden.mp4", "b_labels.tif"):
        (tmp_path / name).touch()
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "0.png")
    found = find_batch([tmp_path], "masks")
    assert [one.video.name for one in found] == ["a.mkv", "b.mp4", "b_labels.tif", "pictures"]
    assert [(t, p.name) for t, p in found[0].prompts] == [(3, "a_frame3.tif"), (12, "a_frame12.png")]
    assert found[0].project == tmp_path / "a.mkv.sam2s"  # where the widget has it
    labelled = find_batch([tmp_path / "b.mp4", tmp_path / "pictures"], "first-labels", out=tmp_path / "out")
    assert [p.name for _, p in labelled[0].prompts] == ["b_labels.tif"]
    assert labelled[1].project == tmp_path / "out" / "pictures.sam2s"
    assert "b_labels.tif" not in [one.video.name for one in find_batch([tmp_path], "first-labels")]


def test_what_is_no_batch_is_refused(tmp_path):
    with pytest.raises(TrackingError, match="No video was found"):
        find_batch([tmp_path])
    with pytest.raises(TrackingError, match="no file or folder"):
        find_batch([tmp_path / "none.mp4"])
    with pytest.raises(PromptError, match="not one of"):
        find_batch([tmp_path], "clicks")
    for sub in ("one", "two"):
        (tmp_path / sub).mkdir()
        (tmp_path / sub / "same.mp4").touch()
    with pytest.raises(TrackingError, match="same project"):
        find_batch([tmp_path / "one", tmp_path / "two"], out=tmp_path)


def test_a_video_is_tracked_from_its_masks_and_not_again(folder, made):
    outcome, told = do(task_of(folder))
    assert (outcome.state, outcome.objects, outcome.frames, outcome.tracked) == ("done", 2, FRAMES, FRAMES)
    assert told[0] == {"state": "running", "attempt": 1}
    assert {"total": FRAMES} in told
    with Project.open(folder / "a.mp4.sam2s", "r") as project:
        assert [o.name for o in project.objects] == ["object 1", "object 3"]
        np.testing.assert_array_equal(project.mask(0, 2), made[1] == 3)
        assert project.frames == list(range(FRAMES))
    before = (folder / "a.mp4.sam2s").read_bytes()
    again, _ = do(task_of(folder))
    assert (again.state, again.tracked) == ("nothing to do", 0)
    assert (folder / "a.mp4.sam2s").read_bytes() == before
    assert do(task_of(folder, "project"))[0].state == "nothing to do"


@pytest.mark.slow
def test_paused_in_the_middle_it_goes_on_to_the_same_masks(folder):
    whole = task_of(folder)
    assert do(whole)[0].state == "done"
    other = folder / "other"
    other.mkdir()
    broken = replace(whole, batch="paused", video=replace(whole.video, project=other / "a.sam2s"))
    stop_batch("paused")  # so it pauses after its first frame
    outcome, _ = do(broken)
    assert (outcome.state, outcome.tracked) == ("stopped", 1)
    assert do(replace(broken, batch="again"))[0].state == "done"
    with Project.open(whole.video.project, "r") as one, Project.open(broken.video.project, "r") as two:
        for t in range(FRAMES):
            np.testing.assert_array_equal(one.labels[t], two.labels[t])


def test_a_run_that_died_before_it_began_is_begun_anew(folder):
    task = task_of(folder)
    stop_batch("first")
    assert do(replace(task, batch="first"))[0].state == "stopped"
    with Project.open(task.video.project) as project:
        assert project.runs.latest_snapshot(project.runs[-1].id) is not None  # kept along with the run itself
        with project.store.transaction() as db:
            db.execute("DELETE FROM snapshots")
    assert do(task)[0].state == "done"


def test_an_object_prompted_later_is_tracked_both_ways_and_the_other_is_left(folder, made):
    made_of = task_of(folder)
    assert do(made_of)[0].state == "done"
    with Project.open(made_of.video.project) as project:
        first = [project.masks.encoded(t, 1) for t in range(FRAMES)]
        late = project.add_object()
        square = np.zeros((120, 160), bool)
        square[40:80, 50:90] = True
        project.keep_prompt(sam2s.masklets.Prompt(late.id, 4, mask=square), square, None)
        assert [(s.start, s.stop) for s in missing(project, 1)] == [(4, 8)]
        assert [(s.start, s.stop) for s in missing(project, -1)] == [(4, -1)]
    assert do(task_of(folder, "project"))[0].state == "done"
    with Project.open(made_of.video.project, "r") as project:
        assert [project.masks.encoded(t, 1) for t in range(FRAMES)] == first
        assert project.masks.known(late.id, 0, FRAMES) == list(range(FRAMES))


def test_the_first_mask_of_each_object_of_existing_labels(folder, made):
    stack = np.zeros((FRAMES, 120, 160), np.uint16)
    stack[0][made[1] == 1] = 1
    stack[3, 20:60, 30:70] = 2
    tifffile.imwrite(folder / "a_labels.tif", stack, photometric="minisblack", metadata={"axes": "TYX"})
    assert do(task_of(folder / "a.mp4", "first-labels"))[0].state == "done"
    with Project.open(folder / "a.mp4.sam2s", "r") as project:
        assert [(p.object_id, p.frame) for p in project.prompts()] == [(1, 0), (2, 3)]
        assert project.masks.known(2, 0, FRAMES) == list(range(FRAMES))


def test_what_cannot_be_tracked_says_so_in_a_sentence(folder):
    assert "no project" in do(task_of(folder, "project"))[0].message
    assert "save masks as a_labels.tif" in do(task_of(folder / "a.mp4", "first-labels"))[0].message
    task = task_of(folder)
    assert not list(folder.glob("*.sam2s*"))
    assert do(task)[0].state == "done"
    Image.fromarray(np.full((120, 160), 2, np.uint8)).save(folder / "a_frame0.png")
    assert "made from other masks" in do(task)[0].message
    (folder / "a_frame0.png").unlink()
    (folder / "a.mp4.sam2s").unlink()
    assert "save masks as a_frame0.png" in do(task_of(folder))[0].message


@pytest.fixture(scope="module")
def workers():
    """Two workers of this machine."""
    with LocalWorkers(2) as running:
        yield running


@pytest.mark.slow
def test_killed_and_damaged_ones_among_them_a_second_call_finishes_the_rest(folder, workers, tmp_path):
    """The scheduler and its workers are other processes, in other folders, that ask for keys."""
    # Long enough that a worker is at it for some polls: eight frames can be over between two of them.
    frames, picture = 6 * FRAMES, sam2s.open_video(folder / "a.mp4")[0]
    write_video((np.roll(picture, t // 8, axis=1) for t in range(frames)), folder / "b1.mp4")
    shutil.copy(folder / "b1.mp4", folder / "b2.mp4")
    for n in (1, 2):
        shutil.copy(folder / "a_frame0.png", folder / f"b{n}_frame0.png")
    (folder / "damaged.mp4").write_bytes(b"no video" * 99)
    shutil.copy(folder / "a_frame0.png", folder / "damaged_frame0.png")
    killed = []

    def kill_one(rows):
        if not killed and any(row.state == "running" and row.total for row in rows):
            killed.append(workers.pids[0])
            os.kill(killed[0], signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            while not workers.mend():
                time.sleep(0.05)

    options = {"prompts": "masks", "image_size": 64, "scheduler": workers.address, "security": workers.keys}
    rows = sam2s.batch(folder, progress=kill_one, **options)
    assert [r.message for r in rows if r.state == "failed"] == [rows[3].message]
    assert [(r.video.name, r.state) for r in rows] == [
        ("a.mp4", "done"),
        ("b1.mp4", "done"),
        ("b2.mp4", "done"),
        ("damaged.mp4", "failed"),
    ]
    assert killed
    assert "damaged.mp4" in rows[3].message
    with (folder / "sam2s-batch.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [line["state"] for line in table] == ["done", "done", "done", "failed"]
    assert table[3]["message"] == rows[3].message
    shutil.copy(folder / "a.mp4", folder / "damaged.mp4")
    again = sam2s.batch(folder, **options)
    assert [r.state for r in again] == ["nothing to do"] * 3 + ["done"]
    stop = threading.Event()
    stop.set()  # as from the widget: all pause, and none is lost
    assert [r.state for r in sam2s.batch(folder, stop=stop, **options)] == ["stopped"] * 4
    with Project.open(rows[1].project, "r") as one, Project.open(rows[2].project, "r") as two:
        for t in range(frames):
            np.testing.assert_array_equal(one.labels[t], two.labels[t])


def test_a_worker_knows_by_the_content_whether_it_sees_what_is_meant(folder, tmp_path):
    [one] = find_batch([folder / "a.mp4"], "masks")
    with marked([folder], ".mark"):
        files = SharedFiles.of(one, ".mark")
        assert files.hidden() == ""
        picture = (folder / "a_frame0.png").read_bytes()
        (folder / "a_frame0.png").write_bytes(picture[:-1] + b"!")  # as long as it was
        assert "sees another file" in files.hidden()
        (folder / "a_frame0.png").write_bytes(picture)
    assert "cannot see the folder" in files.hidden()
    (folder / "a.mp4").unlink()
    assert "cannot see" in files.hidden()
    assert not list(folder.glob(".mark*"))
    pictures = folder / "pictures"
    pictures.mkdir()
    (pictures / "0.png").write_bytes(picture)
    known = SharedFiles.of(replace(one, video=pictures, prompts=()), "")
    assert known.hidden() == ""
    (pictures / "0.png").rename(pictures / "1.png")
    assert "sees another file" in known.hidden()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="a path that each process sees otherwise is Linux's")
def test_what_no_worker_sees_is_streamed_from_here(folder, workers, monkeypatch):
    """`/proc/self/cwd` is another folder in each process, and the workers are in a folder without videos."""
    monkeypatch.chdir(folder)
    options = {"prompts": "masks", "image_size": 64, "scheduler": workers.address, "security": workers.keys}
    said = []
    here = "/proc/self/cwd/a.mp4"
    rows = sam2s.batch(here, **options, progress=lambda rows: said.append((rows[0].state, rows[0].message)))
    assert [(r.state, r.tracked, r.attempts) for r in rows] == [("done", FRAMES, 1)]
    assert "streamed from here" in rows[0].message
    assert "streamed from here" in (folder / "sam2s-batch.csv").read_text(encoding="utf-8")
    assert ("running", "streamed from here") in said
    assert sam2s.batch(here, **options)[0].state == "nothing to do"
    assert sorted(p.name for p in folder.iterdir()) == ["a.mp4", "a.mp4.sam2s", "a_frame0.png", "sam2s-batch.csv"]
    whole = task_of(folder)
    other = replace(whole, video=replace(whole.video, project=folder / "other.sam2s"))
    assert do(other)[0].state == "done"  # in this process, from pixels of the same size
    with Project.open(folder / "a.mp4.sam2s", "r") as one, Project.open(folder / "other.sam2s", "r") as two:
        for t in range(FRAMES):
            np.testing.assert_array_equal(one.labels[t], two.labels[t])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["b.mp4", "/proc/self/cwd/b.mp4"], ids=["seen", "streamed"])
def test_stopped_in_the_middle_it_goes_on_where_it_was(folder, workers, path, monkeypatch):
    if path.startswith("/proc") and not Path("/proc/self/cwd").exists():
        pytest.skip("a path that each process sees otherwise is Linux's")
    frames, picture = 10 * FRAMES, sam2s.open_video(folder / "a.mp4")[0]
    write_video((np.roll(picture, t // 8, axis=1) for t in range(frames)), folder / "b.mp4")
    shutil.copy(folder / "a_frame0.png", folder / "b_frame0.png")
    monkeypatch.chdir(folder)
    options = {"prompts": "masks", "image_size": 64, "scheduler": workers.address, "security": workers.keys}
    stop = threading.Event()
    [first] = sam2s.batch(path, **options, progress=lambda rows: stop.set() if rows[0].tracked else None, stop=stop)
    assert first.state == "stopped"
    assert 0 < first.tracked < frames
    [then] = sam2s.batch(path, **options)
    assert (then.state, first.tracked + then.tracked) == ("done", frames)
    assert ("streamed" in then.worker) == path.startswith("/proc")


@pytest.mark.slow
def test_of_a_cluster_without_gpus_none_is_waited_for(folder, workers):
    with pytest.raises(TrackingError, match="offers a GPU"):
        sam2s.batch(folder, prompts="masks", gpus=1, scheduler=workers.address, security=workers.keys)
    with pytest.raises(TrackingError, match="are started there"):
        sam2s.batch(folder, prompts="masks", workers=1, scheduler=workers.address, security=workers.keys)


@pytest.mark.slow
def test_the_command_line_tells_each_video_and_ends_with_2_where_one_failed(folder, workers, capsys):
    (folder / "bad.mp4").write_bytes(b"x" * 999)
    arguments = ["batch", str(folder), "--prompts", "masks", "--image-size", "64", "--summary", str(folder / "s.csv")]
    assert main([*arguments, "--scheduler", workers.address, "--keys", str(workers.keys)]) == 2
    told = capsys.readouterr().err
    assert "a.mp4: done, 8 frames" in told
    assert "bad.mp4 cannot be opened as a video" in told
    assert "1 of 2 videos is done." in told
    assert (folder / "s.csv").read_text(encoding="utf-8").count("\n") == 3


def test_a_scheduler_starts_with_keys_of_its_own_and_leaves_nothing():
    with pytest.raises(TrackingError, match="GPUs are wanted"):
        LocalWorkers(1, gpus=99)
    with LocalWorkers(0, threads=1) as none:
        assert none.address.startswith("tls://127.0.0.1:")
        assert none.keys.is_dir()
        assert (none.pids, none.mend()) == ([], 0)
    assert not none.keys.exists()


def test_the_table_of_more_videos_than_lines_shows_those_at_work():
    rows = [BatchRow(Path(f"{n}.mp4"), Path(f"{n}.sam2s")) for n in range(50)]
    rows[40].state, rows[40].tracked, rows[40].total, rows[40].seconds = "running", 30, 60, 3.0
    lines = Table(None).lines(rows, 10)
    assert len(lines) == 10
    assert lines[1].split()[:5] == ["40.mp4", "running", "30", "of", "60"]
    assert "10.0" in lines[1]
    assert lines[-2] == "... and 43 more"


def test_a_second_call_leaves_the_rows_of_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("=1+1.mp4", "b, \u00e9.mp4", "c.mp4", "d.mp4")
    rows = [BatchRow(Path(n), Path(f"{n}.sam2s"), "done", 2, 8, 8, 8, 4.0, 1, "worker 1") for n in names[:2]]
    rows.append(BatchRow(Path(names[2]), Path("c.mp4.sam2s"), "failed", attempts=3, message="It broke."))
    table = tmp_path / "s.csv"

    def written():
        with table.open(newline="", encoding="utf-8") as file:
            columns = ("state", "objects", "tracked_frames", "seconds")
            return {r["video"].lstrip("'"): tuple(r[name] for name in columns) for r in csv.DictReader(file)}

    write_summary(rows, table)
    first = written()
    assert list(first.values()) == [("done", "2", "8", "4.0")] * 2 + [("failed", "0", "0", "0.0")]
    again = [BatchRow(tmp_path / n, tmp_path / f"{n}.sam2s") for n in names[1:]]  # not the first; whole paths this time
    for state, attempts, of_second in (("waiting", 0, "2"), ("stopped", 0, "2"), ("nothing to do", 1, "3")):
        again[0].state, again[0].attempts = state, attempts
        if attempts:
            again[0].objects, again[0].frames = 3, 8  # one was added by hand
        write_summary(again, table)
        now = {Path(name).name: row for name, row in written().items()}
        assert list(now) == list(names), "each video once, in the order of before"
        assert now[names[0]] == first[names[0]]
        assert now[names[1]] == ("done", of_second, "8", "4.0")
        assert now["c.mp4"][0] == "waiting"
    again[0].state, again[0].tracked, again[0].attempts = "done", 5, 1
    write_summary(again, table)
    assert [row[2] for row in written().values()] == ["8", "5", "0", "0"]
    table.write_text("another,table\n1,2\n", encoding="utf-8")
    write_summary(rows, table)
    assert written() == first


def test_why_a_video_failed_is_one_line():
    from napari_sam2s.batching.batch_run import _why

    row = BatchRow(Path("a.mp4"), Path("a.sam2s"), attempts=3)
    assert "same one wherever they run" in _why(
        RuntimeError("Error during deserialization of the task graph.\n\nhttps://..."), row
    )
    assert _why(ValueError("a\nb"), row) == "It was tried 3 times, and failed: ValueError: a b"
    assert _why(MemoryError("Too little memory."), row).endswith("failed: Too little memory.")


class Alone:
    """A client of a scheduler that no worker has joined."""

    status = "running"
    here = None

    def nthreads(self):
        return self.here or {}


def test_a_scheduler_without_workers_is_told_and_waited_for(folder):
    from napari_sam2s.batching.batch_run import _Batch, _Link

    run = _Batch(_Link(Alone(), "", None, None), [task_of(folder)], folder / "a.csv", gpus=0, retries=0, progress=None)
    run._ask_next = 0.0
    run._say_if_alone()
    assert "No worker has joined" in run.rows[0].message
    run._ask_next, Alone.here = 0.0, {"tcp://a": 1}
    run._say_if_alone()
    assert run.rows[0].message == ""


def test_an_outcome_that_was_lost_with_its_worker_is_waited_for(folder):
    """The scheduler does the task again; only where the scheduler itself is gone has it failed."""
    from napari_sam2s.batching.batch_run import SCHEDULER_GONE, _Batch, _Link

    class Lost:
        status = "lost"  # as distributed calls it

        def release(self):
            pass

    client = Alone()
    run = _Batch(_Link(client, "", None, None), [task_of(folder)], folder / "a.csv", gpus=0, retries=0, progress=None)
    run._open[Lost()] = row = run.rows[0]
    run._collect()
    assert row.state != "failed"
    assert len(run._open) == 1
    client.status = "connecting"
    run._collect()
    assert (row.state, row.message) == ("failed", SCHEDULER_GONE)


def test_a_scheduler_that_is_gone_is_told_at_once_while_streaming(folder):
    """Its client asks again for a minute before it gives up."""
    from napari_sam2s.batching.batch_run import SCHEDULER_GONE, _Batch, _Link

    gone = Alone()
    gone.status = "connecting"  # as distributed calls it
    run = _Batch(_Link(gone, "", None, None), [task_of(folder)], folder / "a.csv", gpus=0, retries=0, progress=None)
    run._unseen.append(run._waiting.pop())
    run._stream()
    assert (run.rows[0].state, run.rows[0].message) == ("failed", SCHEDULER_GONE)
