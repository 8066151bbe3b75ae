"""The names that transformers gives to the parts of SAM 2's family, and the official ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

Rename = tuple[str, str | Callable[[re.Match[str]], str]]

_TWICE = (  # which transformers keeps twice: for prompts, and for the frame's cells
    "prompt_encoder.shared_embedding.positional_embedding",
    "shared_image_embedding.positional_embedding",
)
_LAYERS = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}  # of small networks of three layers
_DOWN = {"conv": 0, "layer_norm": 1}  # places among the three steps of a mask's halving
# From transformers to official, one after the other; what no line is about is called the same. What only one family has is
# renamed before.
TRACKER_NAMES: tuple[Rename, ...] = (
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
    (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
    (r"^no_object_pointer$", "no_obj_ptr"),
    (r"^object_pointer_proj\.(proj_in|layers\.0|proj_out)", lambda m: f"obj_ptr_proj.{_LAYERS[m[1]]}"),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"\.shared_embedding\.positional_embedding$", ".pe_layer.positional_encoding_gaussian_matrix"),
    (r"\.mask_embed\.(conv|layer_norm)(\d)", lambda m: f".mask_downscaling.{3 * int(m[2]) - (3 if m[1] == 'conv' else 2)}"),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"(_heads?|_mlps\.\d)\.(proj_in|layers\.0|proj_out)", lambda m: f"{m[1]}.{_LAYERS[m[2]]}"),
    (r"(transformer\.layers\.\d\.mlp)\.proj_(in|out)", lambda m: f"{m[1]}.layers.{int(m[2] == 'out')}"),
    (r"\.upscale_conv(\d)", lambda m: f".output_upscaling.{3 * int(m[1]) - 3}"),
    (r"\.upscale_layer_norm", ".output_upscaling.1"),
    (r"^(memory_attention\.layers\.\d)\.mlp\.(up|down)_proj", lambda m: f"{m[1]}.linear{1 if m[2] == 'up' else 2}"),
    (
        r"^memory_encoder\.mask_downsampler\.layers\.(\d)\.(conv|layer_norm)",
        lambda m: f"memory_encoder.mask_downsampler.encoder.{3 * int(m[1]) + _DOWN[m[2]]}",
    ),
    (r"^memory_encoder\.mask_downsampler\.final_conv", "memory_encoder.mask_downsampler.encoder.12"),
    (r"^memory_encoder\.feature_projection", "memory_encoder.pix_feat_proj"),
    (r"^memory_encoder\.projection", "memory_encoder.out_proj"),
    (r"^memory_encoder\.memory_fuser", "memory_encoder.fuser"),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"\.pointwise_conv(\d)", r".pwconv\1"),
    (r"\.scale$", ".gamma"),
    (r"\.o_proj\.", ".out_proj."),
    (r"\.layer_norm", ".norm"),
)


def renamed(name: str, renames: Iterable[Rename]) -> str:
    """Return a name after all changes, one after the other."""
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def unpacked(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the names of transformers, without what it keeps twice, and embeddings of points one by one."""
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name == _TWICE[1] and _same(weight, weights.get(_TWICE[0])):
            continue
        if name == "prompt_encoder.point_embed.weight":
            found |= {f"sam_prompt_encoder.point_embeddings.{n}.weight": row for n, row in enumerate(weight.split(1))}
        else:
            found[name] = weight
    return found


def _same(weight: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(weight, other)
