"""IDF1 and HOTA by TrackEval, and our identity switches against its own."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation import evaluate
from napari_sam2s.evaluation.identity import score_identity
from napari_sam2s.formats import write_davis
from napari_sam2s.masklets.protocol import LabelMasklets


def squares(rows):
    """Return labels ``(T, 40, 60)`` of three squares in a row, of the values given frame by frame."""
    labels = np.zeros((len(rows), 40, 60), dtype=np.uint8)
    for t, values in enumerate(rows):
        for n, value in enumerate(values):
            labels[t, 10:20, 5 + 18 * n : 15 + 18 * n] = value
    return labels


def test_known_answers():
    pytest.importorskip("trackeval")
    truth = squares([(1, 2, 0)] * 6)
    perfect = score_identity(truth, truth)["video"]
    assert (perfect.idf1, perfect.hota, perfect.association, perfect.id_switches) == (1, 1, 1, 0)
    renamed = score_identity(squares([(7, 5, 0)] * 6), truth)["video"]
    assert renamed == perfect
    half = score_identity(squares([(1, 2, 0)] * 3 + [(2, 1, 0)] * 3), truth)["video"]
    assert (half.idf1, half.detection, half.association, half.id_switches) == (0.5, 1, pytest.approx(1 / 3), 2)
    beyond = score_identity(squares([(1, 2, 3)] * 6), truth)["video"]
    assert beyond.idf1 == pytest.approx(2 * 12 / (12 + 18))


@pytest.mark.parametrize("seed", range(20))
def test_our_switches_are_those_of_trackeval(seed):
    pytest.importorskip("trackeval")
    rng = np.random.default_rng(seed)
    rows = [(1, 2, 3)]
    for _ in range(15):
        names = list(rows[-1])
        if rng.random() < 0.4:
            rng.shuffle(names)
        rows.append(tuple(names))
    truth = squares([(1, 2, 3)] * 16)
    ours = squares([tuple(v * (rng.random() < 0.8) for v in row) for row in rows])
    moved = rng.random(16) < 0.2
    ours[moved] = np.roll(ours, 6, axis=1)[moved]  # IoU 0.25: nothing is matched there
    scores = evaluate(ours, truth, skip="none", late="all")
    assert sum(o.id_switches for o in scores.objects) == score_identity(ours, truth)["video"].id_switches


def test_on_the_command_line(tmp_path, capsys):
    pytest.importorskip("trackeval")
    for name, rows in (("truth", [(1, 2, 0)] * 6), ("ours", [(1, 2, 0)] * 3 + [(2, 1, 0)] * 3)):
        write_davis(LabelMasklets(squares(rows)), tmp_path / name, "v")
    words = ["evaluate", str(tmp_path / "ours"), str(tmp_path / "truth"), "--identity"]
    assert main(words) == 0
    assert "| v | 50.0 | " in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["identity"]["v"]["idf1"], found["identity"]["v"]["id_switches"]) == (0.5, 2)
    assert "overall" in found


def test_without_trackeval_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackeval.metrics", None)
    with pytest.raises(EvaluationError, match=r"napari-sam2s\[eval\]"):
        score_identity(np.ones((2, 4, 4), int), np.ones((2, 4, 4), int))
