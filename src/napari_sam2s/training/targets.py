"""What the network should answer on one frame of a batch, at the size that people see and at that of the losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.training.clip_sampling import Batch
from napari_sam2s.training.losses import soften


@dataclass(frozen=True)
class Targets:
    """Of ``N`` objects on one frame."""

    masks: Tensor  # (N, S, S) bool
    whole: Tensor  # (N, 1, S, S) the same as numbers
    hard: Tensor  # (N, 1, H, W): what the losses compare with, without ARL's blur
    soft: Tensor  # (N, 1, H, W): and with it
    visible: Tensor  # (N,) bool: of the whole masks, for thin objects vanish in reduced ones
    classes: Tensor  # (N,)
    rows: Tensor | None = None  # numbers of the objects that anybody looked for; None if for all
    ignored: Tensor | None = None  # (N, S, S) bool: pixels that nobody labelled; None if there are none
    counted: Tensor | None = None  # (N, 1, H, W) bool: pixels that the losses count; None if they count all

    @cached_property
    def truth(self) -> NDArray[np.bool_]:
        """The masks, where users look at them; brought there once."""
        return self.masks.cpu().numpy()

    @property
    def objects(self) -> int:
        """Number of objects that teach anything."""
        return len(self.classes if self.rows is None else self.rows)

    def of_known(self) -> Targets:
        """Return what the losses need, of the objects that teach anything."""
        rows = self.rows
        if rows is None:
            return self
        counted = None if self.counted is None else self.counted[rows]
        return replace(
            self,
            hard=self.hard[rows],
            soft=self.soft[rows],
            visible=self.visible[rows],
            classes=self.classes[rows],
            counted=counted,
            rows=None,
        )

    def seen_by_user(self, answers: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return true masks, and answers ``(N, S, S)`` as a user compares them with these: what is unknown is not wrong."""
        truth = self.truth
        if self.ignored is not None:
            answers = np.where(self.ignored.cpu().numpy(), truth, answers)
        if self.rows is not None:
            known = np.isin(np.arange(len(truth)), self.rows.cpu().numpy())
            answers = np.where(known[:, None, None], answers, truth)
        return truth, answers


def make_targets(batch: Batch, t: int, rows: Tensor | None, *, stride: int = 1, arl: bool = True) -> Targets:
    """Make the targets of frame ``t``.

    Parameters
    ----------
    rows
        Numbers of the objects that anybody looked for, see :func:`known_rows`.
    stride
        The losses are taken on masks reduced by this factor.
    arl
        Whether the focal term has blurred targets.
    """
    masks = batch.masks[t]
    whole = masks[:, None].float()
    ignored = counted = None
    if batch.ignored is None:
        soft = soften(whole) if arl else whole
    else:
        ignored = batch.ignored[t][batch.clip_of]
        labelled = (~ignored)[:, None]
        # Blurred as if there were no unlabelled pixels, not as if they were background.
        soft = soften(whole * labelled) / soften(labelled.float()).clamp(min=1e-3) if arl else whole
        # A reduced pixel with an unlabelled part is left out.
        counted = F.max_pool2d(ignored[:, None].float(), stride) == 0 if stride > 1 else labelled
    hard = whole
    if stride > 1:
        hard, soft = F.avg_pool2d(hard, stride), F.avg_pool2d(soft, stride)
    return Targets(masks, whole, hard, soft, masks.flatten(1).any(dim=1), batch.classes, rows, ignored, counted)


def known_rows(batch: Batch) -> list[Tensor | None]:
    """Return for each frame the numbers of the objects that anybody looked for, on the batch's device; ``None`` for all."""
    if batch.known is None:
        return [None] * len(batch.roles)
    return [None if known.all() else known.nonzero()[:, 0] for known in batch.known]
