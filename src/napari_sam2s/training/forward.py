"""A batch of clips through the network, frame by frame, with every role explicit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.frames import scale
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.stages import LONG_TERM, Attended, Decoded, Features, Memories
from napari_sam2s.training.clip_sampling import Batch, Role
from napari_sam2s.training.losses import LossWeights, Step, mask_losses, mean_losses, tsl_loss
from napari_sam2s.training.prompt_sampling import PromptBatch, add_corrections, sample_prompts
from napari_sam2s.training.targets import Targets, known_rows, make_targets

SHORT_TERM = 6
POINTER_SPAN = 15.0  # frames: the longest distance of pointers in use at inference, whose unit it is


@dataclass
class Remembered:
    """What the objects of a batch remember of one frame."""

    role: Role
    index: int  # in the sequence
    map: Tensor  # (N, D, g, g)
    pointer: Tensor  # (N, C)
    keys: Tensor | None  # (N, K, 2g, 2g)
    patches: Tensor | None  # (N, 4, 2g, 2g)


@dataclass
class ClipOutput:
    """What a training step needs of one pass."""

    losses: dict[str, Tensor]
    iou: float  # of the chosen masks with the truth, over visible objects after frame 0
    answers: list[Tensor] = field(default_factory=list)  # (N, 1, 4g, 4g) logits of each frame


def recall(
    remembered: list[Remembered], index: int, condition_distance: float, clip_of: tuple[int, ...] | None = None
) -> Memories:
    """Return what a frame of a clip may see: the condition, the long-term frames, the six frames before it.

    Long frames never count as "the frames before", whatever their place in the clip, and give no pointers; distances are
    counted along the sequence. ``clip_of`` tells which objects are of one clip.
    """
    seen, slots, pointers, distances = [], [], [], []
    short = [r for r in remembered if r.role is Role.SHORT][-SHORT_TERM:]
    for r in remembered:
        if r.role is Role.CONDITION:
            seen.append(r)
            slots.append(SHORT_TERM)
            pointers.append(r.pointer)
            distances.append(condition_distance)
        elif r.role is Role.LONG:
            seen.append(r)
            slots.append(LONG_TERM)
    for r in short:
        seen.append(r)
        slots.append(index - r.index - 1)
        pointers.append(r.pointer)
        distances.append(float(index - r.index))
    n, device = len(seen[0].map), seen[0].map.device
    keys, patches = [r.keys for r in seen if r.keys is not None], [r.patches for r in seen if r.patches is not None]
    return Memories(
        maps=torch.stack([r.map for r in seen], dim=1),
        slots=torch.tensor(slots, device=device).expand(n, -1),
        pointers=torch.stack(pointers, dim=1),
        distances=torch.tensor(distances, device=device).expand(n, -1) / POINTER_SPAN,
        keys=torch.stack(keys, dim=1) if keys else None,
        patches=torch.stack(patches, dim=1) if patches else None,
        alike=None if clip_of is None else (clip_of, clip_of),
    )


class ClipForward(nn.Module):
    """Runs batches through a model and adds up the losses: a module, so that it can be shared out over devices.

    Parameters
    ----------
    model
        In training mode.
    weights
        Of the losses.
    corrections
        Clicks that correct the answer on the first frame, one after the other, each with its own loss.
    later_corrections
        Share of the clips on one of whose later frames a click corrects what was tracked, on every object that is wrong there.
    loss_stride
        The losses are taken on masks reduced by this factor: exact at 1, cheaper above.
    arl
        Whether the focal term has blurred targets (ARL), or hard ones (SAM 2).
    """

    def __init__(
        self,
        model: SAM2S,
        weights: LossWeights,
        *,
        corrections: int = 1,
        later_corrections: float = 0.0,
        loss_stride: int = 1,
        arl: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.corrections = corrections
        self.later_corrections = later_corrections
        self.loss_stride = loss_stride
        self.arl = arl
        learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._head_alone = bool(learning) and all(name.startswith("interactive.") for name in learning)

    def forward(self, batch: Batch, rng: np.random.Generator, *, mask_share: float = 0.5) -> ClipOutput:
        """Run a batch; ``rng`` draws the prompts."""
        # Before the batch goes to the device, which would have to be waited for.
        clip_of, rows = tuple(batch.clip_of.tolist()), known_rows(batch)
        batch = batch.to(self.model.device)
        features, interactive = self._encode(batch)
        remembered: list[Remembered] = []
        steps: list[Step] = []
        output = ClipOutput({}, 0.0)
        ious: list[Tensor] = []
        # Inference meets the conditioning frame at any distance, so training does too.
        far = float(np.exp(rng.uniform(0, np.log(2000)))) if rng.random() < 0.5 else 0.0
        corrected = int(rng.integers(1, len(batch.roles))) if self._corrects_later(batch, rng) else 0
        short_index = 0
        for t, role in enumerate(batch.roles):
            known = rows[t]
            known = None if known is None else known.to(batch.masks.device)
            targets = make_targets(batch, t, known, stride=self.loss_stride, arl=self.arl)
            if t == 0:
                first = features[0] if features else None
                decoded, first_losses = self._prompted(first, interactive, targets, rng, mask_share)
                steps += first_losses
            else:
                memories = recall(remembered, short_index, far + short_index, clip_of)
                attended = self.model.attend(features[t], memories)
                decoded = self.model.decode(attended, multimask=True)
                steps.append(self._losses(decoded, targets))
                ious.append(self._iou(decoded, targets))
                if t == corrected:
                    decoded = self._correct(attended, decoded, targets)
                    steps.append(self._losses(decoded, targets))
            output.answers.append(decoded.logits.detach())
            if t + 1 < len(batch.roles):
                logits = self._memory_logits(decoded)
                maps = self.model.memorize(features[t], logits, decoded.object_score, prompted=t in (0, corrected))
                patches = self.model.patches(logits)
                remembered.append(Remembered(role, short_index, maps, decoded.pointer, features[t].keys, patches))
            if role is not Role.LONG:
                short_index += 1
        output.losses = mean_losses(steps)
        measured = torch.cat(ious) if ious else self._iou(decoded, targets)
        output.iou = float(measured.nanmean())
        return output

    def _corrects_later(self, batch: Batch, rng: np.random.Generator) -> bool:
        return len(batch.roles) > 1 and self.later_corrections > 0 and rng.random() < self.later_corrections

    def _correct(self, attended: Attended, decoded: Decoded, targets: Targets) -> Decoded:
        """Answer a click on each object of a tracked frame, where it is most wrong: the user who looks on."""
        n = len(targets.masks)
        earlier = self._memory_logits(decoded).detach()
        answers = F.interpolate(earlier, size=targets.masks.shape[1:], mode="bilinear")[:, 0] > 0
        nothing = PromptBatch(torch.zeros(n, 0, 2), torch.zeros(n, 0, dtype=torch.long), np.zeros(0, bool))
        clicks = add_corrections(nothing, *targets.seen_by_user(answers.cpu().numpy()))
        points, labels = clicks.points.to(earlier.device), clicks.labels.to(earlier.device)
        return self.model.decode(attended, points=points, labels=labels, mask=earlier, multimask=True)

    def _encode(self, batch: Batch) -> tuple[list[Features], Features | None]:
        """Encode every frame once, then give each object its own clip's features: one :class:`Features` a frame.

        The second is how the interactive head sees the first frame. Where nothing but that head learns, of single pictures,
        the first is empty: nobody would look at it.
        """
        t, b = batch.frames.shape[:2]
        images = scale(batch.frames.flatten(0, 1), self.model.spread)
        interactive = self.model.encode_interactive(images[:b])
        own = None if interactive is None else _rows(interactive, batch.clip_of)
        if self._head_alone and t == 1:
            return [], own
        encoded = self.model.encode(images)
        return [_rows(encoded, i * b + batch.clip_of) for i in range(t)], own

    def _memory_logits(self, decoded: Decoded) -> Tensor:
        """Return the chosen mask's logits, kept finite where the object is not there, so that gradients stay so."""
        return decoded.logits.clamp(-32, 32)

    def _prompted(
        self,
        features: Features | None,
        interactive: Features | None,
        targets: Targets,
        rng: np.random.Generator,
        mask_share: float,
    ) -> tuple[Decoded, list[Step]]:
        truth = targets.truth
        prompts = sample_prompts(rng, truth, mask_share)
        decoded = self._click(features, interactive, prompts, None, multimask=bool(rng.random() < 0.6))
        losses = [self._losses(decoded, targets)]
        for _ in range(self.corrections):
            answers = F.interpolate(decoded.logits.detach(), size=truth.shape[1:], mode="bilinear")[:, 0] > 0
            prompts = add_corrections(prompts, *targets.seen_by_user(answers.cpu().numpy()))
            earlier = decoded.logits.detach().clamp(-32, 32)
            decoded = self._click(features, interactive, prompts, earlier, multimask=False)
            losses.append(self._losses(decoded, targets))
        by_mask = torch.from_numpy(prompts.use_mask).to(targets.whole.device)
        if features is None or not by_mask.any():
            return decoded, losses
        given = self.model.decode_mask(features, targets.whole)
        # The pointer of a mask prompt comes from the decoder, so it learns through the frames that follow.
        pick = by_mask[:, None]
        return Decoded(
            logits=torch.where(pick[..., None, None], given.logits, decoded.logits),
            iou=torch.where(by_mask, given.iou, decoded.iou),
            object_score=torch.where(by_mask, given.object_score, decoded.object_score),
            pointer=torch.where(pick, given.pointer, decoded.pointer),
            class_embedding=decoded.class_embedding,
            all_logits=decoded.all_logits,
            all_iou=decoded.all_iou,
        ), losses

    def _click(
        self,
        features: Features | None,
        interactive: Features | None,
        prompts: PromptBatch,
        earlier: Tensor | None,
        *,
        multimask: bool,
    ) -> Decoded:
        device = self.model.device
        points, labels = prompts.points.to(device), prompts.labels.to(device)
        return self.model.segment(features, interactive, points=points, labels=labels, mask=earlier, multimask=multimask)

    def _losses(self, decoded: Decoded, targets: Targets) -> Step:
        """Return the losses, and over how many objects they are averaged: those that anybody looked for on this frame."""
        n = targets.objects
        if not n:
            return {}, 0
        if targets.rows is not None:
            decoded, targets = _answers_of(decoded, targets.rows), targets.of_known()
        losses = mask_losses(
            decoded.all_logits,
            decoded.all_iou,
            decoded.object_score,
            targets.hard,
            targets.soft,
            self.weights,
            visible=targets.visible,
            counted=targets.counted,
        )
        semantic = self.model.semantic
        if semantic is not None and decoded.class_embedding is not None and len(semantic.class_names):
            losses["tsl"] = tsl_loss(semantic.class_logits(decoded.class_embedding), targets.classes, targets.visible)
        return losses, n

    @staticmethod
    def _iou(decoded: Decoded, targets: Targets) -> Tensor:
        """Return the IoU of each object, nan where it is not visible."""
        size = targets.masks.shape[-2:]
        masks = F.interpolate(decoded.logits.detach(), size=size, mode="bilinear", align_corners=False)[:, 0] > 0
        truth = targets.masks
        if targets.ignored is not None:
            masks, truth = masks & ~targets.ignored, truth & ~targets.ignored
        union = (masks | truth).flatten(1).sum(1)
        iou = (masks & truth).flatten(1).sum(1) / union.clamp(min=1)
        return torch.where(truth.flatten(1).any(dim=1), iou, torch.nan)


def _answers_of(decoded: Decoded, rows: Tensor) -> Decoded:
    """Return what the losses need of some of the objects."""
    embedding = decoded.class_embedding
    return replace(
        decoded,
        all_logits=decoded.all_logits[rows],
        all_iou=decoded.all_iou[rows],
        object_score=decoded.object_score[rows],
        class_embedding=None if embedding is None else embedding[rows],
    )


def _rows(features: Features, rows: Tensor) -> Features:
    keys = None if features.keys is None else features.keys[rows]
    return Features(features.embedding[rows], (features.skips[0][rows], features.skips[1][rows]), keys)
