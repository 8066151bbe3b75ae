"""The paper's figures agree with each other."""

from __future__ import annotations

import pytest

from napari_sam2s.evaluation.published import SUBSETS, published


@pytest.mark.parametrize("row", [r for r in published() if r.jf], ids=lambda r: f"{r.model}-{r.weights}-{r.prompt}")
def test_averages_are_those_of_the_subsets(row):
    assert set(row.jf) == {s.name for s in SUBSETS}
    assert sum(row.jf.values()) / 8 == pytest.approx(row.average, abs=0.0151)  # of figures rounded to two places


def test_the_gains_that_the_paper_claims():
    average = {(r.model, r.weights, r.prompt): r.average for r in published()}
    ours, tuned, vanilla = ("SAM2S", "fine-tuned"), ("SAM2", "fine-tuned"), ("SAM2", "vanilla")
    assert average[(*ours, "3-click")] - average[(*vanilla, "3-click")] == pytest.approx(17.10)
    assert average[(*ours, "3-click")] - average[(*tuned, "3-click")] == pytest.approx(4.11)
    assert average[(*ours, "1-click")] - average[(*vanilla, "1-click")] == pytest.approx(24.31)
    assert len(published()) == 14 + 14 + 15


def test_the_subsets_are_those_of_table_1():
    distinct = [s for s in SUBSETS if s.name != "EndoVis18-T"]  # the same videos as EndoVis18-I
    assert sum(s.videos for s in distinct) == 99
    assert sum(s.frames for s in distinct) == 19804
