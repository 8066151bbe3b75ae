"""Positions: fixed sine encodings, and rotary encodings for memory attention. All tables are real and cached.

A table that is first asked for under ``torch.inference_mode`` is made outside of it, or no later training could use it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

TEMPERATURE = 10000.0


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def sine_2d(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """Return the normalised 2-D sine encoding, ``(1, channels, height, width)`` float32: first y, then x."""
    half = channels // 2
    steps = torch.arange(half, dtype=torch.float32, device=device)
    wavelength = TEMPERATURE ** (2 * torch.div(steps, 2, rounding_mode="floor") / half)

    def encode(length: int) -> Tensor:  # (length, half)
        position = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        angle = (position / (length + 1e-6) * 2 * math.pi)[:, None] / wavelength
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

    y = encode(height)[:, None].expand(height, width, half)
    x = encode(width)[None].expand(height, width, half)
    return torch.cat((y, x), dim=2).permute(2, 0, 1)[None].contiguous()


def sine_1d(position: Tensor, channels: int) -> Tensor:
    """Encode ``position (...)`` as ``(..., channels)``: sines, then cosines."""
    half = channels // 2
    steps = torch.arange(half, dtype=torch.float32, device=position.device)
    wavelength = TEMPERATURE ** (2 * torch.div(steps, 2, rounding_mode="floor") / half)
    angle = position[..., None] / wavelength
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def rotary_table(channels: int, side: int, device: torch.device, span: int | None = None) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each ``(side * side, channels / 2)``: the first half turns with x, the second with y.

    Cells are counted by ones, or such that a side counts as ``span`` of them.
    """
    frequency = 1.0 / TEMPERATURE ** (torch.arange(0, channels, 4, device=device)[: channels // 4].float() / channels)
    index = torch.arange(side * side, device=device)
    x, y = (index % side).float(), torch.div(index, side, rounding_mode="floor").float()
    if span is not None:
        x, y = x * (span / side), y * (span / side)
    angle = torch.cat((torch.outer(x, frequency), torch.outer(y, frequency)), dim=1)
    return angle.cos(), angle.sin()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def pairs_apart(channels: int, device: torch.device) -> Tensor:
    """Return the order of channels that :func:`rotate` wants: the even ones, then the odd ones."""
    return torch.arange(channels, device=device).view(-1, 2).T.flatten()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn pairs of channels of ``x (..., N, C)`` by the angles of ``(N, C / 2)`` tables, in float32.

    SAM 2 turns neighbouring channels; here channel ``c`` turns with ``c + C / 2``, which needs no strided reading. In the
    order of :func:`pairs_apart` the two are the same, and products of queries and keys do not depend on the order.
    """
    first, second = x.float().chunk(2, dim=-1)
    if torch.is_grad_enabled():
        return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1).to(x.dtype)
    turned = x.new_empty(x.shape, dtype=torch.float32)
    left, right = turned.chunk(2, dim=-1)
    torch.mul(first, cosine, out=left).addcmul_(second, sine, value=-1)  # half the passes over memory
    torch.mul(first, sine, out=right).addcmul_(second, cosine)
    return turned.to(x.dtype)
