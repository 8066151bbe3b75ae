"""TinyViT-5M as MobileSAM has it: what the head for first prompts of ``nano`` knows of where things end.

Convolutions to stride 8, then attention in windows, with a depthwise convolution between attention and MLP (Wu et al. 2022,
arXiv 2207.10666). MobileSAM (Zhang et al. 2023, arXiv 2306.14289) leaves out the last halving, so that the map is at stride 16,
and adds SAM's neck. Batch norms are folded into the convolutions before them. Weights come from
``research/convert_mobile_sam.py``.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.hiera import from_windows, to_windows
from napari_sam2s.model.layers import MLP, LayerNorm2d, channels_last_on_cpu, fused_conv, linear

WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
STRIDES = (2, 2, 1)  # from one stage to the next
EXPANSION = 4  # of convolutional blocks and of MLPs
CHANNELS = 256  # of the map that it gives
GELU = nn.GELU()


def depthwise(dim: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution of 3 x 3 in each channel by itself."""
    return nn.Conv2d(dim, dim, 3, stride, padding=1, groups=dim)


class WideningBlock(nn.Module):
    """Widen, look around, narrow, add."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = EXPANSION * dim
        self.expand, self.depthwise, self.project = nn.Conv2d(dim, wide, 1), depthwise(wide), nn.Conv2d(wide, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        wide = fused_conv(self.depthwise, fused_conv(self.expand, x, GELU), GELU)
        return F.gelu(x + fused_conv(self.project, wide))


class Halving(nn.Module):
    """From one stage to the next: other channels, and half the cells a side where the stride is 2."""

    def __init__(self, dim: int, dim_out: int, stride: int) -> None:
        super().__init__()
        self.expand, self.project = nn.Conv2d(dim, dim_out, 1), nn.Conv2d(dim_out, dim_out, 1)
        self.depthwise = depthwise(dim_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, dim, H, W)`` to ``(B, dim_out, H / stride, W / stride)``."""
        return fused_conv(self.project, fused_conv(self.depthwise, fused_conv(self.expand, x, GELU), GELU))


class WindowAttention(nn.Module):
    """Attention among the cells of a window, with a learned bias for how far apart two are."""

    bias_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        places = list(itertools.product(range(window), repeat=2))
        kinds: dict[tuple[int, int], int] = {}  # of offsets, numbered as they are met: the order of MobileSAM's biases
        offsets = [(abs(y - v), abs(x - u)) for y, x in places for v, u in places]
        index = [kinds.setdefault(offset, len(kinds)) for offset in offsets]
        self.biases = nn.Parameter(torch.zeros(heads, len(kinds)))
        self.register_buffer("bias_index", torch.tensor(index).view(len(places), -1), persistent=False)
        self._known: tuple[tuple[int, int, torch.device], Tensor, Tensor] | None = None  # the last keeps its address

    def forward(self, x: Tensor) -> Tensor:
        """Map windows ``(B, N, C)`` to the same shape."""
        q, k, v = linear(self.qkv, self.norm(x)).unflatten(2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=self._table().to(q.dtype))
        return linear(self.proj, read.transpose(1, 2).flatten(2))

    def _table(self) -> Tensor:
        """Return the bias of each pair of cells, ``(1, heads, N, N)``; at inference it is looked up once."""
        if torch.is_grad_enabled() or self.biases.is_inference():  # whose changes are not counted
            return self.biases[:, self.bias_index][None]
        state = self.biases.data_ptr(), self.biases._version, self.biases.device
        if self._known is None or self._known[0] != state:
            self._known = state, self.biases[:, self.bias_index][None], self.biases.detach()
        return self._known[1]


class WindowBlock(nn.Module):
    """Attention in windows, a look around, an MLP."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(dim, heads, window)
        self.local = depthwise(dim)
        self.norm = nn.LayerNorm(dim)
        self.mlp = MLP((dim, EXPANSION * dim, dim), nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape; a border that is no window is filled up with zeros, as in MobileSAM."""
        side, (height, width) = self.window, x.shape[2:]
        cells = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, -width % side, 0, -height % side))
        windows = to_windows(cells, side, side)
        read = self.attn(windows.flatten(1, 2)).view(windows.shape)
        read = from_windows(read, *cells.shape[1:3])[:, :height, :width]
        x = self.local(x + read.permute(0, 3, 1, 2))
        cells = x.permute(0, 2, 3, 1)
        return x + self.mlp(self.norm(cells)).permute(0, 3, 1, 2)


class TinyViT(nn.Module):
    """The encoder, and SAM's neck."""

    def __init__(self) -> None:
        super().__init__()
        first = WIDTHS[0]
        self.stem = nn.ModuleList((nn.Conv2d(3, first // 2, 3, 2, padding=1), nn.Conv2d(first // 2, first, 3, 2, padding=1)))
        stages: list[list[nn.Module]] = [[WideningBlock(first) for _ in range(DEPTHS[0])]]
        for width, depth, heads, window in list(zip(WIDTHS, DEPTHS, HEADS, WINDOWS, strict=True))[1:]:
            stages.append([WindowBlock(width, heads, window) for _ in range(depth)])
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        pairs = zip(itertools.pairwise(WIDTHS), STRIDES, strict=True)
        self.halvings = nn.ModuleList(Halving(dim, dim_out, stride) for (dim, dim_out), stride in pairs)
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], CHANNELS, 1, bias=False),
            LayerNorm2d(CHANNELS),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            LayerNorm2d(CHANNELS),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map frames ``(B, 3, H, W)``, in units of ImageNet's spread, to ``(B, 256, H / 16, W / 16)``."""
        x = channels_last_on_cpu(image)
        for conv, activation in zip(self.stem, (GELU, None), strict=True):
            assert isinstance(conv, nn.Conv2d)
            x = fused_conv(conv, x, activation)
        for stage, halving in zip(self.stages, (*self.halvings, nn.Identity()), strict=True):
            x = halving(stage(x))
        encoded: Tensor = self.neck(x)
        return encoded.contiguous()
