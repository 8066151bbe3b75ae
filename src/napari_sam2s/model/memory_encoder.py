"""The memory encoder: a frame's features and an object's mask become a memory of the object on that frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import LayerNorm2d, linear


class MaskDownSampler(nn.Module):
    """Bring a mask of the network's input size to stride 16 by four strided convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        dim = 1
        for _ in range(4):
            layers += [nn.Conv2d(dim, 4 * dim, 3, stride=2, padding=1), LayerNorm2d(4 * dim), nn.GELU()]
            dim *= 4
        self.encoder = nn.Sequential(*layers, nn.Conv2d(dim, channels, 1))

    def forward(self, mask: Tensor) -> Tensor:
        """Map ``(B, 1, S, S)`` to ``(B, C, S / 16, S / 16)``."""
        return self.encoder(mask)


class ConvNextBlock(nn.Module):
    """Depthwise 7 x 7, normalise, widen, narrow, scale, add."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.activation = nn.GELU()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        inner = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        inner = self.gamma * linear(self.pwconv2, linear(self.pwconv1, inner, self.activation))
        return x + inner.permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """Two blocks over the sum of features and mask."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvNextBlock(dim) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Features of a frame + mask of an object -> memory."""

    def __init__(self, hidden_dim: int, memory_dim: int) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownSampler(hidden_dim)
        self.pix_feat_proj = nn.Conv2d(hidden_dim, hidden_dim, 1)
        self.fuser = Fuser(hidden_dim)
        self.out_proj = nn.Conv2d(hidden_dim, memory_dim, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map features ``(1 or B, C, g, g)`` and masks ``(B, 1, S, S)`` to memories ``(B, D, g, g)``."""
        x = self.pix_feat_proj(features) + self.mask_downsampler(mask)
        if x.device.type == "cpu":  # the blocks need a third less time that way
            x = x.contiguous(memory_format=torch.channels_last)
        return self.out_proj(self.fuser(x))


def remembered_mask(logits: Tensor, size: int, prompted: Tensor | bool, final: int) -> Tensor:
    """Return logits ``(B, 1, h, w)`` as masks ``(B, 1, final, final)`` of 0 to 1.

    They are brought to ``size``, the side of the input; prompted ones are cut at 0 there.
    """
    if logits.shape[-1] != size:
        logits = F.interpolate(logits.float(), size=(size, size), mode="bilinear", align_corners=False)
    if isinstance(prompted, bool):
        mask = (logits > 0).float() if prompted else logits.sigmoid()
    else:
        mask = torch.where(prompted[:, None, None, None], (logits > 0).float(), logits.sigmoid())
    if final == size:
        return mask
    return F.interpolate(mask.float(), size=(final, final), mode="bilinear", align_corners=False, antialias=True)
