"""What training brought, by how much each checkpoint had seen: J&F on held-out cases, as a table and a picture.

    OMP_WAIT_POLICY=passive python benchmarks/training_curve.py nano-2.pt nano-3.pt ... --material held_out.npz --real REAL
        [--families laparoscopy composites ...] [--count 10] [--jobs 2] [--keep FOLDER] [--out curve.png]

Checkpoints are files that ``training.pack`` wrote: the configurations of all runs that led to each are in its provenance, and
how much these showed it is added up from them. That of ``sam2s-nano`` begins with its second run, so the first one's is taken
from ``research/recipes/nano-1-start.toml``. The built-in weights of earlier runs are in this repository's history:

    git show REVISION:src/napari_sam2s/model/weights/sam2s-nano.pt > nano-4.pt

Each is judged at its own input size, by masks and by single clicks, on the cases of ``benchmarks/model.py --quick``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from model import QUICK, merged, score_parts  # benchmarks/model.py
from napari_sam2s import load_model
from napari_sam2s.training.training_config import read_config

FAMILIES = ("laparoscopy", "composites", "microscopy", "hela")
PROMPTS = ("mask", "1-click")
FIRST_RUN = Path(__file__).parents[1] / "configs" / "nano-1-start.toml"


def frames_seen(config: Mapping[str, Any], steps: int) -> float:
    """Return how many frames the steps of a run showed, on average over its draws; see ``training/data.py``."""
    seen = 0.0
    for stage in config["stages"]:
        taken = min(steps, stage["steps"])
        images = stage["images"] if stage["frames"] > 1 else 0.0
        pictures = stage["batch"] * max(2, stage["frames"] // 2)  # in a step of single ones
        seen += taken * (images * pictures + (1 - images) * stage["batch"] * stage["frames"])
        steps -= taken
    return seen


def runs(provenance: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], int]]:
    """Return the configuration of every run that led to a checkpoint, and the steps it took, the first one first.

    Runs in which only parts of the network learned are left out: the network that tracks stayed as it was.
    """
    first = asdict(read_config(FIRST_RUN))
    rows: list[tuple[Mapping[str, Any], int]] = [(first, sum(stage["steps"] for stage in first["stages"]))]
    for run in [*provenance.get("history", []), provenance]:
        if not run["config"].get("parts") and "of" not in run:
            rows.append((run["config"], run["step"]))
    return rows


def score(path: Path, args: argparse.Namespace) -> dict[tuple[str, str], float]:
    """Track and score the cases; return J&F in percent by family and prompt."""
    counts = {family: args.count or QUICK[family] for family in args.families}
    keep = args.keep / path.stem if args.keep else None
    told = {"model": str(path), "counts": counts, "keep": keep, "prompts": PROMPTS, "quick": True, "no_vanilla": True}
    given = argparse.Namespace(**{**vars(args), **told, "size": 256, "image_size": None})
    parts = score_parts(given)
    found = {family: merged([part[family] for part in parts if family in part], PROMPTS) for family in parts[0]}
    return {(family, prompt): 100 * row["ours"].jf for family, rows in found.items() for prompt, row in rows.items()}


def draw(out: Path, seen: Sequence[float], rows: Sequence[Mapping[tuple[str, str], float]], names: Iterable[str]) -> None:
    """Draw J&F over the frames seen."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    _, panels = plt.subplots(1, len(PROMPTS), figsize=(9, 3.6), sharey=True, layout="constrained")
    for panel, prompt in zip(panels, PROMPTS, strict=True):
        for family in dict.fromkeys(family for family, _ in rows[0]):
            panel.plot(seen, [row[family, prompt] for row in rows], "o-", label=family)
        for x, name in zip(seen, names, strict=True):
            panel.annotate(name, (x, 2), rotation=90, fontsize=7, ha="right", color="0.5")
        panel.set(xscale="log", ylim=(0, 100), title=prompt, xlabel="thousand frames seen in training")
        panel.set_xticks(seen, [f"{x / 1000:.0f}" for x in seen])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("J&F on held-out cases, %")
    panels[1].legend(fontsize=8, loc="upper left")
    plt.savefig(out, dpi=110)


def main() -> None:
    """Print the table, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--material", type=Path, help="held_out.npz")
    parser.add_argument("--real", type=Path, help="folder with hela and nuclei")
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--count", type=int, help="cases of every family")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each if more than one")
    parser.add_argument("--keep", type=Path, help="keep every case's results in this folder, and take those that are there")
    parser.add_argument("--out", type=Path, help="draw the curve here")
    args = parser.parse_args()
    seen, rows = [], []
    for path in args.checkpoints:
        provenance = load_model(path).metadata.get("provenance", {})
        if not {"config", "step"} <= provenance.keys():
            parser.error(f"{path} does not say how it was trained: take a file that training.pack wrote.")
        seen.append(sum(frames_seen(config, steps) for config, steps in runs(provenance)))
        rows.append(score(path, args))
        if len(rows) == 1:
            print("| checkpoint | frames seen | " + " | ".join(f"{f}, {p}" for f, p in rows[0]) + " |")
            print("|---" * (2 + len(rows[0])) + "|")
        cells = (f"{value:.1f}" for value in rows[-1].values())
        print(f"| {path.stem} | {seen[-1]:,.0f} | " + " | ".join(cells) + " |", flush=True)
    if len(rows) > 1 and seen[-1] > seen[-2]:
        slopes = ((rows[-1][key] - rows[-2][key]) / np.log10(seen[-1] / seen[-2]) for key in rows[0])
        print("| ten times as many, at the last step's rate | | " + " | ".join(f"{slope:+.1f}" for slope in slopes) + " |")
    if args.out:
        draw(args.out, seen, rows, [path.stem for path in args.checkpoints])


if __name__ == "__main__":
    main()
