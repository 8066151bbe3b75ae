"""Small blocks that several parts of the network are made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

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
            x = linear(layer, x, self.activation)
        x = linear(self.layers[-1], x)
        return x.sigmoid() if self.sigmoid else x


# oneDNN's names of an activation, its numbers and its algorithm.
FUSED: dict[type[nn.Module] | type[None], tuple[str, list[float], str]] = {
    type(None): ("none", [], ""),
    nn.GELU: ("gelu", [], "none"),
    nn.ReLU: ("relu", [], ""),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], ""),
}
FEW_ROWS, FEW_NUMBERS = 256, 2**18  # of rows or of the result: below, starting oneDNN costs more than it gains


def linear(layer: nn.Module, x: Tensor, activation: nn.Module | None = None) -> Tensor:
    """Apply a linear layer, then an activation; a layer that is no longer ``nn.Linear`` (8 bits) is called as it is."""
    if isinstance(layer, nn.Linear):
        return fused_linear(x, layer.weight, layer.bias, activation)
    x = layer(x)
    return x if activation is None else activation(x)


def fused_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: nn.Module | None = None) -> Tensor:
    """Map ``(..., in)`` to ``(..., out)`` by a matrix ``(out, in)``, a bias and an activation.

    On a CPU at inference oneDNN does all of it in one pass: the same numbers, up to twice as fast for a narrow matrix
    and on processors for which MKL was not made.
    """
    rows = x.numel() // x.shape[-1]
    few = rows < FEW_ROWS and rows * len(weight) < FEW_NUMBERS
    plain = x.device.type != "cpu" or torch.is_grad_enabled() or few or x.dtype != weight.dtype
    plain = plain or torch.is_autocast_enabled("cpu")  # which oneDNN's own operator does not know of
    if not plain and type(activation) in FUSED and has_fused_linear(x.dtype):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, *FUSED[type(activation)])
    x = F.linear(x, weight, bias)
    return x if activation is None else activation(x)


@lru_cache(maxsize=8)
@torch.inference_mode()
def has_fused_linear(dtype: torch.dtype) -> bool:
    """Whether this torch and processor have oneDNN's fused linear layer. Not public, so it is tried rather than trusted."""
    x, weight, bias = torch.ones(2, 8, dtype=dtype), torch.full((4, 8), 0.25, dtype=dtype), torch.ones(4, dtype=dtype)
    try:
        found = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
        return torch.equal(found, F.relu(F.linear(x, weight, bias)))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False


@lru_cache(maxsize=8)
@torch.inference_mode()
def has_fused_conv(dtype: torch.dtype) -> bool:
    """Whether this torch and processor have oneDNN's fused convolution; tried as :func:`has_fused_linear` is."""
    x, layer = torch.full((1, 4, 3, 3), 2.0, dtype=dtype), nn.Conv2d(4, 4, 1).to(dtype)
    nn.init.constant_(layer.weight, 1.0)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    try:
        found = torch.ops.mkldnn._convolution_pointwise(
            x, layer.weight, layer.bias, (0, 0), (1, 1), (1, 1), 1, "hardtanh", [0.0, 6.0], ""
        )
        return torch.equal(found, F.relu6(layer(x)))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False


def fused_conv(layer: nn.Conv2d, x: Tensor, activation: nn.Module | None = None) -> Tensor:
    """Apply a convolution, then an activation, to ``(B, C, H, W)``.

    On a CPU at inference oneDNN does both in one pass, as it does :func:`fused_linear`: 2.5 times as fast for a wide map that
    lies ``channels_last``.
    """
    plain = (
        x.device.type != "cpu" or torch.is_grad_enabled() or x.dtype != layer.weight.dtype or torch.is_autocast_enabled("cpu")
    )
    if not plain and type(activation) in FUSED and has_fused_conv(x.dtype):
        shape = layer.padding, layer.stride, layer.dilation, layer.groups
        return torch.ops.mkldnn._convolution_pointwise(x, layer.weight, layer.bias, *shape, *FUSED[type(activation)])
    x = layer(x)
    return x if activation is None else activation(x)


def channels_last_on_cpu(x: Tensor) -> Tensor:
    """Lay ``(B, C, H, W)`` out channel by channel of each pixel, on a CPU: convolutions that widen are much faster that way."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def conv1x1(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a 1 x 1 convolution with the kernel ``(out, in, 1, 1)`` or ``(out, in)`` to ``(B, in, H, W)``.

    As one matrix product over the pixels, which on CPU is faster than the convolution's own path.
    """
    matrix = weight.flatten(1)
    flat = torch.matmul(matrix, x.flatten(2))
    if bias is not None:
        flat = flat + bias[:, None]
    return flat.unflatten(2, x.shape[2:])


def doubled(x: Tensor) -> Tensor:
    """Return a map ``(B, C, H, W)`` at twice its size, bilinearly."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
