"""Where frames and files have their places: pictures with numbers of their own, folders that cannot be written."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation import evaluate
from napari_sam2s.masklets import Project
from napari_sam2s.synthetic.samples import demo_case

FRAMES = 6
SMALL = ["--image-size", "96", "--device", "cpu"]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Pictures and their truth, both numbered from 1 as ffmpeg does; the picture 7 of 8 is missing."""
    folder = tmp_path_factory.mktemp("numbered")
    case = demo_case(FRAMES, size=(96, 128))
    for name in ("pictures", "truth"):
        (folder / name).mkdir()
    for t in range(FRAMES):
        number = t + 1 if t < FRAMES - 1 else t + 2
        labels = np.max([i * m for i, m in case.masks(t).items()], axis=0).astype(np.uint8)
        Image.fromarray(case[t]).save(folder / "pictures" / f"{number:05d}.png")
        Image.fromarray(labels).save(folder / "truth" / f"{number:05d}.png")
    return folder


def run(capsys, *words):
    code = main([str(w) for w in words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_masks_of_pictures_carry_the_numbers_of_the_pictures(numbered, capsys, tmp_path):
    words = ["track", numbered / "pictures", "--mask", f"0,{numbered / 'truth' / '00001.png'}", *SMALL]
    code, _, err = run(capsys, *words, "--out", tmp_path / "masks")
    assert code == 0
    assert "napari-sam2s track: 1 number is missing between 1 and 7" in err
    written = sorted(p.name for p in (tmp_path / "masks").rglob("*.png"))
    assert written == sorted(p.name for p in (numbered / "truth").iterdir())
    with (tmp_path / "masks" / "scores.csv").open() as file:
        assert sorted({int(r["frame"]) for r in csv.DictReader(file)}) == [1, 2, 3, 4, 5, 7]
    meta = json.loads((tmp_path / "masks" / "meta.json").read_text())["videos"]["pictures"]
    assert meta["objects"]["1"]["frames"] == ["00001", "00002", "00003", "00004", "00005", "00007"]
    scores = evaluate(tmp_path / "masks", numbered / "truth", skip="none")
    assert list(scores.frames["truth", 1]) == [1, 2, 3, 4, 5, 7]
    assert scores.frames["truth", 1][1].j == 1  # the picture that was given


def test_frames_that_are_counted_differently_are_refused(numbered, capsys, tmp_path):
    truth = np.zeros((8, 40, 50), np.uint8)
    for t in range(8):
        truth[t, 10:20, 3 * t + 5 : 3 * t + 15] = 1
    for name, start in (("from0", 0), ("from1", 1)):
        (tmp_path / name).mkdir()
        for t in range(8):
            Image.fromarray(truth[t]).save(tmp_path / name / f"{t + start:05d}.png")
    words = ["evaluate", tmp_path / "from0", tmp_path / "from1"]
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "frames of the prediction are 0 to 7, of the ground truth 1 to 8" in err
    assert "offset=1" in err
    code, out, _ = run(capsys, *words, "--offset", 1, "--skip", "none", "--report", tmp_path / "report")
    assert code == 0
    assert "| **all** | 1 | 100.0 |" in out
    assert "frames of the prediction +1" in out
    assert list((tmp_path / "report" / "pictures").glob("*.jpg"))
    with pytest.raises(EvaluationError, match="offset=-1"):
        evaluate(tmp_path / "from1", truth)
    assert evaluate(tmp_path / "from1", truth, offset=-1).overall.jf == 1
    assert evaluate(tmp_path / "from0", tmp_path / "from1", offset=0).overall.jf < 0.9


def test_one_sentence_for_every_place_that_cannot_be_written(numbered, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path / "file" / "models"))
    (tmp_path / "file").write_text("not a folder")
    inside = tmp_path / "file" / "inside"
    prompt = ["--mask", f"0,{numbered / 'truth' / '00001.png'}"]
    truth = numbered / "truth"
    subset = tmp_path / "root" / "subset"
    for name, source in (("JPEGImages", "pictures"), ("Annotations", "truth")):
        (subset / name).mkdir(parents=True)
        (subset / name / "video").symlink_to(numbered / source)
    monkeypatch.setattr("napari_sam2s.tracking.tracker.Tracker.propagate", lambda *_, **__: pytest.fail("tracked first"))
    for words, told in (
        (["track", numbered / "pictures", *prompt, *SMALL, "--out", inside], "file"),
        (["evaluate", truth, truth, "--csv", tmp_path / "no" / "s.csv"], "--csv"),
        (["evaluate", truth, truth, "--csv", tmp_path], "--csv"),
        (["evaluate", truth, truth, "--report", tmp_path / "file"], "choose another folder"),
        (["evaluate", truth, truth, "--report", tmp_path / "r", "--video", tmp_path / "no.mp4"], "no file or folder"),
        (["benchmark", subset, "--out", inside], "file"),
        (["demo", "--out", tmp_path / "file", "--frames", 3], "exists already"),
        (["models", "get", "sam2.1-tiny"], "file"),
    ):
        code, out, err = run(capsys, *words)
        sentence = [
            line
            for line in err.split("\r")[-1].splitlines()
            if line.strip() and "missing between" not in line and "?B/s" not in line and "MB from" not in line
        ]
        assert (code, out) == (2, ""), words
        assert len(sentence) == 1, err
        assert sentence[0].startswith(f"napari-sam2s {words[0]}: "), err
        assert told in sentence[0], err


def test_scores_are_told_before_a_report_that_fails(numbered, capsys, tmp_path):
    truth = numbered / "truth"
    (tmp_path / "file").write_text("not a folder")
    code, out, err = run(capsys, "evaluate", truth, truth, "--report", tmp_path / "file" / "report")
    assert (code, "| **all** | 3 | 100.0 |" in out) == (2, True)
    assert "napari-sam2s evaluate: " in err
    assert "is a file: choose another folder" in err
    other = tmp_path / "other"
    other.mkdir()
    for size, frames, told in (
        ((20, 30), 8, "frames of (20, 30) pixels (Y, X), the masks (96, 128)"),
        ((96, 128), 1, "no frame"),
    ):
        for t in range(1, 9):
            (other / f"{t:05d}.png").unlink(missing_ok=True)
            if t <= frames:
                Image.fromarray(np.zeros((*size, 3), np.uint8)).save(other / f"{t:05d}.png")
        words = ["evaluate", truth, truth, "--report", tmp_path / f"report{frames}", "--video", other]
        code, out, err = run(capsys, *words)
        assert (code, "| **all** | 3 | 100.0 |" in out) == (2, True)
        assert told in err


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3])
def test_both_ways_interrupted_and_resumed_at_a_rate(numbered, capsys, tmp_path, monkeypatch, step):
    """Ctrl+C while going forward: the way back is still to come. Pictures do not know their rate, the project does."""
    from napari_sam2s.tracking import Tracker

    words = ["track", numbered / "pictures", "--mask", f"3,{numbered / 'truth' / '00004.png'}", *SMALL]
    words += ["--direction", "both", "--fps", 10, "--rate", 5]
    assert run(capsys, *words, "--out", tmp_path / "whole.sam2s")[0] == 0
    steps, follow = [], Tracker.step

    def interrupted(*args, **keywords):
        steps.append(args)
        if len(steps) == step:
            raise KeyboardInterrupt
        return follow(*args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "step", interrupted)
        code, out, _ = run(capsys, *words, "--out", tmp_path / "broken.sam2s")
    assert (code, "napari-sam2s resume" in out) == (130, True)
    code, _, err = run(capsys, "resume", tmp_path / "broken.sam2s", "--device", "cpu")
    assert code == 0, err
    with Project.open(tmp_path / "whole.sam2s", "r") as whole, Project.open(tmp_path / "broken.sam2s", "r") as again:
        assert [(r.direction, r.status) for r in again.runs] == [("forward", "finished"), ("backward", "finished")]
        assert again.frames == whole.frames == list(range(FRAMES))
        np.testing.assert_array_equal(np.asarray(again.labels), np.asarray(whole.labels))
        assert [again.masks.origins(t) for t in range(FRAMES)] == [whole.masks.origins(t) for t in range(FRAMES)]


def test_the_stop_of_both_ways_is_that_of_the_way_forward(numbered, capsys, tmp_path):
    words = ["track", numbered / "pictures", "--mask", f"2,{numbered / 'truth' / '00003.png'}", *SMALL, "--direction", "both"]
    assert run(capsys, *words, "--stop", 4, "--out", tmp_path / "p.sam2s")[0] == 0
    with Project.open(tmp_path / "p.sam2s", "r") as project:
        assert project.frames == [0, 1, 2, 3]


def test_interrupted_while_prompting_the_same_command_can_be_given_again(numbered, capsys, tmp_path, monkeypatch):
    words = ["track", numbered / "pictures", "--mask", f"0,{numbered / 'truth' / '00001.png'}", "--stop", 2, *SMALL]
    words += ["--out", tmp_path / "p.sam2s"]
    with monkeypatch.context() as patch:
        patch.setattr("napari_sam2s.cli.track_command._doubt", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(capsys, *words)[0] == 130
    assert not list(tmp_path.iterdir())
    assert run(capsys, *words)[0] == 0


def test_a_killed_run_is_shown_with_the_command_that_resumes_it(numbered, capsys, tmp_path):
    from napari_sam2s.video import open_video

    with Project.create(tmp_path / "p.sam2s", open_video(numbered / "pictures")) as project:
        project.runs.start(next_frame=3, stop_frame=6)
        code, out, _ = run(capsys, "show", tmp_path / "p.sam2s")  # as whoever looks at it sees it
    assert code == 0
    assert "running" in out
    assert f"at frame 3; if no program is working on it, resume it with: napari-sam2s resume {tmp_path / 'p.sam2s'}" in out


def test_only_the_latest_run_is_shown_with_a_command(numbered, capsys, tmp_path):
    from napari_sam2s.video import open_video

    with Project.create(tmp_path / "p.sam2s", open_video(numbered / "pictures")) as project:
        for frame in (3, 5):
            project.runs.finish(project.runs.start(next_frame=frame, stop_frame=6), "paused")
    _, out, _ = run(capsys, "show", tmp_path / "p.sam2s")
    assert "stopped at frame 3; a later run took its place" in out
    assert out.count("resume it with") == 1
    assert "stopped at frame 5; resume it with" in out
