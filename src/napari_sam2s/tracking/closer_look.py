"""A closer look at what is small: the part of the frame around it, brought to the size of the network's input.

An object of a twentieth of the frame has one or two cells of the built-in model's coarse maps. Seen three times as near it has
three times as many, and the answer is drawn finer, too. A box says where to look; clicks do not say how large the object is, so
they are answered on the whole frame first, and that answer is shown to the network again from near. (Of a
single click it is not: of what the click may mean from near, the most similar to that answer is taken.) This is the zooming in
of Sofiiuk et al., "Reviving Iterative Training with Mask Guidance for Interactive Segmentation", arXiv 2102.06583. What it
brings: ``benchmarks/first_prompts.py``, with and without ``--whole-frame``.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.masklets.types import Prompt
from napari_sam2s.tracking.crop_window import Window, window_at
from napari_sam2s.tracking.upsampling import MaskUpsampler

TIMES = 3.0  # that the window's side is of the box's longer one
LEAST = 1 / 12  # of the frame's longer side: what is seen larger yet is only more blurred


def closer_window(prompt: Prompt, answer: Tensor | None, size: tuple[int, int]) -> Window | None:
    """Return the window of a frame ``(Y, X)`` in which a prompt is better answered; ``None`` if that is the whole frame.

    Parameters
    ----------
    prompt
        Points and a box.
    answer
        Where there is no box, logits ``(side, side)`` of what was answered on the whole frame.
    size
        Of the frame.
    """
    if prompt.box is not None:
        y0, x0, y1, x1 = prompt.box
    elif answer is not None and bool((answer > 0).any()):
        y0, y1, x0, x1 = (*_reach(answer, 1, size[0]), *_reach(answer, 0, size[1]))
        y0, y1 = min((y0, *(y for y, _ in prompt.points))), max((y1, *(y + 1 for y, _ in prompt.points)))
        x0, x1 = min((x0, *(x for _, x in prompt.points))), max((x1, *(x + 1 for _, x in prompt.points)))
    else:
        return None
    side = TIMES * max(y1 - y0, x1 - x0)
    if side >= min(size):
        return None
    window = window_at(((y0 + y1) / 2, (x0 + x1) / 2), max(side, LEAST * max(size)), size)
    return window if all(map(window.has, prompt.points)) else None


def _reach(answer: Tensor, dim: int, length: int) -> tuple[float, float]:
    """Return from where to where, in pixels of a side ``length``, logits ``(side, side)`` are above zero."""
    cells = (answer > 0).any(dim=dim).nonzero()[:, 0]
    return float(cells[0]) * length / len(answer), float(cells[-1] + 1) * length / len(answer)


def look_closer(pixels: NDArray[np.uint8], window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the part of a squashed frame ``(S, S, 3)`` that shows a window of the frame ``(Y, X)``, at ``(S, S, 3)``."""
    frame = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    return _cut(frame, window, size, len(pixels))[0].permute(1, 2, 0).round().clamp(0, 255).byte().contiguous().numpy()


def closer_logits(logits: Tensor, window: Window, size: tuple[int, int]) -> Tensor:
    """Return what logits ``(1, 1, side, side)`` of the frame ``(Y, X)`` say of a window of it, of the same shape."""
    return _cut(logits, window, size, logits.shape[-1])


def most_alike(answers: Tensor, answer: Tensor) -> int:
    """Return which of the answers ``(N, h, w)``, as logits, has the highest IoU with another ``(side, side)``."""
    small = F.interpolate(answers[None].float(), size=answer.shape, mode="bilinear", align_corners=False, antialias=True)[0] > 0
    known = answer > 0
    return int(((small & known).sum(dim=(1, 2)) / (small | known).sum(dim=(1, 2)).clamp(min=1)).argmax())


def place(logits: Tensor, window: Window, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask ``(Y, X)`` of the frame that logits ``(side, side)`` of a window say."""
    mask = np.zeros(size, dtype=bool)
    mask[window.rows, window.columns] = MaskUpsampler((window.height, window.width))(logits)
    return mask


def _cut(maps: Tensor, window: Window, size: tuple[int, int], side: int) -> Tensor:
    """Resample maps ``(1, C, h, w)`` of the frame to ``(1, C, side, side)`` of a window, bilinearly."""
    height, width = window.height / size[0], window.width / size[1]  # of the frame
    y, x = (window.y0 / size[0] + height / 2) * 2 - 1, (window.x0 / size[1] + width / 2) * 2 - 1
    theta = torch.tensor([[[width, 0.0, x], [0.0, height, y]]], dtype=maps.dtype, device=maps.device)
    grid = F.affine_grid(theta, [1, maps.shape[1], side, side], align_corners=False)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
