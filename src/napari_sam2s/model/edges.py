"""Edges that follow the picture: a mask of stride 4 is drawn anew at the network's full input (only ``nano`` does it).

A mask decoder answers on cells of four pixels of a small input; one is 13 pixels of a 720p video. Where the object ends within
them is to be seen in the picture. A guided filter (He, Sun and Tang, "Guided Image Filtering", TPAMI 2013, with colours as the
guide, eq. 19 to 21) takes the probability in each window for a linear function of the colours there, which moves the edge to
where colours change. Its coefficients are found at half the size ("Fast Guided Filter", arXiv 1505.00996). Nothing of it is
learned, and tracking remembers nothing of it. Only what a closer look has drawn is remembered, as a mask that the user gave.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2s.model.stages import Decoded, Features

HALF = 2  # pixels to a cell in which coefficients are found
EPSILON = 1e-4  # of the variance of colours from 0 to 1: windows with less have no edge to follow
FAINT = -4.0  # logits below which nothing is to be drawn
# From which size on, the root of its area in pixels of the input, an object has windows twice and three times as large. Chosen
# on 880 answers to training material: the radius that suits is a sixteenth of the size, from 2 to 6.
LARGE = (45.0, 90.0)
LEFT = 0.5  # of an area, at least: a mask that loses more stays as it was, for a window knows little of what is thinner than it


def draw_edges(image: Tensor, logits: Tensor, radius: int) -> Tensor:
    """Return masks with the edges of their picture.

    Parameters
    ----------
    image
        Of the frame, ``(1, S, S, 3)`` uint8.
    logits
        ``(B, 1, h, w)``, where S is a multiple of twice h and w.
    radius
        Of the windows of small objects, in cells of 2 pixels of the image; up to three times as much of large ones.

    Returns
    -------
    ``(B, 1, S, S)`` float32: the probability less one half, so that 0 is the border as in logits.
    """
    scale = image.shape[1] // logits.shape[2]
    area = (logits > 0).sum(dim=(1, 2, 3)) * scale**2
    times = 1 + torch.stack([area >= large**2 for large in LARGE]).sum(dim=0)
    drawn = (_around_each if logits.is_cpu else _everywhere)(image, logits, radius, times)
    lost = (drawn > 0).sum(dim=(1, 2, 3)) < LEFT * area
    if logits.is_cpu and not lost.any():
        return drawn
    plain = F.interpolate(logits.float(), size=drawn.shape[2:], mode="bilinear", align_corners=False).sigmoid() - 0.5
    return torch.where(lost[:, None, None, None], plain, drawn)


def _everywhere(image: Tensor, logits: Tensor, radius: int, times: Tensor) -> Tensor:
    """Filter whole frames, with ``times`` (B,) the radius: a GPU is not waited for, and draws every width."""
    drawn = _filtered(image, logits, radius)
    for n in range(2, len(LARGE) + 2):
        drawn = torch.where((times == n)[:, None, None, None], _filtered(image, logits, n * radius), drawn)
    return drawn


def _around_each(image: Tensor, logits: Tensor, radius: int, times: Tensor) -> Tensor:
    """Filter only what is around each object: most are small."""
    scale = image.shape[1] // logits.shape[2]
    drawn = torch.full((len(logits), 1, *image.shape[1:3]), -0.5)
    for row, n in enumerate(times.tolist()):
        ys, xs = (_around((logits[row, 0] > FAINT).any(dim=dim), n * radius) for dim in (1, 0))
        if ys.stop > ys.start:
            y, x = (slice(cells.start * scale, cells.stop * scale) for cells in (ys, xs))
            drawn[row, :, y, x] = _filtered(image[:, y, x], logits[row : row + 1, :, ys, xs], n * radius)[0]
    return drawn


def _around(there: Tensor, radius: int) -> slice:
    """Return the cells of a side that windows around some of them reach."""
    cells = there.nonzero()[:, 0]
    if not len(cells):
        return slice(0, 0)
    return slice(max(int(cells[0]) - 2 * radius, 0), min(int(cells[-1]) + 2 * radius + 1, len(there)))


def _filtered(image: Tensor, logits: Tensor, radius: int) -> Tensor:
    colours = image.permute(0, 3, 1, 2).float() / 255
    small = F.avg_pool2d(colours, HALF)
    inside = F.interpolate(logits.float(), size=small.shape[-2:], mode="bilinear", align_corners=False).sigmoid()
    slope, level = _linear(small, inside, radius)
    both = torch.cat((slope, level), dim=1)
    both = F.interpolate(_mean(both, radius), size=colours.shape[-2:], mode="bilinear", align_corners=False)
    return (both[:, :3] * colours).sum(dim=1, keepdim=True) + both[:, 3:] - 0.5


def _mean(values: Tensor, radius: int) -> Tensor:
    """Return the mean over the windows around all cells of ``(B, C, Y, X)``, as far as they are inside."""
    for dim in (2, 3):
        length = values.shape[dim]
        padded = F.pad(values, (0, 0, radius, radius) if dim == 2 else (radius, radius))
        total = padded.narrow(dim, 0, length).clone()
        for shift in range(1, 2 * radius + 1):  # sums of shifted maps: several times as fast as pooling
            total += padded.narrow(dim, shift, length)
        at = torch.arange(length, device=values.device)
        count = (at + radius).clamp(max=length - 1) - (at - radius).clamp(min=0) + 1
        values = total / count.view(-1, 1) if dim == 2 else total / count
    return values


def _linear(colours: Tensor, inside: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return what turns the colours of each window into probabilities: slopes ``(B, 3, Y, X)`` and levels ``(B, 1, Y, X)``."""
    r, g, b = colours.split(1, dim=1)
    means = _mean(torch.cat((colours, r * r, r * g, r * b, g * g, g * b, b * b), dim=1), radius)
    mean = means[:, :3]
    mr, mg, mb = mean.split(1, dim=1)
    products = torch.cat((mr * mr, mr * mg, mr * mb, mg * mg, mg * mb, mb * mb), dim=1)
    rr, rg, rb, gg, gb, bb = (means[:, 3:] - products).split(1, dim=1)
    rr, gg, bb = rr + EPSILON, gg + EPSILON, bb + EPSILON
    # The inverse of the symmetric covariance, by its adjugate.
    ir, irg, irb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    ig, igb, ib = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = 1 / (rr * ir + rg * irg + rb * irb)
    found = _mean(torch.cat((inside, colours * inside), dim=1), radius)
    cr, cg, cb = (found[:, 1:] - mean * found[:, :1]).split(1, dim=1)
    slope = torch.cat((ir * cr + irg * cg + irb * cb, irg * cr + ig * cg + igb * cb, irb * cr + igb * cg + ib * cb), dim=1)
    slope = slope * scale
    return slope, found[:, :1] - (slope * mean).sum(dim=1, keepdim=True)


def with_edges(features: Features | None, decoded: Decoded, radius: int, *, every: bool = False) -> Decoded:
    """Return an answer with the edges of the chosen mask, or of ``every`` one, drawn by the picture; 0 is no radius."""
    if not radius or features is None or features.image is None:
        return decoded
    drawn = draw_edges(features.image, decoded.logits, radius)
    if not every:
        return replace(decoded, drawn=drawn)
    rest = draw_edges(features.image, decoded.all_logits.flatten(0, 1)[:, None], radius)
    return replace(decoded, drawn=drawn, all_drawn=rest.view(*decoded.all_logits.shape[:2], *rest.shape[2:]))
