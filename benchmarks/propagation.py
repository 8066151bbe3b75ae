"""Frames a second of propagation beside the official package, on the same seeded weights, frames and threads.

    OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 python benchmarks/propagation.py [--size 512 1024] [--objects 1 3 10]
        [--frames 3] [--only official exact fast]
    ... python benchmarks/propagation.py --family edgetam [--only transformers exact fast tiny]
    ... python benchmarks/propagation.py --family efficienttam [--only tiny exact fast]
    ... python benchmarks/propagation.py --family sam3 --size 1008 [--only transformers exact fast]

The first one named is what the others are compared with. The peers are ``sam2`` from PyPI and Hugging Face's Sam2Video (random
weights of the same shape); of EdgeTAM, the one of transformers with the same weights, and our own exact SAM 2.1 tiny; of
EfficientTAM Ti the latter; of SAM 3's tracker the one of transformers, of the same shape. Memory is full when the clock starts:
the memory of the prompted frame stands for those of the six frames after it as well, which costs what theirs would. All take
turns, frame by frame. CPU-seconds, so that other load on the machine matters less. How to install the peers:
docs/explanation/speed.md and docs/models/edgetam.md. What a working rate gains is in ``benchmarks/working_rate.py``.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "tracking"))
import edgetam_parity
import efficienttam_parity
import parity

from napari_sam2s.model.frames import normalise
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, EDGETAM, EFFICIENTTAM, SAM3
from napari_sam2s.model.sam3 import Sam3Tracker
from napari_sam2s.model.speed import apply_speed, fast_image_size, fast_speed
from napari_sam2s.tracking import Tracker
from napari_sam2s.tracking.memory_bank import FORWARD

FULL = 6  # frames after the prompted one that its memory stands for
WARM = 1  # frames that are tracked before the clock starts
NAMES = {
    "sam2": ["official", "hugging face", "exact", "fast"],
    "edgetam": ["transformers", "exact", "fast", "tiny"],
    "efficienttam": ["tiny", "exact", "fast"],
    "sam3": ["transformers", "exact", "fast"],
}
SHAPES = {"sam2": CONFIGS["sam2.1-tiny"], "edgetam": EDGETAM, "efficienttam": EFFICIENTTAM[1], "sam3": SAM3}
PARTS = ["encode", "attend", "decode", "memorize"]
CLOCK = time.process_time


def official(size: int, video: np.ndarray, objects: int):
    """Return a generator of the official predictor's frames."""
    from sam2.build_sam import build_sam2_video_predictor

    attention = "++model.memory_attention.layer"
    overrides = [f"++model.image_size={size}", "++model.fill_hole_area=0"]
    overrides += [
        f"{attention}.{part}.feat_sizes=[{size // 16},{size // 16}]" for part in ("self_attention", "cross_attention")
    ]
    model = build_sam2_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml", None, device="cpu", hydra_overrides_extra=overrides
    )
    model.eval().load_state_dict(parity.seeded_weights({n: tuple(p.shape) for n, p in model.state_dict().items()}))
    with tempfile.TemporaryDirectory() as folder:
        for t, frame in enumerate(video):
            Image.fromarray(frame).save(f"{folder}/{t:05d}.jpg")
        state = model.init_state(folder)
    state["images"] = normalise(video, torch.device("cpu"))
    state["cached_features"] = {}
    with torch.inference_mode():
        for i in range(objects):
            model.add_new_points_or_box(state, 0, i + 1, points=np.array([[40 + 30 * i, 50]], np.float32), labels=np.array([1]))
        model.propagate_in_video_preflight(state)
        for kept in state["output_dict_per_obj"].values():
            kept["non_cond_frame_outputs"].update(dict.fromkeys(range(1, FULL + 1), kept["cond_frame_outputs"][0]))
        yield from model.propagate_in_video(state, FULL + 1)


def hugging_face(size: int, video: np.ndarray, objects: int):
    """Return a generator of Sam2Video's frames, of a random network of the same shape (its names differ)."""
    from transformers import Sam2VideoConfig, Sam2VideoInferenceSession, Sam2VideoModel

    grid = size // 16
    config = Sam2VideoConfig()  # tiny is its default
    config.image_size = size
    config.vision_config.backbone_feature_sizes = [[size // 4] * 2, [size // 8] * 2, [grid] * 2]
    config.vision_config.backbone_config.image_size = [size, size]
    config.prompt_encoder_config.image_size = size
    config.memory_attention_rope_feat_sizes = [grid, grid]
    torch.manual_seed(0)
    yield from in_session(Sam2VideoModel(config).eval(), Sam2VideoInferenceSession, video, objects)


def edgetam_of_transformers(size: int, video: np.ndarray, objects: int):
    """Return a generator of the frames of the EdgeTAM of transformers."""
    from transformers import EdgeTamVideoInferenceSession

    yield from in_session(edgetam_parity.oracle(size), EdgeTamVideoInferenceSession, video, objects)


def sam3_of_transformers(size: int, video: np.ndarray, objects: int):
    """Return a generator of the frames of SAM 3's tracker of transformers, with random weights."""
    from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoInferenceSession, Sam3TrackerVideoModel

    torch.manual_seed(0)
    model = Sam3TrackerVideoModel(Sam3TrackerVideoConfig(image_size=size)).eval()
    yield from in_session(model, Sam3TrackerVideoInferenceSession, video, objects)


def in_session(model, session_type, video: np.ndarray, objects: int):
    """Return a generator of the frames of a model of transformers."""
    size = video.shape[1]
    images = normalise(video, torch.device("cpu"))
    session = session_type(video=images, video_height=size, video_width=size, dtype=torch.float32)
    with torch.inference_mode():
        for i in range(objects):
            index = session.obj_id_to_idx(i + 1)
            points = {"point_coords": torch.tensor([[[[40.0 + 30 * i, 50.0]]]]), "point_labels": torch.tensor([[[1]]])}
            session.add_point_inputs(index, 0, points)
            session.obj_with_new_inputs.append(i + 1)
        model(inference_session=session, frame_idx=0)
        for kept in session.output_dict_per_obj.values():
            kept["non_cond_frame_outputs"].update(dict.fromkeys(range(1, FULL + 1), kept["cond_frame_outputs"][0]))
        for frame in range(FULL + 1, len(video)):
            yield model(inference_session=session, frame_idx=frame)


def tiny(size: int) -> SAM2S:
    """Return SAM 2.1 tiny with seeded weights."""
    model = SAM2S(replace(CONFIGS["sam2.1-tiny"], image_size=size))
    model.load_state_dict(parity.seeded_weights({n: tuple(p.shape) for n, p in model.state_dict().items()}))
    return model


def sam3(size: int) -> Sam3Tracker:
    """Return SAM 3's tracker with random weights, whose objects are always there."""
    torch.manual_seed(0)
    model = Sam3Tracker(replace(SAM3, image_size=size)).requires_grad_(False)
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(8.0)
    return model


def ours(model: SAM2S, video: np.ndarray, objects: int, *, fast: bool = False, parts: dict[str, float] | None = None):
    """Return a generator of our tracker's frames; ``parts`` receives the seconds of each part of the network."""
    if fast:
        apply_speed(model, fast_speed(model.config, model.device))
    if parts is not None:
        for part in PARTS:
            setattr(model, part, timed(getattr(model, part), part, parts))
    tracker = Tracker(model.eval(), video, memory="vanilla")
    for i in range(objects):
        tracker.prompt(i + 1, 0, points=[(50, 40 + 30 * i)])
    for bank in tracker._actor.objects.banks.values():
        for t in range(1, FULL + 1):
            bank.append(replace(bank.conditioning[0], frame=t), FORWARD)
    yield from tracker.propagate(FULL + 1)


def timed(function, name: str, parts: dict[str, float]):
    """Return the function with its seconds added up."""

    def wrapper(*arguments, **keywords):
        started = CLOCK()
        result = function(*arguments, **keywords)
        parts[name] = parts.get(name, 0.0) + CLOCK() - started
        return result

    return wrapper


def start(name: str, family: str, size: int, objects: int, frames: int, parts: dict[str, dict[str, float]]):
    """Return the generator of a runner's frames."""
    config = replace(CONFIGS["sam2.1-tiny"] if name == "tiny" else SHAPES[family], image_size=size)
    side = fast_image_size(config) if name == "fast" else size
    video = np.random.default_rng(0).integers(0, 255, (FULL + 1 + WARM + frames, side, side, 3), dtype=np.uint8)
    of_transformers = sam3_of_transformers if family == "sam3" else edgetam_of_transformers
    peers = {"official": official, "hugging face": hugging_face, "transformers": of_transformers}
    if name in peers:
        return peers[name](side, video, objects)
    makers = {
        "sam2": tiny,
        "edgetam": lambda side: copy.deepcopy(edgetam_parity.our_model(side)),
        "efficienttam": lambda side: copy.deepcopy(efficienttam_parity.our_model(side)),
        "sam3": sam3,
    }
    model = tiny(side) if name == "tiny" else makers[family](side)
    return ours(model, video, objects, fast=name == "fast", parts=parts.get(name))


def measure(
    family: str, size: int, objects: int, frames: int, names: list[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return seconds a frame of every runner, taking turns, and of the parts of ours."""
    parts: dict[str, dict[str, float]] = {name: {} for name in ("exact", "fast")}
    runs = {name: start(name, family, size, objects, frames, parts) for name in names}
    for name, run in reversed(runs.items()):  # the official one leaves inference mode on
        for _ in range(WARM):
            next(run)
        print(f"{name} is warm", file=sys.stderr, flush=True)
    for own in parts.values():
        own.clear()
    taken = dict.fromkeys(runs, 0.0)
    for _ in range(frames):
        for name, run in runs.items():
            started = CLOCK()
            next(run)
            taken[name] += CLOCK() - started
    split = {name: {part: t / frames for part, t in own.items()} for name, own in parts.items()}
    return {name: t / frames for name, t in taken.items()}, split


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=list(NAMES), default="sam2")
    parser.add_argument("--size", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=sorted({name for names in NAMES.values() for name in names}))
    args = parser.parse_args()
    known = NAMES[args.family]
    first, *rest = known
    names = [first, *(name for name in rest if args.only is None or name in args.only)]
    print(f"{SHAPES[args.family].name}, {torch.get_num_threads()} threads, fp32, CPU-seconds a frame\n")
    split = [name for name in ("exact", "fast") if name in names]
    columns = ["input", "objects", *names, *(f"{name}: {' / '.join(PARTS)}" for name in split)]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for size in args.size:
        for objects in args.objects:
            per, parts = measure(args.family, size, objects, args.frames, names)
            cells = [f"{per[first]:.2f}", *(f"{per[n]:.2f} ({per[first] / per[n]:.2f}x)" for n in names[1:])]
            cells += [" / ".join(f"{parts[name].get(p, 0.0):.3f}" for p in PARTS) for name in split]
            print(f"| {size} | {objects} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
