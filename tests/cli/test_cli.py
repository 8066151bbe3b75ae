"""The command line: the whole way, and one sentence for bad input."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.errors import ProjectError
from napari_sam2s.formats import write_davis, write_video
from napari_sam2s.masklets import Project
from napari_sam2s.model import load_model
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import ProjectRun, Tracker
from napari_sam2s.video import open_video

pytestmark = pytest.mark.usefixtures("small_input")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A case of 12 frames as a video, its truth as a DAVIS folder, its first masks as a picture."""
    folder = tmp_path_factory.mktemp("case")
    case = demo_case(12, size=(120, 160))
    write_video((case[t] for t in range(12)), folder / "case.mp4")
    truth = write_davis(case, folder / "truth", "case")
    (folder / "first.png").write_bytes((truth / "00000.png").read_bytes())
    return folder


def run(capsys, *words):
    code = main([str(w) for w in words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_info(folder, capsys, tmp_path):
    code, out, _ = run(capsys, "info", folder / "case.mp4", "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["frames"], facts["width"], facts["height"], facts["codec"], facts["fps"]) == (12, 160, 120, "h264", 25.0)
    assert facts["variable_frame_rate"] is False
    assert facts["duration_seconds"] == pytest.approx(0.48)
    tifffile.imwrite(tmp_path / "a.tif", np.arange(6000, dtype=np.uint16).reshape(3, 40, 50), photometric="minisblack")
    code, out, _ = run(capsys, "info", tmp_path / "a.tif")
    assert code == 0
    assert "uint16" in out


@pytest.mark.slow
def test_track_to_a_folder_and_evaluate(folder, capsys, tmp_path):
    code, *_ = run(capsys, "track", folder / "case.mp4", "--mask", f"0,{folder / 'first.png'}", "--out", tmp_path / "out")
    assert code == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 12
    with (tmp_path / "out" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    assert {r["object"] for r in rows} == {"1", "2", "3"}
    assert all(0 <= float(r["iou"]) <= 1 for r in rows)
    words = ["evaluate", tmp_path / "out", folder / "truth", "--skip", "prompt"]
    code, out, _ = run(capsys, *words, "--json", "--csv", tmp_path / "s.csv")
    assert code == 0
    assert json.loads(out)["overall"]["jf"] > 0.6
    assert (tmp_path / "s.csv").exists()
    code, out, _ = run(capsys, *words)
    assert "Protocol: skip prompt" in out


def test_doubtful_answers_are_told(folder, capsys, tmp_path, monkeypatch):
    mask = np.asarray(Image.open(folder / "first.png")) == 2
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    words = ["track", folder / "case.mp4", "--stop", 1, "--point", "0,60,80", "--mask", f"0,{tmp_path / 'mask.png'},2"]
    for border, told in ((0.0, False), (1.01, True)):
        monkeypatch.setattr("napari_sam2s.masklets.span_states.UNSURE_ANSWER", border)
        code, out, err = run(capsys, *words, "--out", tmp_path / f"{border}")
        assert code == 0
        assert ("unsure of its mask of object 1 on frame 0 (predicted IoU 0." in err) == told
        assert "object 2" not in err  # the user gave that mask
        assert "unsure" not in out


def test_track_to_a_project_show_export(folder, capsys, tmp_path):
    project = tmp_path / "p.sam2s"
    clicks = ["--point", "0,60,80", "--point", "0,10,10,1,-", "--box", "0,20,20,90,100,2"]
    code, *_ = run(capsys, "track", folder / "case.mp4", *clicks, "--stop", 8, "--out", project)
    assert code == 0
    code, out, _ = run(capsys, "show", project, "--json")
    facts = json.loads(out)
    assert [o["name"] for o in facts["objects"]] == ["object 1", "object 2"]
    assert facts["runs"][0]["status"] == "finished"
    assert sum(s["stop"] - s["start"] for s in facts["objects"][0]["presence"]) == 8
    code, out, _ = run(capsys, "show", project)
    assert "run 1: sam2s-nano, divemem, forward, finished, frames 0 to 8" in out
    assert "predicted IoU" in out
    assert facts["objects"][0]["origins"] == {"propagated": 7, "prompted": 1}
    assert 0 <= facts["objects"][0]["scores"]["iou_min"] <= facts["objects"][0]["scores"]["iou_mean"] <= 1
    assert facts["runs"][0]["provenance"]["model_hash"]
    assert run(capsys, "export", project, tmp_path / "davis")[0] == 0
    for name, made in (
        ("coco", "p_coco.json"),
        ("csv", "p_measurements.csv"),
        ("sav", "p_manual.json"),
        ("ome-zarr", "p.ome.zarr"),
    ):
        code, out, _ = run(capsys, "export", project, tmp_path / "out", "--format", name)
        assert code == 0
        assert out.strip() == str(tmp_path / "out" / made)
    code, _, error = run(capsys, "export", project, tmp_path / "out", "--format", "ctc")
    assert code == 2
    assert "frame 8 of p is not known" in error  # only the first eight were tracked
    size = ["--pixel-size", "0.5", "--unit", "mm"]
    assert run(capsys, "export", project, tmp_path / "out", "--format", "csv", *size)[0] == 2  # there is one
    assert run(capsys, "export", project, tmp_path / "out", "--format", "csv", "--overwrite", *size)[0] == 0
    assert ",mm," in (tmp_path / "out" / "p_measurements.csv").read_text()
    code, _, error = run(capsys, "export", project, tmp_path / "out", "--format", "csv", "--pixel-size", "small")
    assert code == 2
    assert "--pixel-size small is not one or two numbers" in error
    code, _, error = run(capsys, "export", project, tmp_path / "out", *size)
    assert code == 2
    assert "'pixel_size' is an option of 'csv' and 'objects', not of 'davis'" in error
    assert run(capsys, "export", project, tmp_path / "o.mp4", "--format", "overlay")[0] == 0
    assert (tmp_path / "o.mp4").stat().st_size > 1000


def test_both_directions_and_a_range(folder, capsys, tmp_path):
    words = ["track", folder / "case.mp4", "--point", "6,60,80", "--direction", "both", "--memory", "vanilla"]
    assert run(capsys, *words, "--out", tmp_path / "p.sam2s")[0] == 0
    with Project.open(tmp_path / "p.sam2s", "r") as project:
        assert project.frames == list(range(12))
        assert [r.direction for r in project.runs] == ["forward", "backward"]


@pytest.mark.slow
def test_a_label_picture_of_sixty_objects_in_one_option(capsys, tmp_path):
    labels = np.zeros((120, 160), np.uint16)
    ids = [1000 + 3 * n for n in range(60)]
    for n, i in enumerate(ids):
        y, x = 12 * (n // 10) + 20, 15 * (n % 10) + 4
        labels[y : y + 8, x : x + 9] = i
    rng = np.random.default_rng(0)
    video = np.stack([np.where(labels > 0, 200, 30).astype(np.uint8) + rng.integers(0, 20, (120, 160), np.uint8)] * 3)
    tifffile.imwrite(tmp_path / "video.tif", video, photometric="minisblack")
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    words = ["track", tmp_path / "video.tif", "--mask", f"0,{tmp_path / 'labels.tif'}", "--image-size", 192]
    code, _, err = run(capsys, *words, "--out", tmp_path / "p.sam2s")
    assert code == 0
    assert "numbers its objects 1 to 60" in err
    assert "prompting: 100%" in err
    with Project.open(tmp_path / "p.sam2s", "r") as project:
        assert [o.name for o in project.objects] == [f"object {i}" for i in ids]
        assert all(len(project.masks(t)) == 60 for t in range(3))
        np.testing.assert_array_equal(project.mask(0, 60), labels == ids[-1])
        kept = [project.mask(2, n + 1)[labels == i].mean() > 0.5 for n, i in enumerate(ids)]
        assert np.mean(kept) > 0.8  # small and all alike, they are easily taken for one another
    code, _, err = run(capsys, *words, "--out", tmp_path / "folder")
    assert (code, "write a project instead, as in --out folder.sam2s" in err) == (2, True)


def test_a_mask_a_box_and_clicks_of_one_object_go_together(folder, capsys, tmp_path):
    words = ["track", folder / "case.mp4", "--stop", 2, "--out", tmp_path / "p.sam2s"]
    first = np.asarray(Image.open(folder / "first.png"))
    y, x = (int(v) for v in np.argwhere(first == 2)[0])
    masks = ["--mask", f"0,{folder / 'first.png'}", "--point", f"0,{y},{x},2,-"]
    box = ["--box", "1,20,20,90,100,4", "--point", "1,10,10,4,-", "--point", "1,50,50,4"]
    assert run(capsys, *words, *masks, *box)[0] == 0
    with Project.open(tmp_path / "p.sam2s", "r") as project:
        assert [(p.mask is not None, p.labels) for p in project.prompts(2)] == [(True, ()), (False, (0,))]
        (both,) = project.prompts(4)
        assert (both.box, both.labels) == ((20, 20, 90, 100), (0, 1))


def test_what_was_found_before_a_frame_that_cannot_be_read_is_kept(capsys, tmp_path):
    video = np.random.default_rng(0).random((40, 32, 32)).astype(np.float32)
    tifffile.imwrite(tmp_path / "video.tif", video, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(tmp_path / "video.tif") as file:
        page = file.pages[6]  # not one of the frames that say what is black and white
        place, length = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray((tmp_path / "video.tif").read_bytes())
    data[place : place + length] = bytes(length)
    (tmp_path / "video.tif").write_bytes(data)
    code, out, err = run(capsys, "track", tmp_path / "video.tif", "--point", "0,10,10", "--out", tmp_path / "out")
    assert code == 2
    assert not out
    assert "Frame 6 cannot be read" in err
    assert "found until frame 5 is in" in err
    assert len(list((tmp_path / "out").rglob("*.png"))) == 6
    assert (tmp_path / "out" / "scores.csv").is_file()


def test_warnings_are_sentences(folder, capsys, tmp_path):
    box = ["--box", "0,20,20,90,100,1", "--box", "0,20,20,90,100,2"]
    code, _, err = run(capsys, "track", folder / "case.mp4", *box, "--stop", 2, "--out", tmp_path / "out")
    assert code == 0
    assert "napari-sam2s track: case: objects overlap" in err
    assert ".py" not in err


KILLED = """
import os, signal
from napari_sam2s.cli import main
from napari_sam2s.model import checkpoints
from napari_sam2s.tracking import Tracker

make_network = checkpoints._network
def made(*args):  # as the fixture small_input has it
    network, facts = make_network(*args)
    network.interactive.side = 112
    return network, facts
checkpoints._network = made
steps, step = [], Tracker.step
def killed(*args, **keywords):
    steps.append(1)
    if len(steps) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args, **keywords)
Tracker.step = killed
main()
"""


@pytest.mark.slow
def test_killed_and_resumed_to_the_same_masks(folder, capsys, tmp_path):
    words = ["--point", "0,60,80", "--box", "0,20,20,90,100,2", "--device", "cpu", "--image-size", "128"]
    assert run(capsys, "track", folder / "case.mp4", *words, "--out", tmp_path / "whole.sam2s")[0] == 0
    broken = tmp_path / "broken.sam2s"
    command = [sys.executable, "-W", "ignore", "-c", KILLED, "track", folder / "case.mp4", *words, "--out", broken]
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert 4 <= _frames(broken) < 12
    assert run(capsys, "resume", broken, "--device", "cpu")[0] == 0
    with Project.open(tmp_path / "whole.sam2s", "r") as whole, Project.open(broken, "r") as again:
        assert again.runs[-1].status == "finished"
        assert again.frames == whole.frames == list(range(12))
        np.testing.assert_array_equal(np.asarray(again.labels), np.asarray(whole.labels))


@pytest.mark.slow
def test_resume_follows_a_video_that_was_moved_or_encoded_anew(folder, capsys, tmp_path):
    case, project = shutil.copy(folder / "case.mp4", tmp_path / "case.mp4"), tmp_path / "case.sam2s"
    with open_video(case) as video, Project.create(project, video) as made:
        tracker = Tracker(load_model(device="cpu"), video, made)
        tracker.prompt(made.add_object().id, 0, points=[(60, 80)], labels=[1])
        for frame, _ in ProjectRun(tracker):
            if frame == 4:
                break
    (tmp_path / "case.mp4").unlink()
    code, _, err = run(capsys, "resume", project)
    assert (code, "--video" in err) == (2, True)
    anew = write_video((demo_case(12, size=(120, 160))[t] for t in range(12)), tmp_path / "anew.mp4", quality=3)
    code, _, err = run(capsys, "resume", project, "--video", anew)
    assert (code, "--relink" in err) == (2, True)
    assert _frames(project) == 5  # nothing lost on the way
    code, *_ = run(capsys, "resume", project, "--video", anew, "--relink", "--device", "cpu")
    assert code == 0
    assert _frames(project) == 12
    code, out, _ = run(capsys, "resume", project, "--video", anew, "--relink")
    assert (code, "There is no interrupted run" in out) == (0, True)  # a finished one is linked all the same


def _frames(path):
    try:
        with Project.open(path, "r") as project:
            return len(project.frames)
    except ProjectError:  # it is just being made
        return 0


@pytest.mark.slow
def test_demo(capsys, tmp_path):
    code, out, _ = run(capsys, "demo", "--frames", 10, "--out", tmp_path / "d")
    assert code == 0
    assert "| **all** | 3 |" in out
    assert {p.name for p in (tmp_path / "d").iterdir()} >= {"case.mp4", "case.sam2s", "masks.mp4", "masks.png", "truth"}
    with Image.open(tmp_path / "d" / "masks.png") as sheet:
        assert sheet.size[0] > 500


def test_models(capsys):
    code, out, _ = run(capsys, "models")
    assert code == 0
    assert "built in" in out
    assert "sam2.1-large" in out


BAD = [
    (["info", "/no/such.mp4"], "no file or folder"),
    (["track", "{case}", "--out", "{new}"], "nothing to track"),
    (["track", "{case}", "--point", "0,5", "--out", "{new}"], "not written as F,Y,X"),
    (["track", "{case}", "--point", "0,5,x", "--out", "{new}"], "not written as F,Y,X"),
    (["track", "{case}", "--point", "99,5,5", "--out", "{new}"], "Frame 99"),
    (["track", "{case}", "--point", "0,500,5", "--out", "{new}"], "outside"),
    (["track", "{case}", "--box", "0,5,5,5,9", "--out", "{new}"], "box"),
    (["track", "{case}", "--mask", "0,/no.png", "--out", "{new}"], "cannot be read"),
    (["track", "{case}", "--mask", "first.png", "--out", "{new}"], "not written as F,PICTURE"),
    (["track", "{case}", "--point", "0.5,5,5", "--out", "{new}"], "whole numbers"),
    (["track", "{case}", "--point", "nan,5,5", "--out", "{new}"], "not written as F,Y,X"),
    (["track", "{case}", "--point", "0,5,5,1.5", "--out", "{new}"], "whole numbers"),
    (["track", "{case}", "--point", "0,5,5,0", "--out", "{new}"], "from 1 to 2147483647; got 0"),
    (["track", "{case}", "--point", "0,5,5,0", "--out", "{new}.sam2s"], "from 1 to 2147483647; got 0"),
    (["track", "{case}", "--point", "0,5,5,300", "--out", "{new}"], "1 to 254.*300.*project"),
    (["track", "{case}", "--point", "0,5,5,1,-", "--out", "{new}.sam2s"], "Object 1 has only negative points on frame 0"),
    (["track", "{case}", "--point", "0,500,5", "--out", "{new}.sam2s"], "outside"),
    (["track", "{case}", "--box", "0,5,5,9,9", "--box", "0,20,20,30,30", "--out", "{new}"], "two boxes.*number"),
    (["track", "{case}", "--mask", "0,{first}", "--mask", "0,{first}", "--out", "{new}"], "two masks"),
    (["track", "{case}", "--mask", "0,{case}", "--out", "{new}"], "cannot be read"),
    (["track", "{case}", "--mask", "0,{first},", "--out", "{new}"], "no such file"),
    (
        ["track", "{case}", "--point", "8,5,5", "--stop", "5", "--start", "0", "--out", "{new}"],
        "Object 1 .* frame 8.* ends before",
    ),
    (["track", "{case}", "--point", "0,5,5", "--start", "5", "--stop", "3", "--out", "{new}"], "no frames from 5 up to 3"),
    (["track", "{case}", "--point", "0,5,5", "--stop", "50", "--out", "{new}"], "Stop 50"),
    (["track", "{case}", "--point", "0,5,5", "--rate", "0", "--out", "{new}.sam2s"], "rate=0"),
    (["track", "{case}", "--point", "0,5,5", "--out", "{old}"], "exists already"),
    (["track", "{case}", "--point", "0,5,5", "--model", "sam9", "--out", "{new}"], "no model 'sam9'"),
    (["track", "{case}", "--point", "0,5,5", "--start", "50", "--out", "{new}"], "not in the video"),
    (["track", "{case}", "--point", "0,5,5", "--image-size", "100", "--out", "{new}"], "multiple of 32"),
    (["show", "/no/such.sam2s"], "no project"),
    (["resume", "{case}"], "is empty|not a project"),
    (["evaluate", "/no", "/where"], "no folder"),
    (["models", "get", "sam9"], "no model 'sam9'"),
    (["demo", "--frames", "1", "--out", "{new}"], "too short"),
    (["demo", "--out", "{old}"], "exists already"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=[" ".join(w)[:60] for w, _ in BAD])
def test_bad_input_is_one_sentence_and_code_2(folder, capsys, tmp_path, words, sentence):
    import re

    paths = {"case": folder / "case.mp4", "first": folder / "first.png", "new": tmp_path / "new", "old": folder}
    filled = [w.format(**paths) for w in words]
    code, out, err = run(capsys, *filled)
    assert code == 2
    assert re.search(sentence, err), err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert not out
    assert not list(tmp_path.glob("new*"))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")])
def test_too_little_memory_is_a_sentence_too(folder, capsys, monkeypatch, tmp_path, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("napari_sam2s.model.load_model", fail)
    words = ["track", folder / "case.mp4", "--point", "0,5,5", "--out", tmp_path / "new"]
    code, _, err = run(capsys, *words)
    assert (code, "too little memory" in err, err.count("\n")) == (2, True, 1)
    error.args = ("another",)
    if isinstance(error, RuntimeError):
        with pytest.raises(RuntimeError, match="another"):
            main([str(w) for w in words])


def test_commands_wait_without_spinning():
    """OpenMP is told before torch loads it. What it says itself is no proof: it calls its own default passive, too."""
    code = "import os, sys; from napari_sam2s.cli import main; main(['show', 'nothing.sam2s']); "
    code += "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False passive"


@pytest.mark.usefixtures("interruptible")
def test_interrupting_pauses(folder, capsys, tmp_path, monkeypatch):
    steps, step = [], Tracker.step

    def interrupted(*args, **keywords):
        steps.append(1)
        if len(steps) == 4:
            signal.raise_signal(signal.SIGINT)
        return step(*args, **keywords)

    monkeypatch.setattr(Tracker, "step", interrupted)
    code, out, _ = run(capsys, "track", folder / "case.mp4", "--point", "0,60,80", "--out", tmp_path / "p.sam2s")
    assert (code, "resume" in out) == (130, True)
    with Project.open(tmp_path / "p.sam2s", "r") as project:
        assert project.runs[-1].status == "paused"


def test_sentences_and_paths_stand_on_lines_of_their_own(tmp_path, capsys):
    square = np.zeros((8, 9), bool)
    square[2:4, 3:6] = True
    with Project.create(tmp_path / "a.sam2s", np.zeros((6, 8, 9, 3), np.uint8)) as project:
        for _ in range(2):
            project.add_object()
        project.write_masks([(t, i, square, None) for t in range(6) for i in (1, 2)])
    assert main(["export", str(tmp_path / "a.sam2s"), str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(tmp_path / "out" / "Annotations" / "a")]
    assert "\rnapari-sam2s export: a: objects overlap; 36 pixels went to the object" in err.replace("\n", "\r")
    assert err.endswith(("frame/s]\n", "s/frame]\n"))  # of a quick and of a slow machine
