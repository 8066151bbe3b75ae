"""EdgeTAM's checkpoints: the official file, and the same in the names of transformers; both become the network's own weights.

The names of transformers are changed to the official ones first. Then everything is checked by name and shape, and only what
is whole goes on: batch norms and branches of the trunk are folded (:func:`napari_sam2s.model.repvit.fold`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from napari_sam2s.model.repvit import branches, fold

TRUNK = "image_encoder.trunk.body."
NORM = ("weight", "bias", "running_mean", "running_var")
_COUNTED = ".num_batches_tracked"  # of a batch norm, which training counts
_TWICE = (  # which transformers keeps twice: for prompts, and for the frame's cells
    "prompt_encoder.shared_embedding.positional_embedding",
    "shared_image_embedding.positional_embedding",
)
_LAYERS = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}  # of small networks of three layers
_DOWN = {"conv": 0, "layer_norm": 1}  # places among the three steps of a mask's halving
_Rename = tuple[str, str | Callable[[re.Match[str]], str]]
# From transformers to official, one after the other; what no line is about is called the same.
_NAMES: tuple[_Rename, ...] = (
    (r"^vision_encoder\.backbone\.timm_model\.", TRUNK),
    (r"^vision_encoder\.neck\.convs\.(\d)\.", r"image_encoder.neck.convs.\1.conv."),
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
    (r"^spatial_perceiver\.latents_1d$", "spatial_perceiver.latents"),
    (r"^(spatial_perceiver\.layers\.\d)\.layer_norm_input", r"\1.attn.norm_x"),
    (r"^(spatial_perceiver\.layers\.\d)\.layer_norm_latents", r"\1.attn.norm_latents"),
    (r"^(spatial_perceiver\.layers\.\d)\.layer_norm_self", r"\1.self_attn.norm"),
    (r"^(spatial_perceiver\.layers\.\d)\.cross_attention\.(\w)_proj", r"\1.attn.to_\2"),
    (r"^(spatial_perceiver\.layers\.\d)\.self_attention\.(\w)_proj", r"\1.self_attn.to_\2"),
    (r"(attn\.to)_o\.", r"\1_out."),
    (r"^(spatial_perceiver\.layers\.\d)\.(self_)?mlp\.layer_norm", lambda m: f"{m[1]}.{m[2] or ''}ff.0"),
    (r"^(spatial_perceiver\.layers\.\d)\.(self_)?mlp\.up_proj", lambda m: f"{m[1]}.{m[2] or ''}ff.1"),
    (r"^(spatial_perceiver\.layers\.\d)\.(self_)?mlp\.down_proj", lambda m: f"{m[1]}.{m[2] or ''}ff.3"),
    (r"\.o_proj\.", ".out_proj."),
    (r"\.layer_norm", ".norm"),
)


def is_edgetam(weights: Iterable[str]) -> bool:
    """Whether a checkpoint with these names is EdgeTAM's, in the official names or those of transformers."""
    return any(name.startswith("spatial_perceiver.") for name in weights)


def is_folded(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights are the network's own already, as :func:`folded` gives them."""
    return f"{TRUNK}stem.conv1.weight" in weights


def official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by their official names; those of transformers are renamed, cut and joined."""
    if not any(name.startswith("vision_encoder.") for name in weights):
        return {name: weight for name, weight in weights.items() if not name.endswith(_COUNTED)}
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name.endswith(_COUNTED):
            continue
        if name == _TWICE[1] and _same(weight, weights.get(_TWICE[0])):
            continue
        if name == "prompt_encoder.point_embed.weight":
            found |= {f"sam_prompt_encoder.point_embeddings.{n}.weight": row for n, row in enumerate(weight.split(1))}
            continue
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        found[name] = weight
    for name in [n for n in found if n.startswith("spatial_perceiver.") and n.endswith(".to_k.weight")]:
        values = name.replace(".to_k.", ".to_v.")
        if values in found and found[values].shape == found[name].shape:
            found[name.replace(".to_k.", ".to_kv.")] = torch.cat((found.pop(name), found.pop(values)))
    return found


def _same(weight: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(weight, other)


def unfolded(own: Mapping[str, torch.Size]) -> dict[str, torch.Size]:
    """Return names and shapes of a checkpoint, by those of the network that is made of it."""
    expected: dict[str, torch.Size] = {}
    for name, shape in own.items():
        module, _, kind = name.rpartition(".")
        parts = branches(module) if name.startswith(TRUNK) else []
        if not parts:
            expected[name] = shape
        elif kind == "weight":
            for part in parts:
                expected[f"{part}.c.weight"] = torch.Size((*shape[:2], 1, 1)) if part.endswith("r.conv1") else shape
                expected |= {f"{part}.bn.{of}": shape[:1] for of in NORM}
    return expected


def folded(weights: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """Return the network's weights, by its names, of a checkpoint's that are all there."""
    made: dict[str, Tensor] = {}
    for name in own:
        module, _, kind = name.rpartition(".")
        if not name.startswith(TRUNK) or not branches(module):
            made[name] = weights[name]
        elif kind == "weight":
            made[name], made[f"{module}.bias"] = fold(weights, module)
    return made
