"""How good a checkpoint is: J&F on held-out cases, with every kind of prompt, beside the first mask frozen and carried by flow.

    python benchmarks/model.py [--model RUN/model.pt] [--material held_out.npz] [--real REAL] [--quick]
        [--families laparoscopy re-entry ...] [--prompts mask 1-click ...] [--json scores.json] [--calibrate]
        [--jobs 2] [--keep FOLDER]

Procedural clips have seeds that training never draws (from 2**31 on); composites are of material held out by name;
``pumavos-caps`` is sparsely annotated real video, ``real-clips`` likewise, annotated by us (``benchmarks/real_clips``);
``hela`` are nuclei linked in time by overlap. ``polyps``, ``schoolgirls`` (tracked), ``instruments`` and ``objects`` (stills:
first prompts) are real pictures that nobody may train on (``real_validation.py``); they are judged only where they are named.
The prompted frame is not scored. ``--quick`` takes a few minutes of CPU, and
``real-clips`` some 20 more where there is ``--real``; the default takes hours: ``--jobs`` shares the cases out over processes,
and what ``--keep`` holds already, by case and prompt, is not done again. A folder is of one model at one size.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import pickle
import statistics
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import _root  # noqa: F401
import torch
from real_validation import STILLS, TRACKED, mean_and_error, print_stills, tracked

from napari_sam2s import load_model
from napari_sam2s.evaluation.clicks import PROMPTS
from napari_sam2s.model.network import SAM2S
from napari_sam2s.tracking import closer_look
from napari_sam2s.training.validation_cases import Case
from research.scoring import FamilyScore, ObjectResult, calibrate, object_scores, run_case, run_flow, validate
from research.validation_sets import CALIBRATION_SEED, families, reentry

FAMILIES = ("laparoscopy", "re-entry", "moved", "composites", "microscopy", "pumavos-caps", "real-clips", "hela")
ANNOTATIONS = Path(__file__).parent / "real_clips"
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
    parser.add_argument("--real", type=Path, help="folder with pumavos-caps, hela, nuclei and videos")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=(*FAMILIES, *TRACKED, *STILLS))
    parser.add_argument("--prompts", nargs="+", choices=PROMPTS, help="mask, box, 3- and 1-click; --quick: mask and 1-click")
    parser.add_argument("--no-vanilla", action="store_true", help="leave out last-six memory")
    parser.add_argument("--count", type=int, help="cases of every family")
    parser.add_argument("--size", type=int, default=256, help="side of the procedural clips")
    parser.add_argument("--image-size", type=int, help="the network's input")
    parser.add_argument("--edge-radius", type=int, help="of the windows by which edges are drawn: 0 for none")
    parser.add_argument("--whole-frame", action="store_true", help="without the closer look at what is small; not with --keep")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each if more than one")
    parser.add_argument("--keep", type=Path, help="keep every case's results in this folder, and take those that are there")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument(
        "--calibrate", action="store_true", help="only try DiveMem's IoU thresholds, and borders of the object score"
    )
    args = parser.parse_args()
    if args.whole_frame and args.keep:
        parser.error("--whole-frame gives other results than --keep may hold: leave out one of them.")
    look_as_told(args)
    args.counts = dict(QUICK if args.quick else FULL)
    args.prompts = args.prompts or (("mask", "1-click") if args.quick else ("mask", "box", "3-click", "1-click"))
    if args.count:
        args.counts = dict.fromkeys(args.counts, args.count)
    if args.calibrate:
        threshold_table(model_of(args), args.counts["re-entry"], args)
        return
    started = time.monotonic()
    stills = [family for family in args.families if family in STILLS]
    if stills and args.real:
        print_stills(model_of(args), args.real, stills, args.count)
    args.families = [family for family in args.families if family not in STILLS]
    if not args.families:
        return
    parts = score_parts(args) if args.jobs > 1 else [score_part(0, args)]
    scores = {family: merged([part[family] for part in parts if family in part], args.prompts) for family in parts[0]}
    print_table(scores)
    absences(scores)
    if not args.no_vanilla:
        leads(scores, args.prompts[0])
    print(f"\n{time.monotonic() - started:.0f} seconds. Model: {args.model}.")
    if args.json:
        plain = {f: {p: {k: s.to_dict() for k, s in row.items()} for p, row in rows.items()} for f, rows in scores.items()}
        args.json.write_text(json.dumps(plain, indent=1))


def model_of(args: argparse.Namespace) -> SAM2S:
    """Return the model that is judged."""
    model = load_model(args.model, device="auto", image_size=args.image_size)
    if args.edge_radius is not None:
        model.config = replace(model.config, edge_radius=args.edge_radius)
    return model


def look_as_told(args: argparse.Namespace) -> None:
    """Leave out the closer look in this process, if that is wanted."""
    if args.whole_frame:
        closer_look.TIMES = math.inf


def score_parts(args: argparse.Namespace) -> list[dict[str, list[Results]]]:
    """Let ``args.jobs`` processes track and score the cases."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=spawn, initializer=end_with_parent) as pool:
        return list(pool.map(score_part, range(args.jobs), [args] * args.jobs))


def end_with_parent() -> None:
    """End this process when the one that started it is gone: killed, it could not say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def score_part(part: int, args: argparse.Namespace) -> dict[str, list[Results]]:
    """Track and score the cases of one of the processes."""
    look_as_told(args)
    if args.jobs > 1:
        torch.set_num_threads(1)
    model = model_of(args)
    longest = 60 if args.quick else 300
    chosen = families(
        args.families,
        args.counts,
        material=args.material,
        real=args.real,
        annotations=ANNOTATIONS,
        size=args.size,
        longest=longest,
        part=(part, args.jobs),
    )
    chosen |= {family: make for family, make in tracked(args.real, (part, args.jobs)).items() if family in args.families}
    made_of = {"sha256": model.metadata["sha256"], "input": model.config.image_size, "size": args.size, "longest": longest}
    if model.config.edge_radius:
        made_of["edges"] = model.config.edge_radius
    sources = {"composites": args.material, "real-clips": ANNOTATIONS}
    kept = Kept(args.keep, made_of, part, sources) if args.keep else None
    scored: dict[str, list[Results]] = {}
    for family, make in chosen.items():
        scored[family] = []
        for case in make():
            known = kept.read(family, case) if kept else {}
            results = score_case(model, case, args, known)
            scored[family].append(results)
            if results != known:
                print(f"{family} {case.name}", file=sys.stderr, flush=True)
                if kept:
                    kept.write(family, case, results)
    return scored


class Kept:
    """A folder of results, all of the same model and sizes; those of a family with a source are told apart by what is in it."""

    def __init__(
        self, folder: Path, made_of: dict[str, object], part: int, sources: Mapping[str, Path | None] | None = None
    ) -> None:
        self.folder, self.part = folder, part
        self._sources = {family: fingerprint(path) for family, path in (sources or {}).items()}
        folder.mkdir(parents=True, exist_ok=True)
        record, told = folder / "made-of.json", json.dumps(made_of, indent=1).encode()
        known = record.read_bytes() if record.exists() else b""
        if known != told and (known or any(folder.glob("*.pickle"))):  # results of before there was a record, too
            sys.exit(f"{folder} holds results of another model or of other sizes ({record}). Give --keep another folder.")
        self._write_whole(record, told)

    def read(self, family: str, case: Case) -> Results:
        """Return what is known of a case."""
        path = self._path(family, case)
        return pickle.loads(path.read_bytes()) if path.exists() else {}

    def write(self, family: str, case: Case, results: Results) -> None:
        """Keep what is known of a case."""
        self._write_whole(self._path(family, case), pickle.dumps(results))

    def _path(self, family: str, case: Case) -> Path:
        of = "-".join(filter(None, (family, self._sources.get(family), case.name)))
        return self.folder / f"{of}.pickle"

    def _write_whole(self, path: Path, content: bytes) -> None:
        """Write a file of which a kill leaves no half."""
        unfinished = path.with_suffix(f".part{self.part}")
        unfinished.write_bytes(content)
        unfinished.replace(path)


def fingerprint(source: Path | None) -> str:
    """Return eight hexadecimal digits that tell a file's content, or that of all PNGs of a folder."""
    if source is None or not source.exists():
        return ""
    paths = [source] if source.is_file() else sorted(source.rglob("*.png"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in paths)).hexdigest()[:8]


def score_case(model: SAM2S, case: Case, args: argparse.Namespace, known: Results) -> Results:
    """Return the results of a case's objects by prompt and by what tracked them, taking what is known already."""
    results = {prompt: dict(kinds) for prompt, kinds in known.items()}
    missing = [prompt for prompt in args.prompts if prompt not in known]
    for prompt, (ours, frozen) in (run_case(model, case, missing) if missing else {}).items():
        flow = run_flow(case) if prompt == "mask" else []
        results[prompt] = {"ours": ours, "frozen": frozen, "flow": flow, "vanilla": []}
    first = args.prompts[0]
    if not args.no_vanilla and not results[first]["vanilla"]:
        results[first]["vanilla"] = run_case(model, case, [first], "vanilla")[first][0]
    return results


def merged(parts: list[list[Results]], prompts: Sequence[str]) -> dict[str, dict[str, FamilyScore]]:
    """Put the results of a family's cases together."""
    rows = {p: {k: FamilyScore() for k in ("ours", "frozen", "flow", "vanilla")} for p in prompts}
    for case in (case for part in parts for case in part):
        for prompt in prompts:
            for kind, results in case[prompt].items():
                rows[prompt][kind].results += results
    return rows


def print_table(scores: dict[str, dict[str, dict[str, FamilyScore]]]) -> None:
    """Print how good the masks are."""
    print(
        "| family | prompt | objects | J&F | s.e. | J | F | first mask frozen | the same, by optical flow | last-six memory |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for family, rows in scores.items():
        for prompt, row in rows.items():
            s = row["ours"]
            error = mean_and_error([r.score.jf for r in s.results])[1]
            cells = (percent(v) for v in (s.jf, error, s.j, s.f, row["frozen"].jf, row["flow"].jf, row["vanilla"].jf))
            print(f"| {family} | {prompt} | {s.objects} | " + " | ".join(cells) + " |")


def absences(scores: dict[str, dict[str, dict[str, FamilyScore]]]) -> None:
    """Print what happens around absences, and the classes."""
    print("\n| family | prompt | memory | class right | absent frames with a mask | returns | found in 10 frames | J&F after |")
    print("|---|---|---|---|---|---|---|---|")
    for family, rows in scores.items():
        for prompt, row in rows.items():
            for memory, name in (("DiveMem", "ours"), ("last six", "vanilla")):
                s = row[name]
                cells = (percent(v) for v in (s.class_accuracy, s.false_presence))
                if s.objects:
                    print(
                        f"| {family} | {prompt} | {memory} | " + " | ".join(cells),
                        f"| {s.returns} | {percent(s.found)} | {percent(s.after_return)} |",
                    )


def leads(scores: dict[str, dict[str, dict[str, FamilyScore]]], prompt: str) -> None:
    """Print by how much DiveMem is ahead of last-six memory, object by object."""
    print(f"\n| family ({prompt}) | what | objects | DiveMem ahead by J&F | standard error | by over 5 | behind by over 5 |")
    print("|---|---|---|---|---|---|---|")
    for family, rows in scores.items():
        pairs = list(zip(rows[prompt]["ours"].results, rows[prompt]["vanilla"].results, strict=True))
        measured = {
            "all frames": [100 * (a.score.jf - b.score.jf) for a, b in pairs],
            "after the first return": [100 * (a.after_return - b.after_return) for a, b in pairs],
        }
        for what, differences in measured.items():
            known = [d for d in differences if not math.isnan(d)]
            if len(known) > 1:
                error = statistics.stdev(known) / math.sqrt(len(known))
                ahead, behind = sum(d > 5 for d in known), sum(d < -5 for d in known)
                print(f"| {family} | {what} | {len(known)} | {statistics.mean(known):.1f} | {error:.1f} | {ahead} | {behind} |")


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
