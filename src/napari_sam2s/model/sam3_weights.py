"""SAM 3's checkpoints: the official file, and the same in the names of transformers; of both the tracker is taken.

Both hold the tracker, the image encoder that it shares with the detector, and the detector, which is left out. The trunk's
queries and keys are brought into the order in which they are turned by their places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.position import pairs_apart
from napari_sam2s.model.transformers_names import TRACKER_NAMES, Rename, renamed, unpacked

TRUNK, NECK = "image_encoder.trunk.", "image_encoder.neck.convs."
_LEFT_OUT = ("detector.", "detector_model.", f"{NECK}3.")  # the detector, and a level that the tracker does not read
_TABLE = "detector.backbone.vision_backbone.trunk.blocks.{}.attn.freqs_cis"  # rotations of a block's cells
_FROM_OFFICIAL: tuple[Rename, ...] = (
    (r"^detector\.backbone\.vision_backbone\.trunk\.", TRUNK),
    (r"^detector\.backbone\.vision_backbone\.sam2_convs\.", NECK),
    (r"^tracker\.transformer\.encoder\.", "memory_attention."),
    (r"^tracker\.maskmem_backbone\.", "memory_encoder."),
    (r"^tracker\.", ""),
    (r"^(sam_mask_decoder\.transformer\.layers\.\d\.mlp)\.lin(\d)", lambda m: f"{m[1]}.layers.{int(m[2]) - 1}"),
)
_STEPS = {("0", "0"): "dconv_2x2_0", ("0", "2"): "dconv_2x2_1", ("1", "0"): "dconv_2x2"}  # by level and place
_FROM_TRANSFORMERS: tuple[Rename, ...] = (
    (r"^(detector_model\.)?vision_encoder\.backbone\.", TRUNK),
    (r"^(tracker_neck|vision_encoder\.neck)\.fpn_layers\.", NECK),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"^(image_encoder\.trunk)\.layer_norm\.", r"\1.ln_pre."),
    (r"^(image_encoder\.trunk)\.layers\.", r"\1.blocks."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.", ".attn."),
    (r"^(image_encoder\.neck\.convs)\.(\d)\.scale_layers\.(\d)", lambda m: f"{m[1]}.{m[2]}.{_STEPS.get((m[2], m[3]), m[3])}"),
    (r"^(image_encoder\.neck\.convs\.\d)\.proj1", r"\1.conv_1x1"),
    (r"^(image_encoder\.neck\.convs\.\d)\.proj2", r"\1.conv_3x3"),
    (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
    (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
    *TRACKER_NAMES,
)


def is_sam3(weights: Iterable[str]) -> bool:
    """Whether a checkpoint with these names is SAM 3's, in the official names or those of transformers."""
    starts = ("detector.backbone.vision_backbone.", "detector_model.", "tracker_model.", "tracker_neck.")
    return any(name.startswith((*starts, "vision_encoder.neck.fpn_layers.")) for name in weights)


def has_tracker(weights: Iterable[str]) -> bool:
    """Whether SAM 3's checkpoint holds more than the detector."""
    return any(name.startswith(("tracker.", "tracker_model.", "memory_attention.")) for name in weights)


def is_own(weights: Iterable[str]) -> bool:
    """Whether weights are the network's own already, as :func:`own_weights` gives them."""
    return any(name.startswith(TRUNK) for name in weights)


def trained_size(weights: Mapping[str, Tensor], config: ModelConfig) -> int | None:
    """Return the side of the input that an official file was made for, told by its table of rotations; ``None`` without."""
    tables = [weights[name] for n in config.trunk.global_blocks if (name := _TABLE.format(n)) in weights]
    side = math.isqrt(len(tables[0])) if tables and tables[0].ndim else 0
    return side * config.trunk.stride or None


def own_weights(weights: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
    """Return a checkpoint's weights by the names of the network, without what belongs to the detector alone.

    Parameters
    ----------
    weights
        By the official names, or those of transformers.
    heads
        Of the trunk's attention.
    """
    found: dict[str, Tensor] = {}
    if any(name.startswith(("detector.", "tracker.")) for name in weights):
        for name, weight in weights.items():
            new = renamed(name, _FROM_OFFICIAL)
            if not new.startswith(_LEFT_OUT) and not new.endswith(".freqs_cis"):
                found[new] = weight
    else:
        plain = {name.removeprefix("tracker_model."): weight for name, weight in weights.items()}
        for name, weight in unpacked(plain).items():
            new = renamed(name, _FROM_TRANSFORMERS)
            if not new.startswith(_LEFT_OUT):
                found[new] = weight
        _join(found)
    place = found.get(f"{TRUNK}pos_embed")
    if place is not None and place.ndim == 3 and math.isqrt(place.shape[1] - 1) ** 2 == place.shape[1] - 1:
        found[f"{TRUNK}pos_embed"] = place[:, 1:]  # the first one is of a token that only pretraining had
    for name in [n for n in found if n.startswith(f"{TRUNK}blocks.") and ".attn.qkv." in n]:
        found[name] = _in_order(found[name], heads)
    return found


def _in_order(weight: Tensor, heads: int) -> Tensor:
    """Bring the outputs for queries and keys into the order in which they are turned; others, and values, stay."""
    rows = len(weight)
    if rows % (6 * heads):
        return weight  # of a shape that does not fit, which is told elsewhere
    parts = weight.unflatten(0, (3, heads, -1))
    order = pairs_apart(rows // (3 * heads), weight.device)
    return torch.cat((parts[:2, :, order], parts[2:])).flatten(0, 2)


def _join(found: dict[str, Tensor]) -> None:
    """Put queries, keys and values of the trunk together, where all of them are there."""
    for name in [n for n in found if n.startswith(f"{TRUNK}blocks.") and ".attn.q_proj." in n]:
        parts = [name.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if all(part in found for part in parts) and len({found[part].shape for part in parts}) == 1:
            found[name.replace(".q_proj.", ".qkv.")] = torch.cat([found.pop(part) for part in parts])
