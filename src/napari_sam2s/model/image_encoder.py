"""The image encoder: a trunk and the pyramid neck on top of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.conv_trunk import ConvTrunk
from napari_sam2s.model.efficientnet_lite import LiteTrunk
from napari_sam2s.model.hiera import Hiera
from napari_sam2s.model.layers import conv1x1
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.plain_vit import PlainViT, SingleScaleNeck
from napari_sam2s.model.repvit import RepVit
from napari_sam2s.model.vit import Pyramid, VisionTransformer


class _Lateral(nn.Module):
    """A 1 x 1 convolution under the name the checkpoints give it."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim_out, kernel_size=1)


class FpnNeck(nn.Module):
    """Bring the trunk's maps to one width; ``convs`` run from the deepest map to the finest, as in the checkpoints."""

    def __init__(self, channels: Sequence[int], hidden_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_Lateral(dim, hidden_dim) for dim in reversed(channels))

    def lateral(self, level: int) -> nn.Conv2d:
        """Return the convolution of a level, 0 the finest (stride 4) to 3 the deepest (stride 32)."""
        lateral = self.convs[3 - level]
        assert isinstance(lateral, _Lateral)
        return lateral.conv

    def embedding(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the map at stride 16, which alone receives the deeper one: ``(B, C, g, g)``."""
        deep, shallow = self.lateral(3), self.lateral(2)
        coarse = conv1x1(maps[3], deep.weight, deep.bias)
        fine = conv1x1(maps[2], shallow.weight, shallow.bias)
        return fine + F.interpolate(coarse.float(), scale_factor=2.0, mode="nearest").to(fine.dtype)

    def skip(self, trunk_map: Tensor, level: int, projection: nn.Conv2d | None) -> Tensor:
        """Return the finest levels as the mask decoder takes them.

        The neck's lateral convolution and the decoder's ``conv_s0`` / ``conv_s1`` are both linear, so their product is
        applied at once, and the wide map between them is never made.
        """
        assert projection is not None
        lateral = self.lateral(level)
        inner, outer = lateral.weight.flatten(1), projection.weight.flatten(1)
        return conv1x1(trunk_map, outer @ inner, outer @ lateral.bias + projection.bias)


Trunk = Hiera | RepVit | VisionTransformer | PlainViT | ConvTrunk
TRUNKS: dict[str, type[Trunk]] = {
    "hiera": Hiera,
    "repvit": RepVit,
    "vit": VisionTransformer,
    "plain_vit": PlainViT,
    "conv": ConvTrunk,
    "efficientnet_lite": LiteTrunk,
}
Neck = FpnNeck | Pyramid | SingleScaleNeck
NECKS: dict[str, type[Neck]] = {"vit": Pyramid, "plain_vit": SingleScaleNeck}


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk: Trunk = TRUNKS[config.trunk.kind](config.trunk)
        self.neck = NECKS.get(config.trunk.kind, FpnNeck)(config.trunk.channels, config.hidden_dim)
