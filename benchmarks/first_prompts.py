"""What first prompts give, and whether the model knows when that is little: IoU of first frames, and IoU as it is predicted.

    OMP_WAIT_POLICY=passive python benchmarks/first_prompts.py [--model sam2s-nano] [--material held_out.npz] [--real REAL]
        [--count 40] [--calibrate] [--whole-frame]

Every object is prompted on its first frame: with a box, and with one, two and three clicks of a careful user; and of the
candidates of one click the one that is nearest is taken. The second table
tells for borders of the predicted IoU how many masks are below, how good those and the others are, how many of the bad ones
(IoU below 0.5) are below, and how many good ones (above 0.75). ``--calibrate`` takes clips of other seeds, to choose a border
or a checkpoint by. ``--whole-frame`` leaves out the closer look at what is small. It takes some 2 minutes of one core.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import _root  # noqa: F401
import numpy as np
from numpy.typing import NDArray

from napari_sam2s import load_model
from napari_sam2s.evaluation.clicks import next_click, prompt_first
from napari_sam2s.evaluation.region_and_boundary import iou
from napari_sam2s.model.network import SAM2S
from napari_sam2s.tracking import Tracker, closer_look
from napari_sam2s.training.validation_cases import FIRST_SEED, Case, Track, laparoscopy
from research.validation_sets import CALIBRATION_SEED, composites, microscopy

BAD, GOOD = 0.5, 0.75  # IoU
BORDERS = (0.4, 0.5, 0.6, 0.7, 0.8)
CLICKS = ("1 click", "2 clicks", "3 clicks")
PROMPTS = ("box", "best of 3", *CLICKS)  # the candidate of one click that a person would take


class Answer(NamedTuple):
    """How good a mask is, and how good the model took it for."""

    iou: float
    predicted: float


def ask(model: SAM2S, case: Case, track: Track) -> dict[str, Answer]:
    """Prompt an object of a case on its first frame, in every way."""
    first = track.frames[0]
    truth, picture = track.known[first], np.asarray(case.video[first])[None]
    tracker = Tracker(model, picture)

    def judged(object_id: int, mask: NDArray[np.bool_]) -> Answer:
        return Answer(iou(mask, truth), tracker.scores(0)[object_id].iou)

    answers = {"box": judged(1, prompt_first(tracker, 1, 0, truth, "box"))}
    candidates = [Answer(iou(c.mask, truth), c.iou) for c in tracker.candidates(0, points=[next_click(truth, None)[0]])]
    answers["best of 3"] = max(candidates, default=Answer(0.0, 0.0))
    mask = None
    for name in CLICKS:
        point, label = next_click(truth, mask)
        mask = tracker.prompt(2, 0, points=[point], labels=[label])
        answers[name] = judged(2, mask)
    return answers


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--material", type=Path, help="held_out.npz")
    parser.add_argument("--real", type=Path, help="folder with nuclei")
    parser.add_argument("--count", type=int, default=40, help="clips of each family, a fifth as many of nuclei")
    parser.add_argument("--calibrate", action="store_true", help="clips of other seeds than those that are scored")
    parser.add_argument("--whole-frame", action="store_true", help="answer everything on the whole frame")
    args = parser.parse_args()
    if args.whole_frame:
        closer_look.TIMES = math.inf
    model = load_model(args.model, device="auto")
    seed, clips = CALIBRATION_SEED if args.calibrate else FIRST_SEED, range(args.count)
    chosen: dict[str, Callable[[], Iterator[Case]]] = {"laparoscopy": lambda: laparoscopy(clips, longest=60, seed=seed)}
    if args.material:
        chosen["composites"] = lambda: composites(clips, args.material, frames=2, seed=seed)
    if args.real:
        nuclei = range(max(args.count // 5, 1))
        chosen["microscopy"] = lambda: microscopy(nuclei, args.real / "nuclei", frames=2, seed=seed)
    found = {family: [ask(model, case, track) for case in cases() for track in case.tracks] for family, cases in chosen.items()}
    print("IoU of the first frame\n\n| family | objects | " + " | ".join(PROMPTS) + " |\n|---|---|" + "---|" * len(PROMPTS))
    for family, rows in found.items():
        cells = (f"{100 * np.mean([row[prompt].iou for row in rows]):.1f}" for prompt in PROMPTS)
        print(f"| {family} | {len(rows)} | " + " | ".join(cells) + " |")
    print("\n| family | prompt | predicted IoU below | masks | their IoU | of the others | of the bad | of the good |")
    print("|---|---|---|---|---|---|---|---|")
    for family, rows in found.items():
        for prompt in PROMPTS:
            borders(family, prompt, np.array([row[prompt] for row in rows]))


def borders(family: str, prompt: str, answers: NDArray[np.float64]) -> None:
    """Print which of the answers ``(N, 2)`` borders of the predicted IoU part off."""
    true, predicted = answers.T
    for border in BORDERS:
        below = predicted < border
        cells = [
            f"{100 * below.mean():.0f} %",
            *(f"{100 * true[part].mean():.0f}" if part.any() else "" for part in (below, ~below)),
            *(f"{100 * below[part].mean():.0f} %" if part.any() else "" for part in (true < BAD, true > GOOD)),
        ]
        print(f"| {family} | {prompt} | {border} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
