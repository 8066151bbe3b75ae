"""The losses of the paper's Eq. 1: ``20 ARL + dice + IoU + occlusion + 0.1 TSL``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ARL_SIGMA, ARL_KERNEL = 1.0, 5  # pixels of the network's input
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0  # SAM 2's
Step = tuple[dict[str, Tensor], int]  # losses of one answer, and over how many objects they are averaged


@dataclass(frozen=True)
class LossWeights:
    """Weights of Eq. 1."""

    arl: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    occlusion: float = 1.0
    tsl: float = 0.1


def soften(masks: Tensor) -> Tensor:
    """Blur hard masks ``(N, 1, H, W)`` with the paper's 5 x 5 Gaussian of sigma 1 (ARL, Eq. 4).

    The kernel sums to one (truncated as printed it sums to 0.982, which would leave the inside of every mask below 1), and
    the border is replicated.
    """
    reach = ARL_KERNEL // 2
    offsets = torch.arange(-reach, reach + 1, dtype=masks.dtype, device=masks.device)
    taps = torch.exp(-(offsets**2) / (2 * ARL_SIGMA**2))
    taps = taps / taps.sum()
    padded = F.pad(masks, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))


def focal_loss(logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the sigmoid focal loss of ``(N, M, H, W)`` against targets in [0, 1], averaged over pixels: ``(N, M)``.

    ``counted (N, 1, H, W)`` says which pixels count; by default all.
    """
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    agreement = probability * targets + (1 - probability) * (1 - targets)
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    losses = (alpha * entropy * (1 - agreement) ** FOCAL_GAMMA).flatten(2)
    if counted is None:
        return losses.mean(dim=2)
    weights = counted.flatten(2)
    return (losses * weights).sum(dim=2) / weights.sum(dim=2).clamp(min=1)


def dice_loss(logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the dice loss of ``(N, M, H, W)``, ``(N, M)``; ``counted`` as of :func:`focal_loss`."""
    probability, targets = logits.sigmoid().flatten(2), targets.flatten(2)
    if counted is not None:
        probability, targets = probability * counted.flatten(2), targets * counted.flatten(2)
    overlap = (probability * targets).sum(-1)
    return 1 - (2 * overlap + 1) / (probability.sum(-1) + targets.sum(-1) + 1)


def true_iou(logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the IoU of masks cut at 0 with hard targets ``(N, 1, H, W)``, ``(N, M)``; ``counted`` as of :func:`focal_loss`.

    Of targets that were reduced in size a pixel counts that is covered by more than half, or by anything if none is: thin
    objects.
    """
    masks, truth = (logits > 0).flatten(2), (targets > 0.5).flatten(2)
    truth = truth | ((targets > 0).flatten(2) & ~truth.any(dim=2, keepdim=True))
    if counted is not None:
        masks, truth = masks & counted.flatten(2), truth & counted.flatten(2)
    union = (masks | truth).sum(-1)
    return (masks & truth).sum(-1) / union.clamp(min=1)


def mask_losses(
    logits: Tensor,
    iou: Tensor,
    score: Tensor,
    hard: Tensor,
    soft: Tensor,
    weights: LossWeights,
    *,
    visible: Tensor | None = None,
    counted: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the losses of ``N`` objects on one frame, each averaged over the objects.

    Parameters
    ----------
    logits, iou
        Every mask of the decoder's answer, ``(N, M, h, w)`` and ``(N, M)``; of several only the best (lowest focal + dice)
        is taught its shape, while all are taught their IoU.
    score
        Object score logits ``(N,)``.
    hard, soft
        Masks ``(N, 1, H, W)`` without and with ARL's blur. The blurred one goes to the focal term only: elsewhere it would
        make the object larger by two pixels.
    visible
        Which objects are to be seen, ``(N,)`` bool; by default those of whose hard mask a pixel is above 0.5. It is to be
        given with masks that were reduced in size, in which thin objects cover half of no pixel.
    counted
        Pixels that are labelled, ``(N, 1, H, W)`` bool; by default all. What lies outside teaches nothing.
    """
    size = hard.shape[-2:]
    logits = F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
    seen = (hard.flatten(1).gt(0.5).any(dim=1) if visible is None else visible).float()
    hard, soft = hard.expand_as(logits), soft.expand_as(logits)
    focal, dice = focal_loss(logits, soft, counted), dice_loss(logits, hard, counted)
    with torch.no_grad():
        # The choice is made with hard masks, so that ARL changes what is learned and not which mask learns it.
        cost = weights.arl * focal_loss(logits, hard, counted) + weights.dice * dice
        best = cost.argmin(dim=1, keepdim=True)
        target_iou = true_iou(logits, hard, counted)
    wrong_iou = (iou - target_iou).abs().mean(dim=1)
    return {
        "arl": (focal.gather(1, best)[:, 0] * seen).mean(),
        "dice": (dice.gather(1, best)[:, 0] * seen).mean(),
        "iou": (wrong_iou * seen).mean(),
        "occlusion": F.binary_cross_entropy_with_logits(score.float(), seen),
    }


def tsl_loss(class_logits: Tensor, classes: Tensor, visible: Tensor) -> Tensor:
    """Return the contrastive loss of Eq. 3 over the objects that are visible and whose class is known.

    Parameters
    ----------
    class_logits
        ``(N, K)``, already scaled.
    classes
        ``(N,)`` int64; -1 for no known class (tissue, generic tools).
    visible
        ``(N,)`` bool.
    """
    counted = visible & (classes >= 0)
    if not counted.any():
        return class_logits.sum() * 0
    return F.cross_entropy(class_logits[counted], classes[counted])


def total(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Return Eq. 1."""
    return torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()


def mean_losses(steps: list[Step]) -> dict[str, Tensor]:
    """Average losses over the frames of a clip, each object that is known on one counting once."""
    taken = [(losses, n) for losses, n in steps if n]
    names = taken[0][0]
    values = {name: torch.stack([losses[name] for losses, _ in taken]) for name in names}
    counts = [n for _, n in taken]
    if len(set(counts)) == 1:
        return {name: v.mean() for name, v in values.items()}
    shares = torch.tensor(counts, device=values["dice"].device) / sum(counts)
    return {name: (v * shares).sum() for name, v in values.items()}
