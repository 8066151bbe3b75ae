"""The prompt encoder: clicks, boxes and masks become tokens and a dense map."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import LayerNorm2d

NEGATIVE, POSITIVE, BOX_FIRST, BOX_SECOND = 0, 1, 2, 3  # labels of points; the box is its two corners
PADDING = -1  # label of a point that is none
MASK_CHANNELS = 16


class RandomPositionEncoding(nn.Module):
    """Positions as sines and cosines of random directions, drawn once and stored with the weights."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """Encode positions ``(..., 2)`` as ``(x, y)`` in [0, 1]: ``(..., C)``."""
        angle = (2 * xy - 1).float() @ self.positional_encoding_gaussian_matrix.float() * (2 * math.pi)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)


class PromptEncoder(nn.Module):
    """Turn prompts, in pixels of the network's input, into what the mask decoder reads."""

    def __init__(self, channels: int, *, dense_prompts: bool = False) -> None:
        super().__init__()
        self.pe_layer = RandomPositionEncoding(channels)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.no_mask_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, MASK_CHANNELS // 4, 2, stride=2),
            LayerNorm2d(MASK_CHANNELS // 4),
            nn.GELU(),
            nn.Conv2d(MASK_CHANNELS // 4, MASK_CHANNELS, 2, stride=2),
            LayerNorm2d(MASK_CHANNELS),
            nn.GELU(),
            nn.Conv2d(MASK_CHANNELS, channels, 1),
        )
        # Ours, for `nano`: a map of where was clicked, which a small network learns from much sooner than from tokens.
        self.dense_points = nn.Conv2d(3, channels, 3, padding=1) if dense_prompts else None

    def sparse(self, points: Tensor, labels: Tensor, image_size: int, *, padded: bool = True) -> Tensor:
        """Return tokens ``(B, N + 1, C)`` of points ``(B, N, 2)`` as ``(x, y)`` with labels ``(B, N)``.

        The labels are 0 negative, 1 positive, 2 and 3 the corners of a box, -1 none. One padding token is appended, as
        the video predictor of SAM 2 does with and without prompts; none unless ``padded``.
        """
        points = points + 0.5
        if padded:
            points = torch.cat((points, points.new_zeros(len(points), 1, 2)), dim=1)
            labels = torch.cat((labels, labels.new_full((len(labels), 1), PADDING)), dim=1)
        place = self.pe_layer(points / image_size)
        embeddings: list[Any] = [self.not_a_point_embed, *self.point_embeddings]
        kinds = torch.cat([e.weight for e in embeddings])
        return place.masked_fill(labels[..., None] == PADDING, 0.0) + kinds[labels.long() + 1]

    def dense(self, mask: Tensor | None, points: Tensor, labels: Tensor, image_size: int, grid: int) -> Tensor:
        """Return the dense prompt ``(B, C, g, g)`` of mask logits ``(B, 1, h, w)``, if any, and of points for `nano`."""
        if mask is None:
            dense = self.no_mask_embed.weight[..., None, None].expand(len(points), -1, grid, grid)
        else:
            dense = self.mask_downscaling(resize_mask_prompt(mask, 4 * grid))
        return dense if self.dense_points is None else dense + self.dense_map(points, labels, image_size, grid)

    def dense_map(self, points: Tensor, labels: Tensor, image_size: int, grid: int) -> Tensor:
        """Return what ``dense_prompts`` adds: ``(B, C, g, g)`` from maps of positive and negative clicks and the box."""
        assert self.dense_points is not None
        step = image_size / grid
        axis = (torch.arange(grid, device=points.device, dtype=torch.float32) + 0.5) * step
        dx2 = (axis[None, None] - points[..., :1]) ** 2  # (B, N, g)
        dy2 = (axis[None, None] - points[..., 1:]) ** 2
        spread = 2 * (1.5 * step) ** 2
        blobs = torch.exp(-dy2 / spread)[..., :, None] * torch.exp(-dx2 / spread)[..., None, :]  # (B, N, g, g)
        positive = (blobs * (labels == POSITIVE)[..., None, None]).sum(1)
        negative = (blobs * (labels == NEGATIVE)[..., None, None]).sum(1)
        return self.dense_points(torch.stack((positive, negative, self.box_map(points, labels, axis)), dim=1))

    @staticmethod
    def box_map(points: Tensor, labels: Tensor, axis: Tensor) -> Tensor:
        """Return ``(B, g, g)``: 1 inside the box of each object, 0 outside, and where there is none.

        Parameters
        ----------
        points, labels
            As :meth:`sparse` takes them.
        axis
            Where the centres of the g cells of a row, or column, are: ``(g,)``, in pixels of the input.
        """
        first, second = labels == BOX_FIRST, labels == BOX_SECOND  # at most one each
        low = (points * first[..., None]).sum(1)
        high = (points * second[..., None]).sum(1)
        inside_x = (axis >= low[:, :1]) & (axis <= high[:, :1])
        inside_y = (axis >= low[:, 1:]) & (axis <= high[:, 1:])
        exists = first.any(1) & second.any(1)
        return (inside_y[:, :, None] & inside_x[:, None, :] & exists[:, None, None]).float()

    def grid_position(self, grid: int) -> Tensor:
        """Return the encoding of every cell's centre, ``(1, C, g, g)``."""
        centre = (torch.arange(grid, device=self.no_mask_embed.weight.device, dtype=torch.float32) + 0.5) / grid
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        return self.pe_layer(torch.stack((x, y), dim=-1)).permute(2, 0, 1)[None]


def resize_mask_prompt(mask: Tensor, side: int) -> Tensor:
    """Bring mask logits ``(B, 1, h, w)`` to ``(B, 1, side, side)`` as SAM 2 does."""
    if mask.shape[-2:] == (side, side):
        return mask
    return F.interpolate(mask.float(), size=(side, side), mode="bilinear", align_corners=False, antialias=True)
