"""Whether a model's own scores can be believed: what it predicts of tracked masks, and what these are worth.

    python benchmarks/calibration.py [MODEL] --real ../shared/real [--material held_out.npz] [--families polyps hela ...]
        [--prompt mask] [--count 8] [--calibrate]

Objects are given on their first frame and tracked. On every later frame whose truth is known the predicted IoU and the object
score are compared with the true IoU. ``--calibrate`` takes composites of other seeds than those that are scored, to choose a
border on. The first table has a row for each range of predicted IoU. The second is for the border
of doubt (``Thresholds.iou``, ``LOW_SCORE``): how many of the bad masks (IoU below 0.5) are below it, and how many good ones
(above 0.75). The third is for the border of presence: frames on which the object is away. Standard errors are over objects.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _root  # noqa: F401
import numpy as np
from real_validation import TRACKED, tracked

from napari_sam2s import load_model
from napari_sam2s.evaluation.clicks import PROMPTS
from napari_sam2s.evaluation.region_and_boundary import iou
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.validation_cases import Case
from napari_sam2s.training.validation_run import track_case
from research.validation_sets import CALIBRATION_SEED, composites, families

EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, math.inf)
BORDERS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
BAD, GOOD = 0.5, 0.75
FAMILIES = ("polyps", "schoolgirls", "hela", "composites", "re-entry")


@dataclass(frozen=True)
class Judged:
    """One mask of one tracked object: what the model said of it, and what is true."""

    object: str
    predicted: float
    present: bool  # what the model says
    true: float  # IoU; NaN where the object is away


def judge(model: SAM2S, cases: Iterable[Case], prompt: str) -> list[Judged]:
    """Track cases; return what is known of every frame after the first of every object."""
    found = []
    for case in cases:
        for track, answer in zip(case.tracks, track_case(model, case, (prompt,))[prompt], strict=True):
            for t in track.frames[1:]:
                mask, scores, truth = answer.masks(t).get(track.object.id), answer.scores(t), track.known[t]
                if mask is not None and scores is not None:
                    true = iou(mask, truth) if truth.any() else math.nan
                    found.append(Judged(f"{case.name} {track.object.id}", scores.iou, bool(mask.any()), true))
    return found


def _percent(part: Sequence[bool]) -> str:
    return f"{100 * float(np.mean(part)):.0f} %" if len(part) else ""


def _mean_of_objects(found: Sequence[Judged]) -> str:
    by_object: dict[str, list[float]] = {}
    for one in found:
        by_object.setdefault(one.object, []).append(100 * one.true)
    means = [float(np.mean(values)) for values in by_object.values()]
    if not means:
        return ""
    return f"{np.mean(means):.0f}" + (f" ± {np.std(means, ddof=1) / math.sqrt(len(means)):.0f}" if len(means) > 1 else "")


def print_tables(judged: dict[str, list[Judged]]) -> None:
    """Print the three tables."""
    print("\n| family | predicted IoU | masks | true IoU, mean of objects | bad (below 0.5) |\n|---|---|---|---|---|")
    for family, found in judged.items():
        shown = [one for one in found if one.present and not math.isnan(one.true)]
        for low, high in itertools.pairwise(EDGES):
            part = [one for one in shown if low <= one.predicted < high]
            words = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            print(f"| {family} | {words} | {len(part)} | {_mean_of_objects(part)} | {_percent([o.true < BAD for o in part])} |")
    print("\n| doubted below | " + " | ".join(judged) + " |\n|---|" + "---|" * len(judged))
    for border in BORDERS:
        cells = []
        for found in judged.values():
            shown = [one for one in found if one.present and not math.isnan(one.true)]
            bad = [one.predicted < border for one in shown if one.true < BAD]
            good = [one.predicted < border for one in shown if one.true > GOOD]
            cells.append(f"{_percent(bad)} of {len(bad)} bad, {_percent(good)} of {len(good)} good")
        print(f"| {border} | " + " | ".join(cells) + " |")
    print("\n| family | frames on which the object is away | of them with a mask | frames with it | of them without a mask |")
    print("|---|---|---|---|---|")
    for family, found in judged.items():
        away, there = [o.present for o in found if math.isnan(o.true)], [not o.present for o in found if not math.isnan(o.true)]
        print(f"| {family} | {len(away)} | {_percent(away)} | {len(there)} | {_percent(there)} |")


def main() -> None:
    """Judge the families one after the other, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="sam2s-nano")
    parser.add_argument("--real", type=Path, help="folder with hela and validation, for real families")
    parser.add_argument("--material", type=Path, help="held_out.npz, for composites")
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--prompt", default="mask", choices=PROMPTS)
    parser.add_argument("--count", type=int, default=8, help="cases of each drawn family (of hela: 20 nuclei)")
    parser.add_argument("--calibrate", action="store_true", help="composites of other seeds, and nothing else")
    args = parser.parse_args()
    counts = dict.fromkeys(args.families, args.count) | {"hela": 20}
    known = families(
        [name for name in args.families if name not in TRACKED], counts, material=args.material, real=args.real, longest=120
    ) | tracked(args.real, (0, 1))
    if args.calibrate:
        args.families = ["composites"]
        known = {"composites": lambda: composites(range(args.count), args.material, seed=CALIBRATION_SEED)}
    model = load_model(args.model, device="cpu")
    judged = {}
    for family in args.families:
        if family not in known:
            parser.error(f"{family} cannot be had: give --real and --material, or choose of {', '.join(known)}")
        judged[family] = judge(model, known[family](), args.prompt)
        print(f"{family}: {len(judged[family])} masks", flush=True)
    print_tables(judged)


if __name__ == "__main__":
    main()
