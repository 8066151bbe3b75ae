"""Seconds of a training step beside the official one, and whether making clips keeps up with it.

    OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 python benchmarks/training.py [--size 128] [--frames 4] [--steps 3]

The peer is SAM 2's own training code (``training`` in the PyPI package ``sam2``): ``SAM2Train`` with its loss. It cannot
build the trunk of ``sam2s-nano``, so both sides train SAM 2.1 tiny: the same clip, objects and number of prompts (a click and
one correction), forward, loss, backward, clipping, AdamW; they take turns. The second table is of ``sam2s-nano`` itself:
processor time of a step, and of making its clips.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from dataclasses import dataclass, replace
from pathlib import Path

import _root  # noqa: F401
import numpy as np
import torch

from napari_sam2s.model.frames import normalise
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.training.clip_families import Procedural
from napari_sam2s.training.clip_sampling import Batch, Role
from napari_sam2s.training.data import StepDataset
from napari_sam2s.training.forward import ClipForward
from napari_sam2s.training.losses import LossWeights, total
from napari_sam2s.training.training_config import read_config
from research.composite_family import Composites


def clip(size: int, frames: int, objects: int) -> Batch:
    """Return one clip of squares that move over noise."""
    rng = np.random.default_rng(0)
    masks = np.zeros((frames, objects, size, size), dtype=bool)
    for t in range(frames):
        for n in range(objects):
            y = size // 6 + n * size // 3 + t
            masks[t, n, y : y + size // 4, size // 4 + t : size // 2 + t] = True
    images = rng.integers(0, 255, (frames, 1, size, size, 3), dtype=np.uint8)
    roles = (Role.CONDITION, *(Role.SHORT,) * (frames - 1))
    classes = torch.full((objects,), -1)
    return Batch(torch.from_numpy(images), torch.from_numpy(masks), torch.zeros(objects, dtype=torch.long), classes, roles)


def official(size: int):
    """Return SAM 2's training network and loss."""
    # Theirs is called ``training`` too, and the folder of a script comes first.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]
    # Of these two only a decorator and a constant are used, and they bring packages that nothing here needs.
    sys.modules.setdefault("tensordict", types.SimpleNamespace(tensorclass=dataclass))  # type: ignore[arg-type]
    sys.modules.setdefault("training.trainer", types.SimpleNamespace(CORE_LOSS_KEY="core_loss"))  # type: ignore[arg-type]
    import sam2  # noqa: F401  (registers the configurations)
    from hydra import compose
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from training.loss_fns import MultiStepMultiMasksAndIous

    attention = "++model.memory_attention.layer"
    feat = f"[{size // 16},{size // 16}]"
    settings = {
        "_target_": "training.model.sam2.SAM2Train",
        "image_size": size,
        "prob_to_use_pt_input_for_train": 1.0,
        "num_correction_pt_per_frame": 1,
    }
    overrides = [f"++model.{name}={value}" for name, value in settings.items()]
    overrides += [f"{attention}.{part}.feat_sizes={feat}" for part in ("self_attention", "cross_attention")]
    config = compose(config_name="configs/sam2.1/sam2.1_hiera_t.yaml", overrides=overrides)
    OmegaConf.resolve(config)
    loss = MultiStepMultiMasksAndIous(
        {"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1},
        supervise_all_iou=True,
        iou_use_l1_loss=True,
        pred_obj_scores=True,
        focal_gamma_obj_score=0.0,
        focal_alpha_obj_score=-1.0,
    )
    return instantiate(config.model).train(), loss


def official_step(model, loss, batch: Batch):
    """Return a function that takes one official step."""
    frames, objects = batch.masks.shape[:2]
    images = normalise(batch.frames[:, 0].numpy(), torch.device("cpu"))
    data = types.SimpleNamespace(
        flat_img_batch=images,
        num_frames=frames,
        masks=batch.masks,
        flat_obj_to_img_idx=torch.arange(frames)[:, None].expand(frames, objects),
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(model(data), batch.masks)["core_loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()

    return step


def our_step(model: SAM2S, batch: Batch):
    """Return a function that takes one of our steps."""
    weights = LossWeights()
    forward = ClipForward(model, weights, corrections=1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        total(forward(batch, np.random.default_rng(0), mask_share=0.0).losses, weights).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()

    return step


def feeding(config: Path, material: Path | None) -> None:
    """Print the processor seconds of nano's steps and of their clips."""
    settings = read_config(config)
    families = {"laparoscopy": Procedural(settings.image_size)}
    if material is not None:
        families["composites"] = Composites(material, settings.image_size)  # type: ignore[assignment]
    settings = replace(settings, families={n: s for n, s in settings.families.items() if n in families})
    dataset = StepDataset(settings, families, [])
    forward = ClipForward(SAM2S(CONFIGS[settings.model]).train(), LossWeights(), loss_stride=settings.loss_stride)
    print(f"\n{config.name}, families {', '.join(settings.families)}\n")
    print("| stage | clips x frames | making | training | making / training |\n|---|---|---|---|---|")
    first = 0
    for stage in settings.stages:
        dataset[first]  # material is loaded
        started = time.process_time()
        made = [dataset[first + i] for i in (1, 2, 3)]
        making = (time.process_time() - started) / 3
        batch = max(made, key=lambda b: len(b.roles))
        started = time.process_time()
        total(forward(batch, np.random.default_rng(0)).losses, LossWeights()).backward()
        training = time.process_time() - started
        sizes = f"{batch.frames.shape[1]} x {batch.frames.shape[0]}"
        print(f"| {stage.name} | {sizes} | {making:.2f} s | {training:.2f} s | {making / training:.2f} |", flush=True)
        first += stage.steps


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--objects", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--config", type=Path, default=Path(__file__).parents[1] / "configs" / "nano-3-more.toml")
    parser.add_argument("--material", type=Path, help="train.npz; without it only the drawn clips are timed")
    parser.add_argument("--no-peer", action="store_true")
    args = parser.parse_args()
    if not args.no_peer:
        batch = clip(args.size, args.frames, args.objects)
        ours = SAM2S(replace(CONFIGS["sam2.1-tiny"], image_size=args.size)).train()
        theirs, loss = official(args.size)
        counts = [sum(p.numel() for p in m.parameters()) for m in (ours, theirs)]
        steps = {"official": official_step(theirs, loss, batch), "ours": our_step(ours, batch)}
        taken = dict.fromkeys(steps, 0.0)
        for step in steps.values():
            step()
        for _ in range(args.steps):
            for name, step in steps.items():
                started = time.process_time()
                step()
                taken[name] += time.process_time() - started
        per = {name: t / args.steps for name, t in taken.items()}
        print(f"SAM 2.1 tiny ({counts[0]:,} parameters here, {counts[1]:,} there), {args.frames} frames of {args.size} px,")
        print(f"{args.objects} objects, {torch.get_num_threads()} threads, processor seconds a step\n")
        print("| official | ours | ratio |\n|---|---|---|")
        print(f"| {per['official']:.2f} s | {per['ours']:.2f} s | {per['official'] / per['ours']:.2f}x |", flush=True)
    feeding(args.config, args.material)


if __name__ == "__main__":
    main()
