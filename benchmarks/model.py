"""How good a checkpoint is: J&F on held-out cases, with every kind of prompt, beside the first mask frozen and carried by flow.

    python benchmarks/model.py [--model RUN/model.pt] [--material held_out.npz] [--real REAL] [--quick]
        [--families laparoscopy re-entry ...] [--prompts mask 1-click ...] [--json scores.json] [--calibrate]
        [--jobs 2] [--keep FOLDER]

Procedural clips have seeds that training never draws (from 2**31 on); composites are of material held out by name;
``pumavos-caps`` is sparsely annotated real video; ``hela`` are nuclei linked in time by overlap. The prompted frame is not
scored. ``--quick`` takes a few minutes of CPU, the default hours: ``--jobs`` shares the cases out over processes, and what
``--keep`` holds already is not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from napari_sam2s import load_model
from napari_sam2s.evaluation.clicks import PROMPTS
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.held_out import CALIBRATION_SEED, Case, families, reentry
from napari_sam2s.training.validation import FamilyScore, ObjectResult, calibrate, object_scores, run_case, run_flow, validate

FAMILIES = ("laparoscopy", "re-entry", "moved", "composites", "microscopy", "pumavos-caps", "hela")
FULL = {"laparoscopy": 100, "re-entry": 50, "moved": 50, "composites": 100, "microscopy": 40, "hela": 20}
QUICK = {"laparoscopy": 4, "re-entry": 2, "moved": 2, "composites": 10, "microscopy": 4, "hela": 10}
BORDERS = (0, 0.5, 1, 1.5, 2, 3)  # of the object score
GAMMAS = (0.6, 0.7, 0.8, 0.9, 0.95)
Results = dict[str, dict[str, list[ObjectResult]]]  # prompt: what tracked: objects


def percent(value: float) -> str:
    """Show a fraction."""
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--material", type=Path, help="held_out.npz")
    parser.add_argument("--real", type=Path, help="folder with pumavos-caps, hela and nuclei")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--prompts", nargs="+", choices=PROMPTS, help="mask, box, 3- and 1-click; --quick: mask and 1-click")
    parser.add_argument("--no-vanilla", action="store_true", help="leave out last-six memory")
    parser.add_argument("--count", type=int, help="cases of every family")
    parser.add_argument("--size", type=int, default=256, help="side of the procedural clips")
    parser.add_argument("--image-size", type=int, help="the network's input")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each if more than one")
    parser.add_argument("--keep", type=Path, help="keep every case's results in this folder, and take those that are there")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument(
        "--calibrate", action="store_true", help="only try DiveMem's IoU thresholds, and borders of the object score"
    )
    args = parser.parse_args()
    args.counts = dict(QUICK if args.quick else FULL)
    args.prompts = args.prompts or (("mask", "1-click") if args.quick else ("mask", "box", "3-click", "1-click"))
    if args.count:
        args.counts = dict.fromkeys(args.counts, args.count)
    if args.calibrate:
        threshold_table(load_model(args.model, device="auto", image_size=args.image_size), args.counts["re-entry"], args)
        return
    started = time.monotonic()
    if args.jobs > 1:
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(score_part, range(args.jobs), [args] * args.jobs))
    else:
        parts = [score_part(0, args)]
    scores = {family: merged([part[family] for part in parts if family in part], args.prompts) for family in parts[0]}
    print_table(scores)
    absences(scores, args.prompts[0])
    print(f"\n{time.monotonic() - started:.0f} seconds. Model: {args.model}.")
    if args.json:
        plain = {f: {p: {k: s.to_dict() for k, s in row.items()} for p, row in rows.items()} for f, rows in scores.items()}
        args.json.write_text(json.dumps(plain, indent=1))


def score_part(part: int, args: argparse.Namespace) -> dict[str, list[Results]]:
    """Track and score the cases of one of the processes."""
    if args.jobs > 1:
        torch.set_num_threads(1)
    model = load_model(args.model, device="auto", image_size=args.image_size)
    chosen = families(
        args.families,
        args.counts,
        material=args.material,
        real=args.real,
        size=args.size,
        longest=60 if args.quick else 300,
        part=(part, args.jobs),
    )
    scored: dict[str, list[Results]] = {}
    for family, make in chosen.items():
        scored[family] = []
        for case in make():
            kept = args.keep / f"{family}-{case.name}.pickle" if args.keep else None
            if kept is not None and kept.exists():
                scored[family].append(pickle.loads(kept.read_bytes()))
                continue
            scored[family].append(score_case(model, case, args))
            print(f"{family} {case.name}", file=sys.stderr, flush=True)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                part_written = kept.with_suffix(".part")  # a kill leaves no half of a result
                part_written.write_bytes(pickle.dumps(scored[family][-1]))
                part_written.replace(kept)
    return scored


def score_case(model: SAM2S, case: Case, args: argparse.Namespace) -> Results:
    """Return the results of a case's objects by prompt and by what tracked them."""
    results: Results = {}
    for prompt, (ours, frozen) in run_case(model, case, args.prompts).items():
        results[prompt] = {"ours": ours, "frozen": frozen, "flow": [], "vanilla": []}
    if "mask" in args.prompts:
        results["mask"]["flow"] = run_flow(case)
    if not args.no_vanilla:
        first = args.prompts[0]
        results[first]["vanilla"] = run_case(model, case, [first], "vanilla")[first][0]
    return results


def merged(parts: list[list[Results]], prompts: Sequence[str]) -> dict[str, dict[str, FamilyScore]]:
    """Put the results of a family's cases together."""
    rows = {p: {k: FamilyScore() for k in ("ours", "frozen", "flow", "vanilla")} for p in prompts}
    for case in (case for part in parts for case in part):
        for prompt, kinds in case.items():
            for kind, results in kinds.items():
                rows[prompt][kind].results += results
    return rows


def print_table(scores: dict[str, dict[str, dict[str, FamilyScore]]]) -> None:
    """Print how good the masks are."""
    print("| family | prompt | objects | J&F | J | F | first mask frozen | the same, by optical flow | last-six memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for family, rows in scores.items():
        for prompt, row in rows.items():
            s = row["ours"]
            cells = (percent(v) for v in (s.jf, s.j, s.f, row["frozen"].jf, row["flow"].jf, row["vanilla"].jf))
            print(f"| {family} | {prompt} | {s.objects} | " + " | ".join(cells) + " |")


def absences(scores: dict[str, dict[str, dict[str, FamilyScore]]], prompt: str) -> None:
    """Print what happens around absences, and the classes."""
    print(
        f"\n| family ({prompt}) | memory | class right | absent frames with a mask | returns | found in 10 frames | J&F after |"
    )
    print("|---|---|---|---|---|---|---|")
    for family, rows in scores.items():
        for memory, name in (("DiveMem", "ours"), ("last six", "vanilla")):
            s = rows[prompt][name]
            cells = (percent(s.class_accuracy), percent(s.false_presence), str(s.returns), percent(s.found))
            print(f"| {family} | {memory} | " + " | ".join(cells) + f" | {percent(s.after_return)} |")


def threshold_table(model: SAM2S, count: int, args: argparse.Namespace) -> None:
    """Print J&F of re-entry cases (other seeds than those that are scored) by DiveMem's IoU threshold."""
    cases = list(reentry(range(count), args.size, CALIBRATION_SEED))
    visible, absent = object_scores(model, cases)
    print(f"| visible from a score of | of {len(visible)} visible frames lost | of {len(absent)} absent frames kept |")
    print("|---|---|---|")
    for border in BORDERS:
        print(f"| {border} | {percent(float((visible <= border).mean()))} | {percent(float((absent > border).mean()))} |")
    print()
    print("| IoU threshold | objects | J&F | J&F after return | found |\n|---|---|---|---|---|")
    vanilla, _ = validate(model, cases, "mask", "vanilla")
    after, found = percent(vanilla.after_return), percent(vanilla.found)
    print(f"| last six | {vanilla.objects} | {percent(vanilla.jf)} | {after} | {found} |", flush=True)
    for gamma in GAMMAS:
        (s,) = calibrate(model, cases, [gamma]).values()
        print(f"| {gamma} | {s.objects} | {percent(s.jf)} | {percent(s.after_return)} | {percent(s.found)} |", flush=True)


if __name__ == "__main__":
    main()
