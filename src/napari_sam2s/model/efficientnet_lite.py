"""EfficientNet-Lite0, pretrained on ImageNet: what ``nano`` knows of the looks of things that it was never shown.

Batch norms are folded into the convolutions before them, so there is nothing to track while it is trained, or frozen. Weights
come from ``research/convert_efficientnet_lite.py``. TensorFlow pads the convolutions of stride 2 on the right and below only;
here their kernels have a first row and column of zeros instead, and PyTorch's padding on all sides gives the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_sam2s.model.conv_trunk import ConvTrunk
from napari_sam2s.model.frames import IMAGENET
from napari_sam2s.model.layers import channels_last_on_cpu, fused_conv
from napari_sam2s.model.network_config import LITE_CHANNELS, TrunkConfig

CENTRE, SPREAD = 127.0, 128.0  # of the pixels it was trained on


class _Blocks(NamedTuple):
    """Inverted residuals in a row, the first of which may have stride 2."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


STEM = 32
RELU6 = nn.ReLU6()
BLOCKS = (
    (_Blocks(1, 3, 1, 1, 16), _Blocks(2, 3, 2, 6, 24)),  # to stride 4
    (_Blocks(2, 5, 2, 6, 40),),  # 8
    (_Blocks(3, 3, 2, 6, 80), _Blocks(3, 5, 1, 6, 112)),  # 16
    (_Blocks(4, 5, 2, 6, 192), _Blocks(1, 3, 1, 6, 320)),  # 32
)


def same_conv(dim: int, dim_out: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """Return a convolution padded as TensorFlow's "same" is; with stride 2 its kernel is one larger, for a border of zeros."""
    return nn.Conv2d(dim, dim_out, kernel + (stride == 2), stride, padding=kernel // 2, groups=groups)


class LiteBlock(nn.Module):
    """An inverted residual: widen, look around, narrow; the activation is a ReLU that ends at 6."""

    def __init__(self, dim: int, dim_out: int, blocks: _Blocks, stride: int) -> None:
        super().__init__()
        wide = dim * blocks.expansion
        self.expand = nn.Conv2d(dim, wide, 1) if blocks.expansion > 1 else None
        self.depthwise = same_conv(wide, wide, blocks.kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, dim_out, 1)
        self.residual = stride == 1 and dim == dim_out

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, dim, H, W)`` to ``(B, dim_out, H / stride, W / stride)``."""
        y = x if self.expand is None else fused_conv(self.expand, x, RELU6)
        y = fused_conv(self.project, fused_conv(self.depthwise, y, RELU6))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 without its classifier, down to stride ``cut`` (16 or 32)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, cut: int = 16) -> None:
        super().__init__()
        mean, std = (torch.tensor(of)[:, None, None] for of in IMAGENET)
        self.register_buffer("scale", 255 * std / SPREAD, persistent=False)
        self.register_buffer("shift", (255 * mean - CENTRE) / SPREAD, persistent=False)
        self.stem = same_conv(3, STEM, 3, 2)
        self.stages = nn.ModuleList()
        dim = STEM
        for stage in BLOCKS[: 4 if cut == 32 else 3]:
            made: list[nn.Module] = []
            for blocks in stage:
                for n in range(blocks.repeats):
                    made.append(LiteBlock(dim, blocks.width, blocks, 1 if n else blocks.stride))
                    dim = blocks.width
            self.stages.append(nn.Sequential(*made))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map frames ``(B, 3, S, S)``, normalised as everywhere here, to maps at strides 4, 8, 16 (and 32)."""
        x = channels_last_on_cpu(image * self.scale.to(image.dtype) + self.shift.to(image.dtype))
        x = fused_conv(self.stem, x, RELU6)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [m.contiguous() for m in maps]


class LiteTrunk(ConvTrunk):
    """The trunk of ``nano`` with a pretrained EfficientNet-Lite beside it, whose maps are added to its coarse ones.

    The fine maps go on to matching as they are (:meth:`fine`), which tells apart by them what it has not learned to.
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__(config)
        self.lite = EfficientNetLite(config.cut)
        self.joins = nn.ModuleList(
            nn.Conv2d(LITE_CHANNELS[level], config.widths[level], 1) for level in range(2, 2 + config.joined)
        )
        for join in self.joins:
            nn.init.zeros_(join.weight)  # type: ignore[arg-type]
            nn.init.zeros_(join.bias)  # type: ignore[arg-type]

    def fine(self, image: Tensor) -> list[Tensor]:
        """Return the learned maps at strides 4 and 8, then the pretrained ones from stride 8 on."""
        return [*super().fine(image), *self.lite(image)[1:]]
