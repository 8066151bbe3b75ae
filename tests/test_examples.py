"""The worked examples run, on a part of their data, and come to what they say."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from napari_sam2s.formats import read_ctc

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


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


def test_nuclei_to_tracks(tmp_path, real_data, capsys):
    hela = real_data / "hela"
    found = load("nuclei_to_tracks").main(
        [str(hela / "hela.tif"), str(hela / "hela_masks.tif"), "--out", str(tmp_path / "n"), "--frames", "6", "--nuclei", "60"]
    )
    assert found["nuclei"] == 60
    assert found["tracks"] > 60
    assert found["divisions"] >= 1
    [cells] = read_ctc(tmp_path / "n" / "nuclei_RES").values()
    assert sum(o.parent is not None for o in cells.objects) == 2 * found["divisions"]
    with (tmp_path / "n" / "nuclei.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert max(float(row["mean_intensity_0"] or 0) for row in rows) > 32_000  # of 16 bits, not of the picture


@pytest.mark.parametrize("frames", [20])
def test_drawn_nuclei(tmp_path, frames, capsys, small_input):
    found = load("nuclei_to_tracks").main(["--out", str(tmp_path / "n"), "--frames", str(frames)])
    assert found["tracks"] >= found["nuclei"] > 0
    assert (tmp_path / "n" / "nuclei_RES" / "res_track.txt").is_file()


def test_instrument_times(tmp_path, capsys, small_input):
    times = load("instrument_times").main(["--out", str(tmp_path / "t"), "--frames", "12"])
    assert (tmp_path / "t" / "times.csv").is_file()
    assert len(times) >= 1
    assert (times["visible_s"] <= 12 / 25 + 0.05).all()
    assert (abs(times["visible_s"] - times["really_s"]) < 0.5).all()
