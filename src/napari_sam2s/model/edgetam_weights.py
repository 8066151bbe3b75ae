"""EdgeTAM's checkpoints: the official file, and the same in the names of transformers; both become the network's own weights.

The names of transformers are changed to the official ones first. Then everything is checked by name and shape, and only what
is whole goes on: batch norms and branches of the trunk are folded (:func:`napari_sam2s.model.repvit.fold`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from napari_sam2s.model.repvit import branches, fold
from napari_sam2s.model.transformers_names import TRACKER_NAMES, Rename, renamed, unpacked

TRUNK = "image_encoder.trunk.body."
NORM = ("weight", "bias", "running_mean", "running_var")
_COUNTED = ".num_batches_tracked"  # of a batch norm, which training counts
_NAMES: tuple[Rename, ...] = (  # from transformers to official
    (r"^vision_encoder\.backbone\.timm_model\.", TRUNK),
    (r"^vision_encoder\.neck\.convs\.(\d)\.", r"image_encoder.neck.convs.\1.conv."),
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
    *TRACKER_NAMES,
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
    kept = {name: weight for name, weight in weights.items() if not name.endswith(_COUNTED)}
    found = {renamed(name, _NAMES): weight for name, weight in unpacked(kept).items()}
    for name in [n for n in found if n.startswith("spatial_perceiver.") and n.endswith(".to_k.weight")]:
        values = name.replace(".to_k.", ".to_v.")
        if values in found and found[values].shape == found[name].shape:
            found[name.replace(".to_k.", ".to_kv.")] = torch.cat((found.pop(name), found.pop(values)))
    return found


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
