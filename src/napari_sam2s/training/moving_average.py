"""The moving average of the weights, which is what a training run is judged by and ends with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class MovingAverage:
    """The average of the ``weights`` of a model over its steps, each of which counts ``1 - decay``.

    At the beginning it forgets faster, with a decay of ``(1 + step) / (10 + step)``, as nothing is known yet.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.weights = {name: value.detach().clone() for name, value in weights.items()}
        self._decay = decay

    def update(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take up the weights after the step ``step``, counted from 0; of whole numbers, such as counts, the last are kept."""
        decay = min(self._decay, (1 + step) / (10 + step))
        real = [name for name, value in weights.items() if value.is_floating_point()]
        with torch.no_grad():  # one call for all: on a GPU hundreds of small ones would take as long as the step
            torch._foreach_lerp_([self.weights[n] for n in real], [weights[n] for n in real], 1 - decay)
            for name in set(weights) - set(real):
                self.weights[name].copy_(weights[name])
