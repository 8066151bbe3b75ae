"""Parameter groups and learning rates: what decays, and how fast each part learns."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.training_config import Stage, TrainingConfig

NEW_PARTS = ("semantic.", "long_tpos_enc")  # what SAM2S adds to SAM 2
PRETRAINED = ("image_encoder.trunk.lite.", "interactive.deep.")  # what others have trained
_BLOCK = re.compile(r"image_encoder\.trunk\.blocks\.(\d+)\.")


def make_optimizer(model: SAM2S, config: TrainingConfig) -> torch.optim.AdamW:
    """Return AdamW over groups that know their factor of the stage's learning rate.

    Biases, norms and embeddings are not decayed. The image encoder has its own rate; in its trunk each block learns
    ``layer_decay`` times as fast as the one after it, as in SAM 2's fine-tuning (Hiera; the trunk of ``sam2s-nano`` has no
    numbered blocks, and is one layer). A pretrained trunk beside it learns ``trunk_rate`` times as fast.
    """
    numbers = [int(m[1]) for name, _ in model.named_parameters() if (m := _BLOCK.match(name))]
    depth = max(numbers, default=-1) + 1
    groups: dict[tuple[bool, float, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        encoder = name.startswith("image_encoder.")
        decayed = parameter.ndim >= 2 and not any(part in name for part in ("embed", "token", "tpos"))
        factor = config.new_rate if name.startswith(NEW_PARTS) else _layer_factor(name, depth, config.layer_decay)
        factor *= config.trunk_rate if name.startswith(PRETRAINED) else 1.0
        groups.setdefault((encoder, factor, decayed), []).append(parameter)
    settings: list[dict[str, Any]] = [
        {"params": p, "encoder": encoder, "factor": factor, "weight_decay": config.weight_decay if decayed else 0.0}
        for (encoder, factor, decayed), p in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=1.0, betas=(0.9, 0.98), fused=model.device.type == "cuda")


def _layer_factor(name: str, depth: int, decay: float) -> float:
    if not name.startswith("image_encoder.trunk."):
        return 1.0
    block = _BLOCK.match(name)
    layer = int(block[1]) + 1 if block else 0  # patches and positions come before the first block
    return float(decay ** (depth + 1 - layer)) if depth else decay


def set_rates(optimizer: torch.optim.Optimizer, config: TrainingConfig, stage: Stage, within: int) -> None:
    """Warm up at the start of a stage, then fall to a tenth along a cosine."""
    warmup = min(1.0, (within + 1) / max(config.warmup_steps, 1))
    cosine = 0.1 + 0.45 * (1 + math.cos(math.pi * within / stage.steps))
    for group in optimizer.param_groups:
        factor = group["factor"] * (stage.encoder_rate if group["encoder"] else 1.0)
        group["lr"] = stage.learning_rate * warmup * cosine * factor
