"""How good a checkpoint is: J&F on held-out cases, with every kind of prompt, beside the first mask frozen and carried by flow.

    python benchmarks/model.py [--model RUN/model.pt] [--material held_out.npz] [--real REAL] [--quick]
        [--families laparoscopy re-entry ...] [--prompts mask 1-click ...] [--json scores.json] [--calibrate]

Procedural clips have seeds that training never draws (from 2**31 on); composites are of material held out by name;
``pumavos-caps`` is sparsely annotated real video; ``hela`` are nuclei linked in time by overlap. The prompted frame is not
scored. ``--quick`` takes a few minutes of CPU, the default hours.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

from napari_sam2s import load_model
from napari_sam2s.evaluation.clicks import PROMPTS
from napari_sam2s.training.held_out import CALIBRATION_SEED, families, reentry
from napari_sam2s.training.validation import FamilyScore, calibrate, object_scores, run_case, run_flow

FAMILIES = ("laparoscopy", "re-entry", "composites", "microscopy", "pumavos-caps", "hela")
FULL = {"laparoscopy": 100, "re-entry": 50, "composites": 100, "microscopy": 40, "hela": 20}
QUICK = {"laparoscopy": 4, "re-entry": 2, "composites": 10, "microscopy": 4, "hela": 10}
BORDERS = (0, 0.5, 1, 1.5, 2, 3)  # of the object score
GAMMAS = (0.6, 0.7, 0.8, 0.9, 0.95)


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
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument(
        "--calibrate", action="store_true", help="only try DiveMem's IoU thresholds, and borders of the object score"
    )
    args = parser.parse_args()
    model = load_model(args.model, device="auto", image_size=args.image_size)
    counts = dict(QUICK if args.quick else FULL)
    args.prompts = args.prompts or (("mask", "1-click") if args.quick else ("mask", "box", "3-click", "1-click"))
    if args.count:
        counts = dict.fromkeys(counts, args.count)
    if args.calibrate:
        threshold_table(model, counts["re-entry"], args)
        return
    print("| family | prompt | objects | J&F | J | F | first mask frozen | the same, by optical flow | last-six memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    chosen = families(
        args.families, counts, material=args.material, real=args.real, size=args.size, longest=60 if args.quick else 300
    )
    scores: dict[str, dict[str, dict[str, FamilyScore]]] = {}
    for family, make in chosen.items():
        scores[family] = rows = {p: {k: FamilyScore() for k in ("ours", "frozen", "flow", "vanilla")} for p in args.prompts}
        started = time.monotonic()
        for case in make():
            for prompt, (ours, frozen) in run_case(model, case, args.prompts).items():
                rows[prompt]["ours"].results += ours
                rows[prompt]["frozen"].results += frozen
            if "mask" in args.prompts:
                rows["mask"]["flow"].results += run_flow(case)
            if not args.no_vanilla:
                vanilla = run_case(model, case, args.prompts[:1], "vanilla")
                rows[args.prompts[0]]["vanilla"].results += vanilla[args.prompts[0]][0]
        for prompt, row in rows.items():
            s = row["ours"]
            cells = (percent(v) for v in (s.jf, s.j, s.f, row["frozen"].jf, row["flow"].jf, row["vanilla"].jf))
            print(f"| {family} | {prompt} | {s.objects} | " + " | ".join(cells) + " |", flush=True)
        scores[family]["seconds"] = round(time.monotonic() - started)  # type: ignore[assignment]
    seconds = {family: rows.pop("seconds") for family, rows in scores.items()}
    absences(scores, args.prompts[0])
    print("\nSeconds: " + ", ".join(f"{family} {s}" for family, s in seconds.items()) + f". Model: {args.model}.")
    if args.json:
        plain = {f: {p: {k: s.to_dict() for k, s in row.items()} for p, row in rows.items()} for f, rows in scores.items()}
        args.json.write_text(json.dumps(plain, indent=1))


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


def threshold_table(model, count: int, args: argparse.Namespace) -> None:
    """Print J&F of re-entry cases (other seeds than those that are scored) by DiveMem's IoU threshold."""
    cases = list(reentry(count, args.size, CALIBRATION_SEED))
    visible, absent = object_scores(model, cases)
    print(f"| visible from a score of | of {len(visible)} visible frames lost | of {len(absent)} absent frames kept |")
    print("|---|---|---|")
    for border in BORDERS:
        print(f"| {border} | {percent(float((visible <= border).mean()))} | {percent(float((absent > border).mean()))} |")
    print()
    print("| IoU threshold | objects | J&F | J&F after return | found |\n|---|---|---|---|---|")
    for gamma in GAMMAS:
        (s,) = calibrate(model, cases, [gamma]).values()
        print(f"| {gamma} | {s.objects} | {percent(s.jf)} | {percent(s.after_return)} | {percent(s.found)} |", flush=True)


if __name__ == "__main__":
    main()
