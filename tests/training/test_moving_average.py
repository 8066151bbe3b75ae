"""The moving average of the weights: fast at first, then by its decay; whole numbers are those of the latest step."""

from __future__ import annotations

import pytest
import torch

from napari_sam2s.training.moving_average import MovingAverage


@pytest.mark.parametrize(("step", "kept"), [(0, 0.1), (8, 0.5), (1000, 0.9)])
def test_what_is_kept_of_earlier_weights(step, kept):
    average = MovingAverage({"weight": torch.ones(2), "count": torch.tensor(1)}, decay=0.9)
    average.update({"weight": torch.zeros(2), "count": torch.tensor(7)}, step)
    torch.testing.assert_close(average.weights["weight"], torch.full((2,), kept))
    assert average.weights["count"] == 7


def test_training_on_changes_no_average():
    weights = {"weight": torch.ones(2)}
    average = MovingAverage(weights, decay=0.9)
    weights["weight"] += 1
    assert average.weights["weight"].tolist() == [1, 1]
