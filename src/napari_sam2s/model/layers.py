"""Small blocks that several parts of the network are made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of ``(B, C, H, W)``."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; same shape."""
        channels_last = x.permute(0, 2, 3, 1)
        return F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class MLP(nn.Module):
    """Linear layers with an activation between them."""

    def __init__(self, dims: Sequence[int], activation: type[nn.Module] = nn.ReLU, *, sigmoid: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(dims))
        self.activation = activation()
        self.sigmoid = sigmoid

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., dims[0])`` to ``(..., dims[-1])``."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        x = self.layers[-1](x)
        return x.sigmoid() if self.sigmoid else x


def conv1x1(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a 1 x 1 convolution with the kernel ``(out, in, 1, 1)`` or ``(out, in)`` to ``(B, in, H, W)``.

    As one matrix product over the pixels, which on CPU is faster than the convolution's own path.
    """
    matrix = weight.flatten(1)
    flat = torch.matmul(matrix, x.flatten(2))
    if bias is not None:
        flat = flat + bias[:, None]
    return flat.unflatten(2, x.shape[2:])
