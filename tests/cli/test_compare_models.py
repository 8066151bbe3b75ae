"""Models side by side on a clip; a fake engine gives a fake model, whose masks are known."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.errors import ModelError
from napari_sam2s.evaluation.agreement import agreement
from napari_sam2s.formats.comparison_sheet import comparison_sheet
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.protocol import LabelMasklets
from napari_sam2s.tracking import Tracker, model_comparison
from napari_sam2s.video import open_video
from tests.fakes import ColourModel, squares


class Blind(ColourModel):
    """Finds nothing when it tracks."""

    def track(self, features, recalls):
        decoded, maps, patches = super().track(features, recalls)
        decoded.logits[:] = -10
        return decoded, maps, patches


def make(name, **_):
    if name == "ctrl-c":
        raise KeyboardInterrupt
    if name == "broken":
        raise ModelError("broken is not a checkpoint.")
    model = Blind() if name == "blind" else ColourModel()
    if name == "again":
        model.metadata = {**model.metadata, "differences": "1 tensor is unknown (slots.a)"}
    return model


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setattr(model_comparison, "Engine", lambda: nullcontext(SimpleNamespace(model=make)))
    (tmp_path / "clip").mkdir()
    for t, frame in enumerate(squares(12)):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{t:05d}.png")
    return tmp_path


def compare(clip, *words):
    return main(["models", "compare", str(clip / "clip"), *words, "--out", str(clip / "out")])


def test_a_table_a_sheet_and_what_cannot_be_run(clip, capsys):
    words = ("seeing", "again", "blind", "broken", "--point", "0,14,8", "--point", "0,34,14,2", "--frames", "8", "--json")
    assert compare(clip, *words) == 2  # as one of them failed
    out, err = capsys.readouterr()
    assert "broken is not a checkpoint" in err
    rows = {row["model"]: row for row in json.loads(out)["models"]}
    assert json.loads(out)["failed"] == {"broken": "broken is not a checkpoint."}
    assert list(rows) == ["seeing", "again", "blind"]
    assert rows["seeing"]["agreement_with"] == {"again": 1.0, "blind": 0.0}
    assert rows["seeing"]["agreement"] == 0.5
    assert rows["seeing"]["seconds_a_frame"] > 0
    assert rows["seeing"]["memory_mb"] > 10
    assert rows["seeing"]["input_size"] == 32
    with Image.open(clip / "out" / "comparison.png") as sheet:
        assert sheet.size == (3 * 320, 6 * (192 + 18))
        colours = np.asarray(sheet)
    assert (colours[:, :320] == colours[:, 320:640]).mean() > 0.99  # all but the names
    text = (clip / "out" / "comparison.md").read_text()
    assert "| J with again |" in text
    assert "again was loaded without the tensors that do not fit: 1 tensor is unknown (slots.a)." in text
    assert json.loads((clip / "out" / "comparison.json").read_text())["frames"] == [0, 8]


def test_what_was_done_before_ctrl_c_is_kept(clip, capsys):
    assert compare(clip, "seeing", "ctrl-c", "blind", "--point", "0,14,8", "--frames", "4", "--json") == 130
    out, err = capsys.readouterr()
    assert [row["model"] for row in json.loads(out)["models"]] == ["seeing"]
    assert "interrupted" in err
    assert (clip / "out" / "comparison.png").is_file()


def test_a_long_name_stays_in_its_column(clip):
    results = LabelMasklets(np.zeros((2, 48, 80), np.uint8))
    with open_video(clip / "clip") as video:
        long, short = (comparison_sheet(video, {name: results, "b": results}, [0]) for name in ("日本" * 60, "a"))
    assert np.array_equal(np.asarray(long)[:, 320:], np.asarray(short)[:, 320:])


def test_ground_truth_prompts_and_scores(clip, capsys):
    truth = np.zeros((12, 48, 80), np.uint8)
    for t in range(12):
        truth[t, 8:20, 4 + t : 16 + t] = 1
    folder = clip / "truth"
    folder.mkdir()
    for t in range(12):
        Image.fromarray(truth[t]).save(folder / f"{t:05d}.png")
    assert compare(clip, "seeing", "blind", "--truth", str(folder), "--json") == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["seeing"]["j"] > 0.6  # of a network of 32 pixels
    assert rows["blind"]["jf"] == 0


def test_the_prompts_of_a_project(clip, capsys):
    with open_video(clip / "clip") as video, Project.create(clip / "case.sam2s", video) as project:
        project.add_object("red")
        Tracker(ColourModel(), video, project).prompt(1, 2, points=[(14, 12)])
    assert compare(clip, "seeing", "--project", str(clip / "case.sam2s"), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == [2, 12]  # from the prompt on
    assert report["models"][0]["agreement"] is None  # with nobody


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("seeing",), "nothing to track"),
        (("seeing", "--point", "0,14,8", "--frames", "1"), "too few"),
        (("seeing", "--point", "99,14,8"), "Frame 99"),
    ],
)
def test_bad_input(clip, capsys, words, sentence):
    assert compare(clip, *words) == 2
    assert sentence in capsys.readouterr().err
    assert not (clip / "out").exists()


def test_agreement_of_known_masks():
    a, b = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    a[0, :2], b[0, 1:3] = 1, 1  # J 1/3; the second frame is empty in both, which agrees
    assert agreement(LabelMasklets(a), LabelMasklets(b), [0]) == pytest.approx(1 / 3)
    assert agreement(LabelMasklets(a), LabelMasklets(a)) == 1
    assert math.isnan(agreement(LabelMasklets(a), LabelMasklets(np.zeros_like(a))))  # no object in common
