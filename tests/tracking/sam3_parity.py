"""SAM 3's tracker of transformers and ours on the same seeded weights, clip and prompts.

``python tests/tracking/sam3_parity.py`` prints the differences and writes the golden file that the normal suite compares with.
It needs ``transformers``. The network is a small one: four layers, two of them with windows, 12 x 12 cells in 3 x 3 windows.
The clip, the prompts and what is compared are those of ``parity.py``.

What is set right in transformers is what ``edgetam_parity.py`` says, and two things more, as in the official package ``sam3``
0.1.4: a mask is brought to the memory encoder's size after it was squashed to 0 to 1, not before; and the norms of the trunk
add 1e-5, not 1e-6.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from napari_sam2s.model.frames import MINUS_ONE_TO_ONE, resize_frame
from napari_sam2s.model.network_config import SAM3
from napari_sam2s.model.sam3 import Sam3Tracker
from napari_sam2s.model.sam3_weights import own_weights
from napari_sam2s.model.vit import EPS

_spec = importlib.util.spec_from_file_location("edgetam_parity", Path(__file__).with_name("edgetam_parity.py"))
edgetam_parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(edgetam_parity)
parity = edgetam_parity.parity

CONFIG = replace(
    SAM3,
    trunk=replace(
        SAM3.trunk,
        embed_dim=64,
        num_heads=2,
        stages=(4,),
        global_blocks=(1, 3),
        window_spec=(4,),
        background_size=(4, 4),
        mlp_width=96,
    ),
    image_size=168,
    hidden_dim=128,
    attention_layers=2,
    attention_feedforward=128,
    decoder_heads=4,
    decoder_feedforward=128,
)
SIDE = CONFIG.image_size
SMALL_CLIP = parity.make_video
FEW = ("three objects", "backward", "second prompt of two clicks")  # that the normal suite runs


def own_names(names):
    """Return a checkpoint's official names by ours."""
    found = {}
    for name in names:
        if name.startswith("image_encoder."):
            new = name.replace("image_encoder.trunk.", "trunk.").replace("image_encoder.neck.convs.", "sam2_convs.")
            found[name] = f"detector.backbone.vision_backbone.{new}"
        else:
            new = name.replace("memory_attention.", "transformer.encoder.").replace("memory_encoder.", "maskmem_backbone.")
            new = re.sub(r"(transformer\.layers\.\d\.mlp)\.layers\.(\d)", lambda m: f"{m[1]}.lin{int(m[2]) + 1}", new)
            found[name] = f"tracker.{new}"
    return found


@functools.lru_cache(maxsize=1)
def seeded_weights():
    """Return the weights of an official checkpoint."""
    model = Sam3Tracker(CONFIG)
    weights = parity.seeded_weights({name: tuple(weight.shape) for name, weight in model.state_dict().items()})
    place = "image_encoder.trunk.pos_embed"
    weights[place] = torch.cat((torch.zeros(1, 1, CONFIG.trunk.embed_dim), 8 * weights[place]), dim=1)
    names = own_names(weights)
    return {names[name]: weight for name, weight in weights.items()}


@functools.lru_cache(maxsize=1)
def our_model():
    """Return our network with the seeded weights."""
    model = Sam3Tracker(CONFIG)
    model.load_state_dict(own_weights(seeded_weights(), CONFIG.trunk.num_heads))
    return model.eval()


def renamed(weights, like, heads):
    """Return official weights in the names, shapes and order of transformers, by following every number there and back."""
    numbers, start = {}, 0
    for name, weight in like.items():
        numbers[name] = torch.arange(start, start + weight.numel(), dtype=torch.float64).view(weight.shape)
        start += weight.numel()
    flat = torch.zeros(start)
    numbers["shared_image_embedding.positional_embedding"] = numbers["prompt_encoder.shared_embedding.positional_embedding"]
    ours = own_weights(weights, heads)
    for name, places in own_weights(numbers, heads).items():
        flat[places.flatten().long()] = ours[name].flatten()
    return {name: flat[places.flatten().long()].view(places.shape).to(like[name].dtype) for name, places in numbers.items()}


@functools.lru_cache(maxsize=1)
def oracle():
    """Return the model of transformers with the seeded weights."""
    from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel, Sam3VisionConfig, Sam3ViTConfig

    trunk, c = CONFIG.trunk, CONFIG.hidden_dim
    backbone = Sam3ViTConfig(
        hidden_size=trunk.embed_dim,
        intermediate_size=trunk.mlp_width,
        num_hidden_layers=sum(trunk.stages),
        num_attention_heads=trunk.num_heads,
        image_size=SIDE,
        layer_norm_eps=EPS,
        window_size=trunk.window_spec[0],
        global_attn_indexes=list(trunk.global_blocks),
        pretrain_image_size=trunk.background_size[0] * trunk.stride,
    )
    settings = Sam3TrackerVideoConfig(
        vision_config=Sam3VisionConfig(backbone_config=backbone, fpn_hidden_size=c),
        prompt_encoder_config={"hidden_size": c},
        mask_decoder_config={
            "hidden_size": c,
            "mlp_dim": CONFIG.decoder_feedforward,
            "num_attention_heads": CONFIG.decoder_heads,
            "iou_head_hidden_dim": c,
        },
        memory_attention_hidden_size=c,
        memory_attention_num_layers=CONFIG.attention_layers,
        memory_attention_feed_forward_hidden_size=CONFIG.attention_feedforward,
        memory_encoder_hidden_size=c,
        mask_downsampler_embed_dim=c,
        memory_fuser_embed_dim=c,
        memory_fuser_intermediate_dim=4 * c,
        image_size=SIDE,
    )
    model = Sam3TrackerVideoModel(settings).eval()
    model.load_state_dict(renamed(seeded_weights(), model.state_dict(), trunk.num_heads))
    return model


class Oracle(edgetam_parity.Oracle):
    """The sessions of EdgeTAM, with the masks of SAM 3."""

    def __init__(self, video):
        from transformers import Sam3TrackerVideoInferenceSession

        super().__init__(oracle(), Sam3TrackerVideoInferenceSession, video, MINUS_ONE_TO_ONE)
        self.model._encode_new_memory = self._remember

    def _take(self, features, skips, mask):
        """Take a mask as the answer; the pointer comes from it at the size that memories take."""
        mask = (_resized(mask.float(), CONFIG.mask_size) >= 0.5).float()
        low = _resized(20 * mask - 10, 4 * CONFIG.grid)
        given = self.model.mask_downsample(mask)
        pointer = self._decode(input_masks=given, image_embeddings=[*skips, features]).object_pointer
        self._iou = 1.0
        return SimpleNamespace(
            pred_masks=low,
            high_res_masks=F.interpolate(low, size=(SIDE, SIDE), mode="bilinear", align_corners=False),
            object_pointer=pointer,
            object_score_logits=torch.full((1, 1, 1), 10.0),
        )

    def _remember(self, current_vision_feats, pred_masks_high_res, object_score_logits, is_mask_from_pts):
        """Remember as transformers does, but for the order of two steps; and in float32."""
        model, grid = self.model, CONFIG.grid
        seen = current_vision_feats.permute(1, 2, 0).unflatten(2, (grid, grid))
        mask = (pred_masks_high_res > 0).float() if is_mask_from_pts else pred_masks_high_res.sigmoid()
        memory, place = model.memory_encoder(seen, _resized(20 * mask - 10, CONFIG.mask_size))
        absent = (object_score_logits <= 0).float()[..., None]
        memory = memory + absent * model.occlusion_spatial_embedding_parameter[..., None, None]
        return memory.flatten(2).permute(2, 0, 1), place.flatten(2).permute(2, 0, 1)


def _resized(mask, size):
    return F.interpolate(mask, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def _clip(_=None):
    return np.stack([resize_frame(frame, SIDE) for frame in SMALL_CLIP()])


def _on_clip(how, _):
    """Return a prompt of the clip of 128 pixels on this one: where it was, and a mask with nothing beyond its sides."""
    return {kind: np.pad(value, (0, SIDE - parity.SIZE)) if kind == "mask" else value for kind, value in how.items()}


def on_clip():
    """Make ``parity.py`` use the clip of this size."""
    return mock.patch.multiple(parity, make_video=_clip, scaled=_on_clip)


def run_ours(scenario):
    """Return what :func:`parity.run_ours` does."""
    with on_clip(), parity.float_memories():
        return parity.run_ours(our_model(), scenario, SIDE)


def run_oracle(scenario):
    """Return the same of transformers."""
    with on_clip():
        return edgetam_parity.follow(Oracle(_clip()), scenario)


def main():
    """Print the table; write the golden file."""
    print("| scenario | logits | predicted IoU | object score |\n|---|---|---|---|")
    kept = {}
    for scenario in parity.SCENARIOS:
        theirs = run_oracle(scenario)
        found = parity.differences(run_ours(scenario), theirs)
        print(f"| {scenario} | " + " | ".join(f"{value:.1e}" for value in found) + " |", flush=True)
        if scenario in FEW:
            kept |= {f"{scenario}/{field}": value for field, value in parity.sample(theirs).items()}
    np.savez_compressed(parity.GOLDEN / "sam3.npz", **kept)


if __name__ == "__main__":
    main()
