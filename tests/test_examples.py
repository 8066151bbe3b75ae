"""Every script of `examples/` runs, on a part of its data, and leaves what it says."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_sam2s as sam2s
from napari_sam2s.formats import read_ctc, read_davis
from napari_sam2s.model.checkpoints import load_model  # here, so that the built-in model is made once
from napari_sam2s.synthetic.samples import cells, demo_case

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ious(project, object_id, truth):
    """Return the IoU of an object with `truth(frame)` on every frame that is known."""
    with sam2s.Project.open(project, "r") as opened:
        pairs = [(opened.mask(t, object_id), truth(t)) for t in opened.frames]
    return [(a & b).sum() / (a | b).sum() for a, b in pairs]


def demo(frames, object_id):
    case = demo_case(frames, size=(180, 320))
    return lambda t: case.masks(t)[object_id]


def check_track_and_export(out):
    assert min(ious(out / "case.sam2s", 1, demo(3, 3))) > 0.8
    [davis] = read_davis(out / "davis").values()
    assert len(list(davis.frames)) == 3
    assert sam2s.open_video(out / "overlay.mp4").shape == (3, 180, 320, 3)


def check_correct_and_resume(out):
    found = ious(out / "case.sam2s", 1, demo(5, 1))
    assert len(found) == 5
    assert max(found[:3]) + 0.02 < min(found[3:])  # better from the correction on, and unchanged before it
    with sam2s.Project.open(out / "case.sam2s", "r") as project:
        assert [run.status for run in project.runs] == ["finished", "finished"]
        assert project.masks.confirmed_frames(1) == [3]


def check_prompts_from_labels(out):
    [path] = (out / "tiff").rglob("*.tif*")
    stack = tifffile.imread(path)
    assert stack.shape == (2, 192, 192)
    assert set(np.unique(stack)) == {0, 1, 2, 3, 4, 5}
    for number, drawn_as in enumerate((7, 8, 9, 13, 14), 1):
        truth = cells(size=(192, 192)).masks(1)[drawn_as]
        assert ((stack[1] == number) & truth).sum() / ((stack[1] == number) | truth).sum() > 0.5


def check_instrument_times(out):
    rows = table(out / "times.csv")
    assert [(row["name"], row["entries"], row["exits"]) for row in rows] == [("grasper 1", "1", "1"), ("scissors 2", "1", "1")]
    assert all(abs(float(row["visible_s"]) - float(row["really_s"])) < 1 for row in rows)
    assert [row["really_s"] for row in rows] == ["2.88", "3.52"]
    assert len(table(out / "areas.csv")) == 14
    assert {row["name"] for row in rows} == set(table(out / "areas.csv")[0]) - {"time_s"}


def check_batch_of_a_folder(out):
    rows = table(out / "sam2s-batch.csv")
    assert [(row["state"], row["tracked_frames"]) for row in rows] == [("done", "3")] * 2
    for name in ("monday", "tuesday"):
        with sam2s.Project.open(out / f"{name}.mp4.sam2s", "r") as project:
            assert project.frames == [0, 1, 2]
            assert len(project.objects) == 2


def check_score_against_truth(out):
    rows = table(out / "scores.csv")
    assert [(row["object_id"], row["frames"]) for row in rows] == [("1", "2"), ("2", "2"), ("3", "2")]
    assert [float(row["j"]) > 0.8 for row in rows] == [False, True, True]  # one click does not find all of the grasper


def check_fine_tune(out):
    tuned, before = load_model(out / "run" / "model.pt"), load_model()
    assert tuned.facts.image_size == 128
    pairs = list(zip(tuned.state_dict().values(), before.state_dict().values(), strict=True))
    assert all(a.shape == b.shape for a, b in pairs)
    assert max((a - b).abs().max() for a, b in pairs) > 1e-6  # it has moved


def check_arrays_as_video(out):
    clip = cells(size=(192, 192))
    assert min(ious(out / "nuclei.sam2s", 1, lambda t: clip.masks(t)[13])) > 0.5
    rows = table(out / "nuclei.csv")
    assert len(rows) == 2
    assert all(500 < float(row["mean_intensity_0"]) < 500 + 100 * 255 for row in rows)


def check_own_memory_policy(out):
    rows = table(out / "policies.csv")
    assert [(row["policy"], row["long_term"]) for row in rows] == [("divemem", "4"), ("vanilla", "0"), ("mine", "8")]
    assert all(float(row["J"]) > 0.85 for row in rows)


def check_own_model(out):
    dark, bright = (np.mean(ious(out / f"{name}.sam2s", 1, demo(2, 3))) for name in ("plain", "brighter"))
    assert bright > 0.85
    assert bright > dark + 0.1


SMALLER = {  # what they are run on: fewer frames
    "track_and_export": {"frames": 3},
    "correct_and_resume": {"frames": 5, "corrected": 3},
    "prompts_from_labels": {"frames": 2},
    "instrument_times": {},
    "batch_of_a_folder": {"frames": 3, "image_size": 128},
    "score_against_truth": {"frames": 3},
    "fine_tune": {"frames": 3},
    "arrays_as_video": {"frames": 2},
    "own_memory_policy": {"frames": 2},
    "own_model": {"frames": 2},
}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "nuclei_to_tracks"))
def test_example(name, tmp_path):
    load(name).main(tmp_path / "out", **SMALLER[name])
    globals()[f"check_{name}"](tmp_path / "out")


def test_examples_are_short_and_listed():
    page = (ROOT / "docs" / "how-to" / "examples.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert f"examples/{path.name} " in text, f"{path.name} does not say how to run it"
        assert f"/examples/{path.name})" in page, f"{path.name} is not in the table of docs/how-to/examples.md"
        assert len(text.splitlines()) < 50 or path.stem == "nuclei_to_tracks", f"{path.name} is longer than 50 lines"
    assert not set(re.findall(r"/examples/(\w+\.py)", page)) - {path.name for path in EXAMPLES.glob("*.py")}


def test_links_and_divisions_are_those_that_are_drawn():
    nuclei = load("nuclei_to_tracks")
    stack = np.zeros((4, 20, 40), np.uint16)
    stack[0, 5:10, 5:17] = 3
    stack[1, 5:10, 6:18] = 9
    stack[2, 5:10, 4:10], stack[2, 5:10, 13:19] = 1, 2
    stack[3, 5:10, 3:9], stack[3, 5:10, 14:20], stack[3, 15:19, 30:35] = 2, 1, 7
    links = nuclei.link(stack)
    assert links.labels == [{3: 1}, {9: 1}, {1: 2, 2: 3}, {2: 2, 1: 3, 7: 4}]
    assert links.parents == {2: 1, 3: 1}
    assert nuclei.family(links, {1}) == [1, 2, 3]


def test_what_moves_far_goes_on_and_daughters_may_both_be_new():
    nuclei = load("nuclei_to_tracks")
    stack = np.zeros((3, 40, 60), np.uint16)
    stack[0, 10:20, 20:30], stack[0, 30:36, 50:56] = 1, 2
    stack[1, 12:22, 30:40], stack[1, 30:36, 50:56] = 5, 6  # the first has moved by its width
    stack[2, 14:20, 22:28], stack[2, 14:20, 42:48], stack[2, 31:37, 51:57] = 7, 8, 9  # and divided; its middle is where it was
    links = nuclei.link(stack)
    assert links.labels == [{1: 1, 2: 2}, {5: 1, 6: 2}, {9: 2, 7: 3, 8: 4}]
    assert links.parents == {3: 1, 4: 1}


def test_nuclei_to_tracks(tmp_path, real_data):
    hela = real_data / "hela"
    found = load("nuclei_to_tracks").main(
        [str(hela / "hela.tif"), str(hela / "hela_masks.tif"), "--out", str(tmp_path / "n"), "--frames", "6", "--nuclei", "60"]
    )
    assert found["nuclei"] == 60
    assert found["divisions"] == 5, "as one sees in the pictures"
    assert found["tracks"] == 70
    [cells_found] = read_ctc(tmp_path / "n" / "nuclei_RES").values()
    assert sum(o.parent is not None for o in cells_found.objects) == 2 * found["divisions"]
    rows = table(tmp_path / "n" / "nuclei.csv")
    assert max(float(row["mean_intensity_0"] or 0) for row in rows) > 32_000  # of 16 bits, not of the picture


def test_drawn_nuclei(tmp_path):
    found = load("nuclei_to_tracks").main(["--out", str(tmp_path / "n"), "--frames", "20"])
    assert found["tracks"] >= found["nuclei"] > 0
    assert (tmp_path / "n" / "nuclei_RES" / "res_track.txt").is_file()
