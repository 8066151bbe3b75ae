"""What matching alone carries from the first frame's mask to later frames, by the keys of a checkpoint: a bound, quickly.

    python benchmarks/matching_keys.py --model sam2s-nano --real ../shared/real [--families polyps schoolgirls hela composites]
        [--material held_out.npz] [--weights learned,pretrained ...]

Every cell of stride 8 of a later frame takes the mask of those cells of the first frame that its keys are like. What it takes
is cut where that gives the highest IoU with the true mask, at stride 8. Nothing of the network but its keys has a say. A minute
says here whether keys tell an object from what is around it, before an hour of tracking does. ``--weights`` are what the
cosines of learned and pretrained keys count; by default what they count in the checkpoint.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import _root  # noqa: F401
import numpy as np
import torch
import torch.nn.functional as F
from real_validation import TRACKED, mean_and_error, tracked
from torch import Tensor

from napari_sam2s import load_model
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.validation_cases import Case
from research.validation_sets import families

OTHERS = ("hela", "composites", "microscopy", "laparoscopy")
COUNTS = {"laparoscopy": 3, "composites": 8, "microscopy": 2, "hela": 10}
FRAMES, OBJECTS = 5, 8  # of every case
ANCHOR_PENALTY = 0.004  # of a squared distance in 32nds of the picture


def keys_of(model: SAM2S, frame: np.ndarray, weights: tuple[float, float] | None) -> Tensor:
    """Return keys ``(K, g, g)`` whose scalar products are the logits of matching, at stride 8."""
    keys = model.encode(model.prepare(frame)).keys
    assert keys is not None
    assert model.matching is not None
    if weights is None:
        return keys[0] * math.sqrt(float(model.matching.log_scale.exp()))
    parts = keys[0].split(model.matching._parts)
    return torch.cat([F.normalize(part, dim=0) * math.sqrt(w) for part, w in zip(parts, weights, strict=True)])


def best_iou(carried: Tensor, truth: Tensor) -> float:
    """Return the highest IoU that any threshold gives."""
    order = carried.flatten().argsort(descending=True)
    right = truth.flatten()[order].cumsum(0).float()
    union = torch.arange(1, len(order) + 1) + truth.sum() - right
    return float((right / union).max())


def carried(first: Tensor, mask: Tensor, now: Tensor) -> Tensor:
    """Return the mask ``(g, g)`` that the cells of a frame take from those of the first one."""
    side = mask.shape[-1]
    y, x = torch.meshgrid(*(2 * [torch.arange(side)]), indexing="ij")
    places = torch.stack((y.flatten(), x.flatten()), dim=1).float() * 32 / side
    logits = now.flatten(1).T @ first.flatten(1) - ANCHOR_PENALTY * torch.cdist(places, places) ** 2
    return (logits.softmax(dim=1) @ mask.flatten()).view(side, side)


@torch.inference_mode()
def judge(model: SAM2S, cases: Iterable[Case], weights: tuple[float, float] | None) -> Iterator[float]:
    """Yield the best IoU, in percent, of some frames of some objects."""
    for case in cases:
        seen: dict[int, Tensor] = {}
        for track in case.tracks[:OBJECTS]:
            start, *later = track.frames
            for t in (start, *later[:: max(1, len(later) // FRAMES)]):
                if t not in seen:
                    seen[t] = keys_of(model, np.asarray(case.video[t]), weights)
                side = seen[t].shape[-1]
                cells = F.adaptive_avg_pool2d(torch.from_numpy(track.known[t]).float()[None, None], side)[0, 0]
                if t == start:
                    mask = cells
                elif (cells > 0.5).any() and (mask > 0.3).any():
                    yield 100 * best_iou(carried(seen[start], mask, seen[t]), cells > 0.5)


def main() -> None:
    """Print a table: a row for every weighting, a column for every family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--material", type=Path, help="held_out.npz")
    parser.add_argument("--families", nargs="+", default=("polyps", "schoolgirls", "hela"), choices=(*TRACKED, *OTHERS))
    parser.add_argument("--weights", nargs="*", default=[], help="such as 10,25, or 0,25 for pretrained keys alone")
    args = parser.parse_args()
    model = load_model(args.model, device="cpu")
    print("| keys | " + " | ".join(args.families) + " |\n|---|" + "---|" * len(args.families))
    for text in ("as they are", *args.weights):
        weights = None if text == "as they are" else tuple(float(w) for w in text.split(","))
        cells = []
        for family in args.families:
            known = tracked(args.real, (0, 1)) | families([family], COUNTS, material=args.material, real=args.real, longest=60)
            cells.append("{:.1f} ± {:.1f}".format(*mean_and_error(list(judge(model, known[family](), weights)))))  # type: ignore[arg-type]
        print(f"| {text} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
