"""What a model is compared with."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_sam2s.errors import TrainingError
from napari_sam2s.masklets.types import Object
from napari_sam2s.training.validation_cases import Case, Track
from research.baselines import carry_by_flow
from research.scoring import run_flow


@pytest.fixture
def moving():
    """A textured square that moves 2 pixels a frame over a still ground, from frame 1 on."""
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    ground = np.repeat(np.repeat(rng.integers(0, 90, (12, 20, 3), dtype=np.uint8), 8, 0), 8, 1)
    square = np.repeat(np.repeat(rng.integers(120, 255, (8, 8, 3), dtype=np.uint8), 4, 0), 4, 1)
    video, known = np.repeat(ground[None], 12, axis=0), {}
    for t in range(1, 12):
        left = 20 + 2 * t
        video[t, 30:62, left : left + 32] = square
        known[t] = np.zeros(ground.shape[:2], dtype=bool)
        known[t][30:62, left : left + 32] = True
    return Case("moving", video, [Track(Object(1, "square"), known)])


def test_flow_follows_what_moves(moving):
    (found,) = carry_by_flow(moving)
    truth = moving.tracks[0].known
    assert found.frames == list(range(1, 12))
    np.testing.assert_array_equal(found.known[1], truth[1])
    last = found.known[11]
    assert (last & truth[11]).sum() / (last | truth[11]).sum() > 0.85
    assert (truth[1] & truth[11]).sum() / (truth[1] | truth[11]).sum() < 0.35  # which staying would not reach
    (result,) = run_flow(moving)
    assert result.score.j > 0.85


def test_without_opencv_the_remedy_is_named(moving, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(TrainingError, match=r"napari-sam2s\[train\]"):
        carry_by_flow(moving)
