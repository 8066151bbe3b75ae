"""RepViT, the trunk of EdgeTAM: convolutions only, made for phones (Wang et al., arXiv 2307.09283; size M1).

It is trained with several branches and batch norms, of which each block is one convolution once training is over. Here it
exists in that form only: :func:`fold` makes a checkpoint's weights fit. Maps are ``(B, H, W, C)`` inside, in which a 1 x 1
convolution is one product of matrices; that halves its time on a CPU. Modules have the names of the checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import fused_linear
from napari_sam2s.model.network_config import TrunkConfig

WIDER = 2  # how much a channel mixer widens
SQUEEZE = 4  # how much a gate narrows, to a multiple of 8
BN_EPS = 1e-5


class ChannelMixer(nn.Module):
    """Widen, activate, narrow, add: every cell for itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, WIDER * dim, 1)
        self.conv2 = nn.Conv2d(WIDER * dim, dim, 1)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to the same shape."""
        return x + _mix(self.conv2, _mix(self.conv1, x, self.activation))


class Gate(nn.Module):
    """Squeeze and excite: scale every channel by what the whole map has of all of them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        narrow = max(8, (dim // SQUEEZE + 4) // 8 * 8)
        self.fc1 = nn.Conv2d(dim, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to the same shape."""
        mean = x.mean(dim=(1, 2), keepdim=True)
        return x * _mix(self.fc2, F.relu(_mix(self.fc1, mean))).sigmoid()


class RepVitBlock(nn.Module):
    """Look around in every channel (3 x 3, with the identity and a 1 x 1 in it), maybe gate, then mix channels."""

    def __init__(self, dim: int, *, gated: bool) -> None:
        super().__init__()
        self.token_mixer = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.se = Gate(dim) if gated else nn.Identity()
        self.channel_mixer = ChannelMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to the same shape."""
        return self.channel_mixer(self.se(_convolve(self.token_mixer, x)))


class Downsample(nn.Module):
    """Half the resolution, more channels."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.pre_block = RepVitBlock(dim, gated=False)
        self.spatial_downsample = nn.Conv2d(dim, dim, 3, stride=2, padding=1, groups=dim)
        self.channel_downsample = nn.Conv2d(dim, dim_out, 1)
        self.ffn = ChannelMixer(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, dim)`` to ``(B, H / 2, W / 2, dim_out)``."""
        x = _convolve(self.spatial_downsample, self.pre_block(x))
        return self.ffn(_mix(self.channel_downsample, x))


class RepVitStage(nn.Module):
    """Blocks at one resolution, every second one gated."""

    def __init__(self, dim: int, dim_out: int, depth: int, *, halves: bool) -> None:
        super().__init__()
        self.downsample = Downsample(dim, dim_out) if halves else nn.Identity()
        self.blocks = nn.Sequential(*(RepVitBlock(dim_out, gated=n % 2 == 0) for n in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, dim)`` to ``(B, H / 2, W / 2, dim_out)``; the first stage keeps the resolution."""
        return self.blocks(self.downsample(x))


class Stem(nn.Module):
    """Two convolutions, to stride 4."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, dim // 2, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, S, S)`` to ``(B, S / 4, S / 4, dim)``."""
        if image.device.type != "mps":
            image = image.contiguous(memory_format=torch.channels_last)  # and so are all maps after it
        return self.conv2(F.gelu(self.conv1(image))).permute(0, 2, 3, 1)


class RepVit(nn.Module):
    """The trunk: four maps at the strides 4, 8, 16, 32."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        widths = config.widths
        parts: dict[str, nn.Module] = {"stem": Stem(widths[0])}
        for n, (width, depth) in enumerate(zip(widths, config.stages, strict=True)):
            parts[f"stages_{n}"] = RepVitStage(widths[max(n - 1, 0)], width, depth, halves=n > 0)
        self.body = nn.ModuleDict(parts)

    def fine(self, image: Tensor) -> list[Tensor]:
        """Map ``(B, 3, S, S)`` to maps ``(B, widths[i], S / s, S / s)`` at s = 4, 8, 16, 32."""
        stem, *stages = self.body.values()
        x: Tensor = stem(image)
        maps: list[Tensor] = []
        for stage in stages:
            x = stage(x)
            maps.append(x.permute(0, 3, 1, 2))
        return maps

    def coarse(self, fine: list[Tensor]) -> list[Tensor]:
        """Return the four maps that :meth:`fine` gave: nothing here is shared with a head for first prompts."""
        return fine


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _mix(layer: nn.Conv2d, x: Tensor, activation: nn.Module | None = None) -> Tensor:
    """Apply a 1 x 1 convolution to ``(B, H, W, in)``, then an activation."""
    assert layer.bias is not None
    return fused_linear(x, layer.weight.flatten(1), layer.bias, activation)


def branches(name: str) -> list[str]:
    """Return what a checkpoint has for a convolution of ours: the convolutions, each with a batch norm, that add up to it."""
    if name.endswith(".token_mixer"):
        return [f"{name}.conv", f"{name}.conv1"]
    return [] if ".se." in name else [name]


def fold(weights: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Return the kernel and the bias of a convolution that :func:`branches` has parts of.

    A block that looks around adds up a 3 x 3 convolution, a 1 x 1 and its input; the last two are a kernel's middle.
    """
    kernels, biases = zip(*(_fold_norm(weights, part) for part in branches(name)), strict=True)
    if len(kernels) == 1:
        return kernels[0].float(), biases[0].float()
    wide, narrow = kernels
    return (wide + F.pad(narrow + 1, (1, 1, 1, 1))).float(), (biases[0] + biases[1]).float()


def _fold_norm(weights: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Return the kernel and the bias, in float64, of a convolution without a bias and its batch norm."""
    gain, shift, mean, variance = (
        weights[f"{name}.bn.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / (variance + BN_EPS).sqrt()
    return weights[f"{name}.c.weight"].double() * scale[:, None, None, None], shift - mean * scale
