"""Shortcuts: named options that change the result a little for less work. Measured in ``docs/explanation/speed.md``."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor, nn

from napari_sam2s.errors import ModelError
from napari_sam2s.model.network_config import STRIDE, ModelConfig

Mode = Literal["exact", "fast"]
P = ParamSpec("P")
R = TypeVar("R")
N = TypeVar("N", bound="AdjustableNetwork")
FAST_MEMORIES = 4  # of a conditioning frame, two recent ones and a long-term one


@dataclass(frozen=True)
class Speed:
    """What is done with less work; the default is exact.

    Parameters
    ----------
    pooled_memory
        Memories are read at half resolution in the cross-attention (EfficientTAM's idea).
    memories
        At most so many memories are read for a frame: a conditioning one, the latest, and one long-term; ``None`` for all.
    trunk
        Arithmetic of the image encoder's trunk: exact, bfloat16, or linear layers in 8 bits (CPU only).
    attention
        Arithmetic of the memory attention: exact or bfloat16.
    plain_outlines
        Tracked masks keep the outlines that tracking gives them; otherwise the head for first prompts draws them, in a network
        that has Segment Anything's.
    """

    pooled_memory: bool = False
    memories: int | None = None
    trunk: Literal["exact", "bf16", "int8"] = "exact"
    attention: Literal["exact", "bf16"] = "exact"
    plain_outlines: bool = False


EXACT = Speed()


class AdjustableNetwork(Protocol):
    """What is changed or asked of a :class:`SAM2S` by files that it needs itself."""

    speed: Speed
    arithmetic: torch.dtype | None
    image_encoder: Any
    memory_attention: Any
    memory_encoder: Any
    obj_ptr_proj: Any
    sam_mask_decoder: Any

    @property
    def device(self) -> torch.device:
        """Where it computes."""


def in_own_arithmetic(method: Callable[Concatenate[N, P], R]) -> Callable[Concatenate[N, P], R]:
    """Make a method of the network compute in ``model.arithmetic``, as SAM 2's own predictor does in bfloat16.

    The weights stay as they are; what needs float32, such as norms and softmax, keeps it. Without an arithmetic of its own
    the network follows its surroundings, such as the autocast of a training loop.
    """

    @functools.wraps(method)
    def run(model: N, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if model.arithmetic is None:
            return method(model, *args, **kwargs)
        # Weights that were cast are worth keeping for the backward pass only.
        with torch.autocast(model.device.type, dtype=model.arithmetic, cache_enabled=torch.is_grad_enabled()):
            return method(model, *args, **kwargs)

    return run


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device has units for products of bfloat16 matrices: a GPU, or a CPU with AMX (Intel, from 2023 on).

    There bfloat16 is 3 to 7 times as fast as float32. AVX512_BF16 alone gains less than 8 bits do, and a CPU with neither
    is ten times slower than in float32.
    """
    if device.type != "cpu":
        return True
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(torch.backends.mkldnn.is_available() and has_tiles is not None and has_tiles())


def fast_speed(config: ModelConfig, device: torch.device) -> Speed:
    """Return the shortcuts of fast mode for a network on a device.

    Low precision pays only where most of the work is in large products: in all but ``nano``.
    8-bit layers pay on CPUs with and without VNNI. EdgeTAM's memories are small as they are, and its trunk convolves.
    """
    plain = Speed(pooled_memory=not config.latents, memories=FAST_MEMORIES, plain_outlines=config.prompt_side > 0)
    if config.trunk.kind not in ("hiera", "repvit", "vit", "plain_vit"):
        return plain
    if multiplies_bf16(device):
        return replace(plain, trunk="bf16", attention="bf16")
    return replace(plain, trunk="int8") if config.trunk.kind != "repvit" else plain


def fast_image_size(config: ModelConfig) -> int:
    """Return the largest input size, up to the network's own, at which no window of a Hiera is padded.

    At 512 pixels the windows of 14 of tiny, small and base-plus pad the map of 32 to 42: 72 % more tokens. 448 and 896
    have no padding; large has windows of 16 and needs none at 512 and 1024.
    """
    if config.trunk.kind != "hiera":
        return config.image_size
    unit = STRIDE * config.trunk.window_spec[2]
    return max(config.image_size // unit, 1) * unit


def apply_speed(model: AdjustableNetwork, speed: Speed) -> None:
    """Make a network work with these shortcuts; its weights are converted in place, for good.

    Raises :class:`ModelError` if this machine or version of torch cannot do it.
    """
    if speed.trunk == "bf16":
        model.image_encoder.trunk.bfloat16()
    elif speed.trunk == "int8":
        if model.device.type != "cpu":
            raise ModelError(f"8-bit layers run on the CPU only, not on {model.device}: take trunk='bf16'.")
        _quantise(model.image_encoder.trunk)
    if speed.attention == "bf16":
        model.memory_attention.bfloat16()
    model.speed = speed


def round_weights(model: AdjustableNetwork, dtype: torch.dtype) -> None:
    """Store the weights of products in the type that mixed precision rounds them to at every call, in place.

    The results stay the same; a frame needs some hundred small steps less. Norms, embeddings and what is computed from
    weights alone (the neck's folded convolutions) stay in float32.
    """
    parts: list[nn.Module] = [model.image_encoder.trunk, model.memory_attention, model.memory_encoder, model.obj_ptr_proj]
    decoder = model.sam_mask_decoder
    parts += [decoder.transformer, decoder.output_upscaling, decoder.output_hypernetworks_mlps]
    parts += [part for part in (decoder.iou_prediction_head, decoder.pred_obj_score_head) if part is not None]
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                module.to(dtype)


class Int8Linear(nn.Module):
    """A linear layer with weights in 8 bits, one scale a row; its input is rounded to 8 bits as it comes."""

    @torch.inference_mode(False)  # ordinary tensors, wherever it is made
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().clone().float()
        scales = weight.abs().amax(dim=1).clamp(min=1e-8) / 127
        with warnings.catch_warnings():  # torch wants to move its quantised tensors elsewhere some day
            warnings.simplefilter("ignore")
            rounded = torch.quantize_per_channel(
                weight, scales.double(), torch.zeros(len(scales), dtype=torch.long), 0, torch.qint8
            )
        self.register_buffer("bias", linear.bias.detach().float().clone())
        self._packed = torch.ops.quantized.linear_prepack(rounded, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in)`` to ``(..., out)``."""
        # The reduced range keeps sums of 8-bit products from overflowing on processors without VNNI.
        return torch.ops.quantized.linear_dynamic(x.float(), self._packed, True)


def _quantise(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            try:
                setattr(module, name, Int8Linear(child))
            except (AttributeError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[0]
                raise ModelError(f"This torch has no 8-bit layers for this processor ({reason}): take exact mode.") from error
        else:
            _quantise(child)
