"""The EdgeTAM of transformers and ours on the same seeded weights, clip and prompts.

``python tests/tracking/edgetam_parity.py [SIDE ...]`` prints the differences and writes the golden file that the normal suite
compares with. It needs ``transformers`` and ``timm``, the latter without torchvision (``pip install --no-deps timm``), which is
stood in for. The clip, the prompts and what is compared are those of ``parity.py``.

Four things are set right in transformers, which the official code does otherwise: a mask prompt's pointer comes from the
first mask token, and its memory from its answer at a quarter of the size; a correction sees the logits that it corrects, and
makes its frame a conditioning one.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from napari_sam2s.model.edgetam import EdgeTAM
from napari_sam2s.model.edgetam_weights import folded, official, unfolded
from napari_sam2s.model.frames import IMAGENET, normalise
from napari_sam2s.model.network_config import EDGETAM, STRIDE

_spec = importlib.util.spec_from_file_location("parity", Path(__file__).with_name("parity.py"))
parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(parity)

SMALL = parity.SIZE  # side of the normal suite, with 16 + 16 latents: two cells in every window, as there are with 512 pixels
LOGIT_CLAMP = 32.0
# What the normal suite runs: a click, a box and a mask at once; backward; two corrections of a tracked frame.
FEW = ("three objects", "backward", "second prompt of two clicks")


def config(side):
    """Return the configuration of a side; that of ``SMALL`` has fewer latents."""
    few = {"latents": 16, "latent_side": 4} if side == SMALL else {}
    return replace(EDGETAM, image_size=side, **few)


def seeded_weights(side):
    """Return the weights of a checkpoint in its official names, such that neither signals nor batch norms explode."""
    shapes = {name: weight.shape for name, weight in EdgeTAM(config(side)).state_dict().items()}
    weights = parity.seeded_weights(unfolded(shapes))
    for name, weight in weights.items():
        if name.endswith("running_var"):
            weights[name] = 1 + weight.abs()
        elif name.endswith(".bn.weight") and any(part in name for part in ("token_mixer", "mixer.conv2", "ffn.conv2")):
            weights[name] = 0.3 * weight
    return weights


@functools.lru_cache(maxsize=2)
def our_model(side):
    """Return our network with the seeded weights."""
    model = EdgeTAM(config(side))
    model.load_state_dict(folded(seeded_weights(side), model.state_dict()))
    return model.eval()


@functools.lru_cache(maxsize=1)
def oracle(side):
    """Return the model of transformers with the seeded weights."""
    from transformers import AutoModel, EdgeTamVideoConfig, EdgeTamVideoModel, EdgeTamVisionConfig, TimmWrapperConfig

    own, grid = config(side), side // STRIDE
    vision = EdgeTamVisionConfig(
        backbone_config=TimmWrapperConfig(architecture="repvit_m1"),
        backbone_feature_sizes=[[4 * grid] * 2, [2 * grid] * 2, [grid] * 2],
    )
    settings = EdgeTamVideoConfig(
        vision_config=vision,
        image_size=side,
        prompt_encoder_config={"image_size": side},
        memory_attention_rope_feat_sizes=[grid, grid],
        memory_attention_rope_k_sizes=[own.latent_side] * 2,
        perceiver_resampler_num_latents=own.latents,
        perceiver_resampler_num_latents_2d=own.latent_side**2,
        enable_temporal_pos_encoding_for_object_pointers=False,
        enable_occlusion_spatial_embedding=False,
    )
    usual = AutoModel.from_config

    def from_config(wanted, **rest):
        return Trunk() if isinstance(wanted, TimmWrapperConfig) else usual(wanted, **rest)

    with mock.patch.object(AutoModel, "from_config", from_config):
        model = EdgeTamVideoModel(settings).eval()
    model.load_state_dict(renamed(seeded_weights(side), model.state_dict()))
    return model


def renamed(weights, like):
    """Return official weights in the names, shapes and order of ``like``, by following every number there and back."""
    numbers, start = {}, 0
    for name, weight in like.items():
        numbers[name] = torch.arange(start, start + weight.numel(), dtype=torch.float64).view(weight.shape)
        start += weight.numel()
    flat = torch.zeros(start)
    numbers["shared_image_embedding.positional_embedding"] = numbers["prompt_encoder.shared_embedding.positional_embedding"]
    for name, places in official(numbers).items():
        flat[places.flatten().long()] = weights[name].flatten()
    return {name: flat[places.flatten().long()].view(places.shape).to(like[name].dtype) for name, places in numbers.items()}


class Trunk(torch.nn.Module):
    """timm's RepViT as transformers wraps it, which refuses to without torchvision."""

    def __init__(self):
        super().__init__()
        if not any(isinstance(finder, _NamesOnly) for finder in sys.meta_path):
            sys.meta_path.append(_NamesOnly())
        import timm

        self.timm_model = timm.create_model("repvit_m1", features_only=True, out_indices=(0, 1, 2, 3))

    def forward(self, image, **rest):
        return SimpleNamespace(last_hidden_state=self.timm_model(image), hidden_states=None)


class _NamesOnly(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Find a torchvision that has every name and does nothing: timm imports it for its training only."""

    def find_spec(self, name, path=None, target=None):
        mine = name.partition(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if mine else None

    def create_module(self, spec):
        return _Names(spec.name)

    def exec_module(self, module):
        pass


class _Names(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Constants(name, (), {})


class _Constants(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Oracle:
    """Sessions of transformers over a clip, with prompts as the official predictor takes them.

    One for each object: together, those with a mask and those without have scores of different shapes, and transformers stops.
    """

    def __init__(self, model, session_type, video, spread=IMAGENET):
        self.model, self.session_type, self.side = model, session_type, video.shape[1]
        self.video = normalise(video, torch.device("cpu"), spread)
        self.sessions = {}
        self._earlier = self._iou = None
        # Anew for every clip, over what the class has.
        self.model._single_frame_forward = self._decode
        self.model._run_single_frame_inference = self._infer
        self.model._use_mask_as_output = self._take

    def prompt(self, object_id, frame, how):
        session = self.sessions[object_id] = self.sessions.get(object_id) or self._session(object_id)
        kept, tracked = session.output_dict_per_obj[0], frame in session.frames_tracked_per_obj[0]
        earlier = kept["cond_frame_outputs"].pop(frame, None) or kept["non_cond_frame_outputs"].pop(frame, None)
        self._earlier = None if earlier is None else earlier["pred_masks"].clamp(-LOGIT_CLAMP, LOGIT_CLAMP)
        if "mask" in how:
            session.add_mask_inputs(0, frame, torch.from_numpy(how["mask"])[None, None].float())
        else:
            session.add_point_inputs(0, frame, _points(session.point_inputs_per_obj[0].get(frame), how))
        session.obj_with_new_inputs.append(object_id)
        self.model(inference_session=session, frame_idx=frame)
        if tracked:
            kept["cond_frame_outputs"][frame] = kept["non_cond_frame_outputs"].pop(frame)
        self._earlier = None

    def _session(self, object_id):
        session = self.session_type(
            video=self.video,
            video_height=self.side,
            video_width=self.side,
            dtype=torch.float32,
            max_vision_features_cache_size=len(self.video),
        )
        session.obj_id_to_idx(object_id)
        session.iou = {}
        for other in self.sessions.values():
            session.cache = other.cache
        return session

    def track(self, frame, *, backward=False):
        """Return logits, predicted IoU and object score of every object on a frame."""
        found = {}
        for i, session in self.sessions.items():
            out = self.model(inference_session=session, frame_idx=frame, reverse=backward)
            found[i] = out.pred_masks.flatten().numpy().copy(), session.iou[frame], float(out.object_score_logits)
        return found

    def _infer(self, **given):
        if given["point_inputs"] is not None:
            given["prev_sam_mask_logits"] = self._earlier
        out = type(self.model)._run_single_frame_inference(self.model, **given)
        given["inference_session"].iou[given["frame_idx"]] = self._iou
        return out

    def _take(self, *given):
        out = type(self.model)._use_mask_as_output(self.model, *given)
        self._iou = out.iou_scores.item()
        size = (self.side, self.side)
        out.high_res_masks = F.interpolate(out.pred_masks, size=size, mode="bilinear", align_corners=False)
        return out

    def _decode(self, **given):
        if given.get("input_points") is None and given.get("input_masks") is not None:
            given["multimask_output"] = False
        out = type(self.model)._single_frame_forward(self.model, **given)
        self._iou = out.iou_scores.max().item()
        return out


def _points(before, how):
    """Return a prompt's points and labels, after those of ``before``; a box is its two corners."""
    points, labels = [(x, y) for y, x in how.get("points", ())], list(how.get("labels", ()))
    if "box" in how:
        y0, x0, y1, x1 = how["box"]
        points, labels = [(x0, y0), (x1, y1), *points], [2, 3, *labels]
    new = {"point_coords": torch.tensor([[points]], dtype=torch.float32), "point_labels": torch.tensor([[labels]])}
    return new if before is None else {key: torch.cat((before[key], new[key]), dim=2) for key in new}


def run_oracle(side, scenario):
    """Return what :func:`parity.run_ours` does, of transformers."""
    from transformers import EdgeTamVideoInferenceSession

    return follow(Oracle(oracle(side), EdgeTamVideoInferenceSession, parity.make_video(side)), scenario)


@torch.inference_mode()
def follow(session, scenario):
    """Return what :func:`parity.run_ours` does, of an oracle."""
    prompts, backward, second = parity.SCENARIOS[scenario]
    side, video, found = session.side, session.video, {}

    def run(frames):
        for t in frames:
            found.update({(i, t): values for i, values in session.track(t, backward=backward).items()})

    for prompt in prompts:
        session.prompt(prompt[0], prompt[1], parity.scaled(prompt[2], side))
    if second:
        run(range(10))
        for prompt in second:
            session.prompt(prompt[0], prompt[1], parity.scaled(prompt[2], side))
        run(range(second[0][1], len(video)))
    else:
        start = prompts[0][1]
        run(range(start, -1, -1) if backward else range(start, len(video)))
    return found


def compare(side, scenario):
    """Return the differences with memories in float32, and the results of transformers, which has them so."""
    theirs = run_oracle(side, scenario)
    with parity.float_memories():
        return parity.differences(parity.run_ours(our_model(side), scenario, side), theirs), theirs


def main(sides):
    """Print the table; write the golden file of the small one."""
    print("| side | scenario | logits | predicted IoU | object score |\n|---|---|---|---|---|")
    for side in sides:
        kept = {}
        for scenario in parity.SCENARIOS:
            differences, theirs = compare(side, scenario)
            print(f"| {side} | {scenario} | " + " | ".join(f"{value:.1e}" for value in differences) + " |", flush=True)
            if scenario in FEW:
                kept |= {f"{scenario}/{field}": value for field, value in parity.sample(theirs).items()}
        if side == SMALL:
            np.savez_compressed(parity.GOLDEN / "edgetam.npz", **kept)


if __name__ == "__main__":
    main([int(side) for side in sys.argv[1:]] or [SMALL, 512])
