"""The official SAM 2 and ours on the same seeded weights, clip and prompts.

``python tests/tracking/parity.py [MODEL ...]`` (with the package ``sam2`` installed) prints the differences for every size
and writes the golden files that the normal suite compares with: the official scores and a sample of the logits.

Both keep memories in bfloat16. A difference of 1e-6 before that rounding now and then becomes one of a whole bfloat16 step
(0.4 %) after it, and every later frame carries it on. So the strict comparison, :func:`float_memories`, keeps memories in
float32 on both sides; as shipped, the difference is what those steps make of it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import sys
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from napari_sam2s.model.frames import normalise
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.tracking import Tracker
from tests.inside import actor_of

SIZE, FRAMES, SAMPLE = 128, 20, 101
GOLDEN = Path(__file__).parent / "golden"
YAML = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}
BOX_MASK = np.zeros((SIZE, SIZE), bool)
BOX_MASK[30:70, 40:80] = True

# The mask of a prompted frame is cut at 0 before it is remembered. The prompts are such that no pixel is so near to 0 that
# rounding decides (the nearest has a logit of 5e-6 with large, of 2e-5 and more with the others).
# Each: prompts (object, frame, how), then whether backward, then prompts on a frame that was tracked by then.
SCENARIOS = {
    "click": ([(1, 0, {"points": [(50, 60)], "labels": [1]})], False, None),
    "clicks": ([(1, 0, {"points": [(50, 60), (55, 45), (10, 15)], "labels": [1, 1, 0]})], False, None),
    "box": ([(1, 0, {"box": (20, 25, 75, 85)})], False, None),
    "mask": ([(1, 0, {"mask": BOX_MASK})], False, None),
    "three objects": (
        [
            (1, 0, {"points": [(50, 60)], "labels": [1]}),
            (2, 0, {"box": (5, 5, 40, 45)}),
            (3, 0, {"mask": BOX_MASK}),
        ],
        False,
        None,
    ),
    "backward": ([(1, FRAMES - 1, {"points": [(60, 50)], "labels": [1]})], True, None),
    "second prompt": ([(1, 0, {"points": [(50, 60)], "labels": [1]})], False, [(1, 9, {"points": [(30, 30)], "labels": [1]})]),
    "second prompt of two clicks": (
        [(1, 0, {"points": [(50, 60)], "labels": [1]})],
        False,
        [(1, 9, {"points": [(30, 30)], "labels": [1]}), (1, 9, {"points": [(90, 20)], "labels": [0]})],
    ),
}


def seeded_weights(shapes):
    """Return weights by name: seeded by it, scaled so that signals neither die nor explode, objects always there."""
    weights = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        values = torch.randn(shape, generator=generator)
        if "gaussian_matrix" in name:
            weights[name] = values
        elif len(shape) >= 2 and name.endswith("weight"):
            weights[name] = values / float(np.prod(shape[1:])) ** 0.5
        elif name.endswith("weight") or name.endswith("gamma"):
            weights[name] = 1 + 0.05 * values
        else:
            weights[name] = 0.05 * values
    weights["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 8
    return weights


def make_video(size=SIZE):
    """Return coloured tiles that drift, ``(T, S, S, 3)``."""
    rng, unit = np.random.default_rng(0), size // SIZE
    tiles = np.kron(rng.integers(0, 255, (16, 16, 3)), np.ones((size // 16, size // 16, 1))).astype(np.uint8)
    return np.stack([np.roll(tiles, (3 * unit * t, 2 * unit * t), (0, 1)) for t in range(FRAMES)])


def scaled(how, size):
    """Return a prompt on the clip of another size."""
    unit = size // SIZE
    many = {
        "mask": lambda mask: mask.repeat(unit, 0).repeat(unit, 1),
        "points": lambda points: [(y * unit, x * unit) for y, x in points],
        "box": lambda box: tuple(unit * side for side in box),
    }
    return {kind: many[kind](value) if kind in many else value for kind, value in how.items()}


@functools.lru_cache(maxsize=1)
def our_model(name):
    """Return our network of a size with the seeded weights."""
    model = SAM2S(replace(CONFIGS[name], image_size=SIZE))
    model.load_state_dict(seeded_weights({n: tuple(p.shape) for n, p in model.state_dict().items()}))
    return model.eval()


def run_ours(model, scenario, size=SIZE):
    """Return ``{(object, frame): (logits, IoU, object score)}`` of every frame."""
    return run_together(model, (scenario,), size)[scenario]


# Scenarios that can be run at once, as objects of one tracker: they go the same way and stop at the same frames.
GROUPS = (
    ("click", "clicks", "box", "mask", "three objects"),
    ("backward",),
    ("second prompt", "second prompt of two clicks"),
)


def run_together(model, scenarios, size=SIZE):
    """Return of each scenario of a group what :func:`run_ours` returns of it."""
    tracker = Tracker(model, make_video(size), memory="vanilla")
    # The clip is always the same, so each frame is encoded once for all scenarios. So it is in the official predictor.
    model.encodings = actor_of(tracker).predictor._features = getattr(model, "encodings", actor_of(tracker).predictor._features)
    _, backward, second = SCENARIOS[scenarios[0]]
    found, whose = {scenario: {} for scenario in scenarios}, {}

    def give(part):
        for scenario in scenarios:
            for i, t, how in SCENARIOS[scenario][part]:
                known = next((n for n, key in whose.items() if key == (scenario, i)), len(whose) + 1)
                whose[known] = scenario, i
                tracker.prompt(known, t, **scaled(how, size))

    def run(start, stop):
        for t, masks in tracker.propagate(start, stop, "backward" if backward else "forward"):
            for known in masks:
                scenario, i = whose[known]
                logits = actor_of(tracker).objects.logits(known, t)
                scores = tracker.scores(t)[known]
                found[scenario][i, t] = (logits.flatten().numpy().copy(), scores.iou, scores.object_score)

    give(0)
    if second:
        run(0, 10)
        give(2)
        run(second[0][1], None)
    else:
        run(None, None)
    return found


@functools.lru_cache(maxsize=1)
def official_model(name):
    """Return the official predictor with the seeded weights, its state for the clip, and its encodings of all frames."""
    from sam2.build_sam import build_sam2_video_predictor

    version, size = name.removeprefix("sam").split("-", 1)
    config = f"configs/sam{version}/sam{version}_hiera_{YAML[size]}.yaml"
    attention = "++model.memory_attention.layer"
    overrides = [
        f"++model.image_size={SIZE}",
        "++model.add_all_frames_to_correct_as_cond=true",
        "++model.fill_hole_area=0",
        f"{attention}.self_attention.feat_sizes=[{SIZE // 16},{SIZE // 16}]",
        f"{attention}.cross_attention.feat_sizes=[{SIZE // 16},{SIZE // 16}]",
    ]
    model = build_sam2_video_predictor(config, None, device="cpu", hydra_overrides_extra=overrides).eval()
    model.load_state_dict(seeded_weights({n: tuple(p.shape) for n, p in model.state_dict().items()}))
    video = make_video()
    with tempfile.TemporaryDirectory() as folder:
        for t, frame in enumerate(video):
            Image.fromarray(frame).save(f"{folder}/{t:05d}.jpg")
        state = model.init_state(folder)
    state["images"] = normalise(video, torch.device("cpu"))  # not through JPEG
    encodings = {}
    with torch.inference_mode():
        for t in range(len(video)):
            state["cached_features"] = {}
            model._get_image_feature(state, t, 1)
            encodings |= state["cached_features"]
    return model, state, encodings


def run_official(name, scenario):
    """Return what :func:`run_ours` does, of the official predictor."""
    model, state, encodings = official_model(name)
    model.reset_state(state)
    state["cached_features"] = encodings
    prompts, backward, second = SCENARIOS[scenario]
    found, iou = {}, remember_iou(model, state)

    def give(prompt):
        i, t, how = prompt
        if "mask" in how:
            model.add_new_mask(state, t, i, how["mask"])
            return
        points, box = how.get("points"), how.get("box")
        model.add_new_points_or_box(
            state,
            t,
            i,
            points=None if points is None else np.array([(x, y) for y, x in points], np.float32),
            labels=None if points is None else np.array(how["labels"], np.int32),
            box=None if box is None else np.array([box[1], box[0], box[3], box[2]], np.float32),
            clear_old_points=box is not None,  # points on the same frame add up, as ours do
        )

    def run(start, count):
        for t, ids, _ in model.propagate_in_video(state, start, count, reverse=backward):
            for i in ids:
                kept = state["output_dict_per_obj"][state["obj_id_to_idx"][i]]
                out = kept["cond_frame_outputs"].get(t) or kept["non_cond_frame_outputs"][t]
                found[i, t] = (out["pred_masks"].flatten().numpy().copy(), iou[i, t], out["object_score_logits"].item())

    with torch.inference_mode():
        for prompt in prompts:
            give(prompt)
        if second:
            run(0, 9)
            for prompt in second:
                give(prompt)
            run(second[0][1], None)
        else:
            run(max(t for _, t, _ in prompts) if backward else 0, None)
    assert state["cached_features"] is encodings  # which a frame that was not encoded yet would have replaced
    del model._track_step
    return found


def remember_iou(model, state):
    """Let the official predictor fill ``{(object, frame): predicted IoU of the chosen mask}``, which it throws away."""
    found = {}
    track_step = model._track_step
    place = list(inspect.signature(track_step).parameters).index("output_dict")

    def remembering(frame, *rest):
        result = track_step(frame, *rest)
        index = next(n for n, kept in state["output_dict_per_obj"].items() if kept is rest[place - 1])
        # The chosen one of an ambiguous answer has the highest IoU; an unambiguous answer has one only.
        found[state["obj_idx_to_id"][index], frame] = result[1][2].max().item()
        return result

    model._track_step = remembering
    return found


@contextlib.contextmanager
def float_memories():
    """Keep memories in float32, in ours and (where it is installed) in the official predictor."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch("napari_sam2s.model.network.MEMORY_DTYPE", torch.float32))
        if importlib.util.find_spec("sam2") is not None:
            stack.enter_context(mock.patch("sam2.sam2_video_predictor.torch", _Float32Torch()))
        yield


class _Float32Torch:
    """The module ``torch`` whose bfloat16 is float32."""

    bfloat16 = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


def differences(ours, theirs):
    """Return the largest difference of logits, of predicted IoU and of object scores."""
    assert ours.keys() == theirs.keys()
    logits = max(float(np.abs(ours[k][0] - theirs[k][0]).max()) for k in theirs)
    return logits, *(max(abs(ours[k][field] - theirs[k][field]) for k in theirs) for field in (1, 2))


def sample(found):
    """Return what a golden file keeps: keys, every 101st logit, predicted IoU, object scores."""
    keys = sorted(found)
    return {
        "keys": np.array(keys, np.int16),
        "logits": np.array([found[k][0][::SAMPLE] for k in keys], np.float32),
        "iou": np.array([found[k][1] for k in keys], np.float32),
        "scores": np.array([found[k][2] for k in keys], np.float32),
    }


def check_golden(found, golden, scenario, alive=0.001):
    """Fail where results are not those of a golden file: logits within 1e-3, predicted IoU and object scores within 1e-4."""
    ours = sample(found)
    np.testing.assert_array_equal(ours["keys"], golden[f"{scenario}/keys"])
    for field, most in (("logits", 1e-3), ("iou", 1e-4), ("scores", 1e-4)):
        assert np.abs(ours[field] - golden[f"{scenario}/{field}"]).max() < most, field
    assert np.ptp(ours["logits"]) > 1  # the weights are alive
    assert np.ptp(ours["iou"]) > alive


def compare(name, scenario):
    """Return the differences with memories in float32 and as shipped, and the official results of the former."""
    model = our_model(name)
    with float_memories():
        theirs = run_official(name, scenario)
        strict = differences(run_ours(model, scenario), theirs)
    return strict, differences(run_ours(model, scenario), run_official(name, scenario)), theirs


def main(names):
    """Print the table; write golden files of the tiny ones."""
    GOLDEN.mkdir(exist_ok=True)
    fields = ("logits", "predicted IoU", "object score")
    columns = ("model", "scenario", *(f"{f}, float32 memories" for f in fields), *(f"{f}, as shipped" for f in fields))
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for name in names:
        kept = {}
        for scenario in SCENARIOS:
            strict, shipped, theirs = compare(name, scenario)
            print(f"| {name} | {scenario} | " + " | ".join(f"{value:.1e}" for value in strict + shipped) + " |", flush=True)
            kept |= {f"{scenario}/{field}": value for field, value in sample(theirs).items()}
        if name.endswith("tiny"):
            np.savez_compressed(GOLDEN / f"{name}.npz", **kept)


if __name__ == "__main__":
    main(sys.argv[1:] or [n for n in CONFIGS if n != "sam2s-nano"])
