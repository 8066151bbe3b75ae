"""What clicks on a tracked frame mend: J where tracking was most wrong, before, and after one to three clicks.

    OMP_WAIT_POLICY=passive python benchmarks/corrections.py --material held_out.npz [--real ../shared/real]
        [--model sam2s-nano] [--composites 14] [--laparoscopy 6]

Every object is followed from its mask on its first frame. On the frame with its lowest J (below 0.9, and of more than 60
pixels) a careful user clicks in the middle of the largest error, up to three times. The last column is one click on that frame
before anything was tracked, with nothing but the mask on the first frame known. The clips are of calibration seeds, composites
of held-out material; with --real also real colonoscopies ("polyps"). It takes some 10 minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import _root  # noqa: F401
import numpy as np
from real_validation import tracked

from napari_sam2s import load_model
from napari_sam2s.evaluation.clicks import next_click
from napari_sam2s.evaluation.region_and_boundary import iou
from napari_sam2s.model.network import SAM2S
from napari_sam2s.tracking import Tracker
from napari_sam2s.training.validation_cases import Case, Track, laparoscopy
from research.validation_sets import CALIBRATION_SEED, composites

WRONG, SMALLEST = 0.9, 60  # J, pixels of the truth
CLICKS = 3
FIRST_COMPOSITE = 20  # those before it chose the size of the input


def correct(model: SAM2S, case: Case, track: Track) -> list[float] | None:
    """Return J on the worst frame before and after each click, and of a click before tracking; ``None`` if all went well."""
    first, tracker = track.frames[0], Tracker(model, case.video)
    tracker.prompt(1, first, mask=track.known[first])
    found = {t: masks[1] for t, masks in tracker.propagate(first)}
    seen = [t for t in track.frames if t > first + 2 and track.known[t].sum() > SMALLEST and t in found]
    if not seen:
        return None
    worst = min(seen, key=lambda t: iou(found[t], track.known[t]))
    truth, answer = track.known[worst], found[worst]
    if iou(answer, truth) > WRONG:
        return None
    values = [iou(answer, truth)]
    for _ in range(CLICKS):
        point, label = next_click(truth, answer)
        answer = tracker.prompt(1, worst, points=[point], labels=[label])
        values.append(iou(answer, truth))
    untracked = Tracker(model, case.video)
    untracked.prompt(1, first, mask=track.known[first])
    point, label = next_click(truth, None)
    return [*values, iou(untracked.prompt(1, worst, points=[point], labels=[label]), truth)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--material", type=Path, required=True, help="held_out.npz")
    parser.add_argument("--real", type=Path, help="folder with validation/")
    parser.add_argument("--composites", type=int, default=14, help="clips")
    parser.add_argument("--laparoscopy", type=int, default=6, help="clips")
    args = parser.parse_args()
    model = load_model(args.model, device="auto")
    drawn = range(FIRST_COMPOSITE, FIRST_COMPOSITE + args.composites)
    chosen: dict[str, Iterator[Case]] = {
        "composites": composites(drawn, args.material, seed=CALIBRATION_SEED),
        "laparoscopy": laparoscopy(range(args.laparoscopy), longest=60, seed=CALIBRATION_SEED),
    }
    chosen |= {family: cases() for family, cases in tracked(args.real, (0, 1)).items() if family == "polyps"}
    print(
        "| family | objects | J before | after one click | two | three | one click, not tracked yet |\n|---" + 6 * "|---" + "|"
    )
    together = []
    for family, cases in chosen.items():
        rows = [values for case in cases for track in case.tracks if (values := correct(model, case, track)) is not None]
        together += rows
        _print(family, rows)
    _print("all", together)


def _print(name: str, rows: list[list[float]]) -> None:
    if rows:
        print(f"| {name} | {len(rows)} | " + " | ".join(f"{100 * v:.1f}" for v in np.mean(rows, axis=0)) + " |", flush=True)


if __name__ == "__main__":
    main()
