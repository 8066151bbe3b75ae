"""Reports: tables, files, pictures."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation import evaluate, write_report
from napari_sam2s.evaluation.report_pictures import AWAY, LINE, WRONG, draw_track, worst_frames
from napari_sam2s.formats import read_davis, write_davis
from napari_sam2s.masklets import LabelMasklets
from napari_sam2s.synthetic.samples import demo_case


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A case of 16 frames; the prediction is two pixels off, and has nothing of object 1 on frames 6 to 8."""
    root = tmp_path_factory.mktemp("scored")
    case = demo_case(16, size=(90, 120))
    labels = np.stack([np.max([i * m for i, m in case.masks(t).items()], axis=0) for t in range(16)]).astype(np.uint8)
    ours = np.roll(labels, 2, axis=2)
    ours[6:9][ours[6:9] == 1] = 0
    write_davis(LabelMasklets(ours), root / "ours", "case")
    write_davis(case, root / "truth", "case")
    return root, case, evaluate(root / "ours", root / "truth", surface=2)


def test_a_report_is_a_folder(scored, tmp_path):
    root, case, scores = scored
    before = sorted(p for p in root.rglob("*"))
    ours, truth = read_davis(root / "ours"), read_davis(root / "truth")
    page = write_report(scores, tmp_path / "report", prediction=ours, truth=truth, videos={"case": case}, worst=2)
    text = page.read_text()
    assert "grasper" in text
    assert "| class | objects |" in text
    assert "Protocol: skip ends" in text
    links = re.findall(r"!\[\]\((.*?)\)", text)
    assert len(links) == 3
    for link in links:
        with Image.open(page.parent / link) as picture:
            assert min(picture.size) >= 90
    with (page.parent / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 14
    assert {(r["frame"], r["predicted"]) for r in rows if r["object_id"] == "1" and r["frame"] in "678"} >= {("6", "0")}
    with (page.parent / "objects.csv").open() as file:
        assert [r["longest_lost"] for r in csv.DictReader(file)] == ["3", "0", "0"]
    assert json.loads((page.parent / "scores.json").read_text())["videos"]["case"]["objects"] == 3
    assert sorted(p for p in root.rglob("*")) == before


def test_a_report_never_goes_where_something_is(scored, tmp_path):
    root, _, scores = scored
    with pytest.raises(EvaluationError, match="was scored"):
        write_report(scores, root / "ours" / "report", inputs=[root / "ours", root / "truth"])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(EvaluationError, match="not empty"):
        write_report(scores, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def colours(picture):
    return {colour for _, colour in picture.convert("RGB").getcolors(100000)}


def test_the_curve_shows_absence_and_mistakes(scored):
    _, _, scores = scored
    perfect = {t: s._replace(present=True, predicted=True) for t, s in scores.frames["case", 2].items()}
    assert {AWAY, WRONG}.isdisjoint(colours(draw_track({"2": perfect})))
    assert LINE in colours(draw_track({"2": perfect}))
    gone = {t: s._replace(present=t < 9, predicted=t < 5) for t, s in perfect.items()}
    assert {AWAY, WRONG} <= colours(draw_track({"2": gone}))
    assert draw_track({}).size[0] > 500


def test_the_worst_frames_come_first(scored):
    root, case, scores = scored
    ours, truth = (read_davis(root / n)["case"] for n in ("ours", "truth"))
    shown = list(worst_frames(scores, "case", ours, truth, case, 3))
    assert {t for t, *_ in shown} == {6, 7, 8}
    assert [jf for _, jf, _ in shown] == sorted(jf for _, jf, _ in shown)
