"""The paper's ablation in miniature: what DiveMem, TSL and ARL bring at equal training budget.

    OMP_WAIT_POLICY=passive python benchmarks/ablation.py OUT [--images 0] [--steps 400] [--seeds 3] [--material train.npz]
        [--jobs 2]

Every variant of a seed starts alike: from the image encoder, decoder and matching of the built-in model, with memory and
semantics new (they are what the recipes differ in); with ``--images`` from single images, learned from scratch. Then each
variant takes the same number of video steps: the vanilla SAM 2 recipe (consecutive frames, focal loss, last-six memory),
+ DiveMem (sampling and memory), + TSL, both, and both with and without ARL on labels that were grown or shrunk by up to two
pixels, object by object and frame by frame. Judged on held-out procedural clips from mask prompts: J&F, J&F after returns, the
share of classes named right (chance is 12.5). Runs that are there are resumed, so the command can be stopped and repeated.
``--jobs`` shares the runs out over processes, of one thread each if more than one.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import _root  # noqa: F401
import numpy as np
import torch

from model import end_with_parent  # benchmarks/model.py
from napari_sam2s import load_model
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.training.setup import start
from napari_sam2s.training.training_config import read_config
from napari_sam2s.training.validation_cases import laparoscopy
from research.scoring import validate
from research.train import families_of
from research.validation_sets import reentry

BASE = """
model = "sam2s-nano"
seed = {seed}
image_size = {size}
max_objects = 2
weight_decay = 0.05
clip_gradient = 1.0
warmup_steps = 20
ema = 0.99
loss_stride = 2
cuts = 0.2
init = "{init}"
arl = {arl}
tsl = {tsl}
label_jitter = {jitter}
class_names = ["grasper", "hook", "scissors", "clip applier", "suction", "needle driver", "bipolar", "catheter"]

[families]
{families}

[[stages]]
name = "{stage}"
steps = {steps}
frames = {frames}
batch = {batch}
learning_rate = {rate}
divemem = {divemem}
images = {images}
"""
KEPT = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "mask_downsample.", "matching.")
VARIANTS = {  # name: DiveMem, TSL, ARL, label jitter in pixels
    "vanilla": (False, False, False, 0),
    "+ DiveMem": (True, False, False, 0),
    "+ TSL": (False, True, False, 0),
    "+ both": (True, True, False, 0),
    "+ both, jittered labels": (True, True, False, 2),
    "+ both + ARL, jittered labels": (True, True, True, 2),
}


def toml(args: argparse.Namespace, seed: int, init: str, variant: tuple[bool, bool, bool, int], stage: str) -> str:
    """Return the configuration of one run."""
    divemem, tsl, arl, jitter = variant
    families = "laparoscopy = 0.5\ncomposites = 0.5" if args.material else "laparoscopy = 1.0"
    video = {"steps": args.steps, "frames": 8, "batch": 2, "rate": 5e-4, "divemem": 0.5 if divemem else 0.0, "images": 0.2}
    image = {"steps": args.images, "frames": 1, "batch": 8, "rate": 1.2e-3, "divemem": 0.0, "images": 0.0}
    flags = {"arl": str(arl).lower(), "tsl": str(tsl).lower(), "jitter": jitter}
    chosen = image if stage == "image" else video
    return BASE.format(seed=seed, size=args.size, init=init, families=families, stage=stage, **flags, **chosen)


def train(args: argparse.Namespace, name: str, text: str) -> Path:
    """Train one run to its end; return its model."""
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.write_text(text, encoding="utf-8")
    families = families_of(read_config(config), args.material, None)
    run, dataset = start(config, folder, families=families, threads=args.threads)
    if run.step < run.config.steps:
        run.train(dataset, workers=1, report=lambda line: print(f"{name}: {line}", flush=True))
    return folder / "model.pt"


def image_parts(args: argparse.Namespace, seed: int) -> Path:
    """Write a checkpoint with the built-in model's image parts, all else as a seed initialises it; return its path."""
    path = args.out / f"{seed}-image-parts.pt"
    if not path.is_file():
        torch.manual_seed(seed)
        weights = SAM2S(CONFIGS["sam2s-nano"]).state_dict()
        trained = load_model(device="cpu").state_dict()
        torch.save({"model": {n: trained[n] if n.startswith(KEPT) else w for n, w in weights.items()}}, path)
    return path


def judge(args: argparse.Namespace, model_path: Path, memory: str) -> dict[str, float]:
    """Return a finished model's scores, kept beside it for the same training and the same cases."""
    kept = model_path.with_name(f"scores-{args.images}-{args.steps}-{args.size}-{args.cases}.json")
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    model = load_model(model_path, device="cpu")
    plain, _ = validate(model, laparoscopy(range(args.cases), args.size, longest=100), "mask", memory)
    back, _ = validate(model, reentry(range(args.cases), args.size), "mask", memory)
    plain.results += back.results
    scores = {"J&F": plain.jf, "after return": back.after_return, "class": plain.class_accuracy}
    kept.write_text(json.dumps(scores))
    return scores


def score(args: argparse.Namespace, begun: dict[int, Path], run: tuple[int, str]) -> dict[str, float]:
    """Train a variant from where those of its seed begin, and judge it."""
    if args.threads:
        torch.set_num_threads(args.threads)
    seed, name = run
    folder = f"{seed}-{name.replace(' ', '').replace('+', 'and-').replace(',', '-')}"
    path = train(args, folder, toml(args, seed, str(begun[seed]), VARIANTS[name], "video"))
    return judge(args, path, "divemem" if VARIANTS[name][0] else "vanilla")


def score_all(args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Return the scores of every variant, by seed."""
    seeds = range(1, args.seeds + 1)
    begun = {seed: image_parts(args, seed) for seed in seeds}
    if args.images:
        image_stage = (False, False, False, 0)
        begun = {s: train(args, f"{s}-image", toml(args, s, "", image_stage, "image")) for s in seeds}
    runs = list(itertools.product(seeds, VARIANTS))
    work = functools.partial(score, args, begun)
    if args.jobs > 1:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(args.jobs, mp_context=spawn, initializer=end_with_parent) as pool:
            results = list(pool.map(work, runs))
    else:
        results = [work(run) for run in runs]
    return {name: [r for (_, n), r in zip(runs, results, strict=True) if n == name] for name in VARIANTS}


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--images", type=int, default=0, help="steps on single images, from scratch, that all variants share")
    parser.add_argument("--steps", type=int, default=400, help="steps on video, of each variant")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--cases", type=int, default=20, help="held-out clips, of each of two kinds")
    parser.add_argument("--material", type=Path, help="train.npz, for composites beside the drawn clips")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each if more than one")
    args = parser.parse_args()
    if args.jobs > 1:
        args.threads = 1
    args.out.mkdir(parents=True, exist_ok=True)
    scores = score_all(args)
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1))
    steps = f"{args.images} + {args.steps}" if args.images else str(args.steps)
    budget = f"{steps} steps at {args.size} px, {args.seeds} seeds: mean +- standard deviation"
    print(f"\n{budget}\n\n| recipe | J&F | J&F after return | class right |\n|---|---|---|---|")
    for name, rows in scores.items():
        cells = []
        for key in ("J&F", "after return", "class"):
            values = 100 * np.array([row[key] for row in rows])
            cells.append(f"{np.nanmean(values):.1f} +- {np.nanstd(values, ddof=1) if len(rows) > 1 else 0:.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
