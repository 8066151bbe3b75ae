"""The EfficientTAM of its authors and ours on the same seeded weights, clip and prompts.

``python tests/tracking/efficienttam_parity.py FOLDER [SIDE ...]`` prints the differences and writes the golden file that the
normal suite compares with. FOLDER holds the package ``efficient-track-anything`` 1.0 of PyPI, which calls itself ``sam2``:
``pip download --no-deps efficient-track-anything==1.0``, then unzip it there. The clip, the prompts and what is compared are
those of ``parity.py``. Settings are those of ``efficienttam_ti.yaml``, with the predictor's own for unstable masks and for
clicks, and corrected frames become conditioning ones.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import tempfile
import types
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from napari_sam2s.model.frames import normalise
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import EFFICIENTTAM

_spec = importlib.util.spec_from_file_location("parity", Path(__file__).with_name("parity.py"))
parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(parity)

SMALL = parity.SIZE  # 8 x 8 cells: every window reaches beyond them
FEW = ("three objects", "backward", "second prompt of two clicks")


@functools.lru_cache(maxsize=2)
def our_model(side):
    """Return our EfficientTAM Ti with the seeded weights."""
    model = SAM2S(replace(EFFICIENTTAM[1], image_size=side))
    model.load_state_dict(parity.seeded_weights({n: tuple(p.shape) for n, p in model.state_dict().items()}))
    return model.eval()


@functools.lru_cache(maxsize=1)
def oracle(side):
    """Return the authors' predictor with the seeded weights."""
    from sam2.modeling.backbones.image_encoder import ImageEncoder, ViTDetNeck
    from sam2.modeling.backbones.vitdet import ViT
    from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
    from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam.transformer import RoPEAttention
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    def sine(width):
        return PositionEmbeddingSine(num_pos_feats=width, normalize=True, scale=None, temperature=10000)

    rotary = {"feat_sizes": [32, 32], "embedding_dim": 256, "num_heads": 1, "downsample_rate": 1, "dropout": 0.1}
    layer = MemoryAttentionLayer(
        activation="relu",
        dim_feedforward=2048,
        dropout=0.1,
        pos_enc_at_attn=False,
        self_attention=RoPEAttention(**rotary),
        d_model=256,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        cross_attention=RoPEAttention(**rotary, rope_k_repeat=True, kv_in_dim=64),
    )
    flags = ("use_mask_input_as_output_without_sam", "directly_add_no_mem_embed", "multimask_output_in_sam")
    flags += ("iou_prediction_use_sigmoid", "use_obj_ptrs_in_encoder", "only_obj_ptrs_in_the_past_for_eval", "pred_obj_scores")
    flags += ("pred_obj_scores_mlp", "fixed_no_obj_ptr", "multimask_output_for_tracking", "use_multimask_token_for_obj_ptr")
    flags += ("use_mlp_for_obj_ptr_proj", "binarize_mask_from_pts_for_mem_enc", "add_all_frames_to_correct_as_cond")
    model = SAM2VideoPredictor(
        image_encoder=ImageEncoder(
            ViT(embed_dim=192, num_heads=3),
            ViTDetNeck(sine(256), d_model=256, backbone_channel_list=[192], neck_norm="LN"),
        ),
        memory_attention=MemoryAttention(d_model=256, pos_enc_at_input=True, layer=layer, num_layers=4),
        memory_encoder=MemoryEncoder(
            out_dim=64,
            position_encoding=sine(64),
            mask_downsampler=MaskDownSampler(kernel_size=3, stride=2, padding=1),
            fuser=Fuser(CXBlock(dim=256), num_layers=2),
        ),
        image_size=side,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        add_tpos_enc_to_obj_ptrs=False,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        sam_mask_decoder_extra_args={
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
        **dict.fromkeys(flags, True),
    ).eval()
    model.load_state_dict(parity.seeded_weights({n: tuple(p.shape) for n, p in model.state_dict().items()}))
    return model


class Session:
    """One state of the predictor for each object, and what it says of its masks."""

    def __init__(self, side):
        self.model, self.side = oracle(side), side
        self.video = parity.make_video(side)
        self.states, self.said = {}, (0.0, 0.0)
        for name in ("_forward_sam_heads", "_use_mask_as_output"):
            setattr(self.model, name, functools.partial(self._listen, getattr(type(self.model), name)))

    def _listen(self, method, *arguments, **named):
        result = method(self.model, *arguments, **named)
        self.said = result[2].max().item(), result[6].item()
        return result

    def prompt(self, object_id, frame, how):
        if object_id not in self.states:
            with tempfile.TemporaryDirectory() as folder:
                for t, picture in enumerate(self.video):
                    Image.fromarray(picture).save(f"{folder}/{t:05d}.jpg")
                state = self.states[object_id] = self.model.init_state(folder)
            state["images"] = normalise(self.video, torch.device("cpu"))  # not through JPEG
            state["cached_features"], state["said"] = {}, {}
        state = self.states[object_id]
        if "mask" in how:
            self.model.add_new_mask(state, frame, 1, how["mask"])
        else:
            points, labels = [(x, y) for y, x in how.get("points", ())], list(how.get("labels", ()))
            if "box" in how:
                y0, x0, y1, x1 = how["box"]
                points, labels = [(x0, y0), (x1, y1), *points], [2, 3, *labels]
            self.model.add_new_points(state, frame, 1, np.array(points, np.float32), np.array(labels), clear_old_points=False)
        state["said"][frame] = self.said

    def run(self, start, count, *, backward):
        """Return what was found on the frames."""
        found = {}
        for i, state in self.states.items():
            for t, _, _ in self.model.propagate_in_video(state, start, count, reverse=backward):
                kept = state["output_dict"]
                conditioning = kept["cond_frame_outputs"].get(t)
                out = conditioning or kept["non_cond_frame_outputs"][t]
                said = state["said"][t] if conditioning else self.said
                found[i, t] = (out["pred_masks"].flatten().numpy().copy(), *said)
        return found


@torch.inference_mode()
def run_oracle(side, scenario):
    """Return what :func:`parity.run_ours` does, of the authors' predictor."""
    prompts, backward, second = parity.SCENARIOS[scenario]
    session, found = Session(side), {}
    for prompt in prompts:
        session.prompt(prompt[0], prompt[1], parity.scaled(prompt[2], side))
    if second:
        found |= session.run(0, 9, backward=False)
        for prompt in second:
            session.prompt(prompt[0], prompt[1], parity.scaled(prompt[2], side))
        return found | session.run(second[0][1], None, backward=False)
    return session.run(max(t for _, t, _ in prompts) if backward else 0, None, backward=backward)


def compare(side, scenario):
    """Return the differences with memories in float32, and the results of the authors' predictor."""
    with parity.float_memories():
        theirs = run_oracle(side, scenario)
        return parity.differences(parity.run_ours(our_model(side), scenario, side), theirs), theirs


def main(folder, *sides):
    """Print the table; write the golden file of the small one."""
    package = sys.modules["sam2"] = types.ModuleType("sam2")  # without its own beginning, which wants hydra
    package.__path__, package.__spec__ = [f"{folder}/sam2"], ModuleSpec("sam2", None, is_package=True)
    print("| side | scenario | logits | predicted IoU | object score |\n|---|---|---|---|---|")
    for side in map(int, sides or (SMALL, 256)):
        kept = {}
        for scenario in parity.SCENARIOS:
            differences, theirs = compare(side, scenario)
            print(f"| {side} | {scenario} | " + " | ".join(f"{value:.1e}" for value in differences) + " |", flush=True)
            if scenario in FEW:
                kept |= {f"{scenario}/{field}": value for field, value in parity.sample(theirs).items()}
        if side == SMALL:
            np.savez_compressed(parity.GOLDEN / "efficienttam.npz", **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
