"""Every command that writes, on a disk that is full from the first byte or in the middle: one sentence, and nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

import napari_sam2s
from napari_sam2s.masklets import Project
from tests.cli.no_rights import commands, say, tree

FRAMES, BLOCK = 4, 4096


def make(base):
    """Make a video of noise and a project of six objects all through each other, so that every export has several blocks."""
    rng = np.random.default_rng(0)
    base.mkdir()
    (base / "case").mkdir()
    frames = rng.integers(0, 255, (FRAMES, 96, 128, 3), dtype=np.uint8)
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(base / "case" / f"{t:05d}.png")
    napari_sam2s.formats.write_video(iter(frames), base / "film.mp4")
    with Project.create(base / "case.sam2s", napari_sam2s.open_video(base / "case")) as project:
        for n in range(6):
            project.add_object(f"cell {n}", "nucleus")
        for t in range(FRAMES):
            labels = np.kron(rng.integers(0, 7, (24, 32)), np.ones((4, 4), int))
            project.write_masks([(t, i, labels == i, None) for i in range(1, 7)])
    Image.fromarray((np.indices((96, 128))[0] // 48).astype(np.uint8)).save(base / "mask.png")
    shutil.copy(base / "mask.png", base / "film_frame0.png")


def blocks(path):
    """Return how many bytes of a disk a file or folder takes, without its folders."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(-(-p.stat().st_size // BLOCK) * BLOCK for p in files)


def content(folder):
    return {name: (folder / name).read_bytes() for name in tree(folder) if (folder / name).is_file()}


def leave(disk, room):
    """Fill a disk but for some bytes."""
    (disk / "ballast").unlink(missing_ok=True)
    found = os.statvfs(disk)
    with (disk / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - room)


def free_disk(disk):
    (disk / "ballast").unlink(missing_ok=True)
    shutil.rmtree(disk / "out", ignore_errors=True)
    (disk / "out").mkdir()


@pytest.mark.slow
def test_what_does_not_fit_is_one_sentence_and_leaves_what_was_there(small_disk, tmp_path, recwarn):
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    source, room = tmp_path / "source", tmp_path / "room"
    make(source)
    room.mkdir()
    tried = 0
    for words in commands(tmp_path, room, source):
        made, before = {}, set(room.iterdir())
        if words[0] == "batch":
            continue  # below
        if words[0] == "import":
            words[1] = words[1].replace(str(source), str(room))
        assert say(words)["code"] == 0, words
        made = sorted(set(room.iterdir()) - before)
        again = [word.replace(str(room), str(small_disk / "out")) if word != words[1] else word for word in words]
        assert bool(made) == (again != words), words
        for part in (0, 0.5) if made else ():
            replace = words[0] not in ("import", "copy", "track")
            free_disk(small_disk)
            for one in made if replace else ():
                (shutil.copytree if one.is_dir() else shutil.copy)(one, small_disk / "out" / one.name)
            earlier, names = content(small_disk / "out"), tree(small_disk / "out")
            leave(small_disk, int(part * sum(map(blocks, made))))
            told = say([*again, *(["--overwrite"] if replace else [])])
            *_, sentence = told["err"].strip().splitlines()
            assert told["code"] == 2, told
            assert sentence.startswith(f"napari-sam2s {words[0]}: "), told
            assert re.search(r"(No space left|disk is full).*[Mm]ake room|make room", sentence), told
            assert not re.search(r"Errno|\.part|0x[0-9a-f]{6}", sentence), told
            assert len(sentence) < 400, told
            if words[0] != "track" or not part:
                assert tree(small_disk / "out") == names, told
            assert content(small_disk / "out").items() >= earlier.items(), told
            tried += 1
    assert tried > 60


@pytest.mark.slow
def test_a_batch_goes_on_with_the_videos_that_have_room(small_disk, tmp_path):
    """The table's disk and one video's are full: the other video is tracked, and a second call does what is missing."""
    make(tmp_path / "source")
    free_disk(small_disk)
    videos = [tmp_path / "roomy.mp4", small_disk / "out" / "tight.mp4"]
    for video in videos:
        shutil.copy(tmp_path / "source" / "film.mp4", video)
        shutil.copy(tmp_path / "source" / "mask.png", video.with_name(f"{video.stem}_frame0.png"))
    words = ["batch", *map(str, videos), "--prompts", "masks", "--image-size", "256", "--workers", "1"]
    words += ["--summary", str(small_disk / "out" / "table.csv")]
    leave(small_disk, BLOCK)  # for the table of what is to be done, and not for a second
    told = say(words)
    assert told["code"] == 2, told
    assert re.search(r"table\.csv cannot be written \(No space left on device\): make room", told["err"]), told
    with Project.open(tmp_path / "roomy.mp4.sam2s", mode="r") as project:
        assert len(project.frames) == FRAMES
    assert tree(small_disk / "out") == ["table.csv", "tight.mp4", "tight_frame0.png"]
    assert (small_disk / "out" / "table.csv").read_text().count("\n") == 3
    leave(small_disk, 8 * BLOCK)
    told = say(words)
    assert told["code"] == 2, told
    assert re.search(r"tight\.mp4\.sam2s cannot be written \(database or disk is full\): make room", told["err"]), told
    assert "1 of 2 videos is done" in told["err"]
    (small_disk / "ballast").unlink()
    assert say(words)["code"] == 0


@pytest.mark.slow
def test_masks_that_find_no_room_any_more_are_kept_elsewhere(small_disk, tmp_path, monkeypatch):
    make(tmp_path / "source")
    free_disk(small_disk)
    leave(small_disk, 3 * BLOCK)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    film, mask, out = tmp_path / "source" / "film.mp4", tmp_path / "source" / "mask.png", small_disk / "out" / "masks"
    told = say(["track", str(film), "--mask", f"0,{mask}", "--image-size", "256", "--out", str(out)])
    assert told["code"] == 2, told
    found = re.search(r"make room on its disk.*What was found is in (.*): move it from there\.", told["err"])
    assert [p.name for p in sorted((tmp_path / found[1]).iterdir())] == ["Annotations", "meta.json", "scores.csv"]
    assert tree(small_disk / "out") == []


@pytest.mark.slow
def test_a_run_that_filled_the_disk_is_resumed_when_there_is_room(small_disk, tmp_path):
    make(tmp_path / "source")
    free_disk(small_disk)
    film, mask, out = tmp_path / "source" / "film.mp4", tmp_path / "source" / "mask.png", small_disk / "out" / "t.sam2s"
    leave(small_disk, 900_000)
    told = say(["track", str(film), "--mask", f"0,{mask}", "--image-size", "256", "--out", str(out)])
    assert told["code"] == 2, told
    command = re.search(r"earlier content is unchanged\. Make room.* Resume it with: (napari-sam2s.*)$", told["err"].strip())
    (small_disk / "ballast").unlink()
    assert say(command[1].split()[1:])["code"] == 0
    with Project.open(out, mode="r") as project:
        assert len(project.frames) == FRAMES
