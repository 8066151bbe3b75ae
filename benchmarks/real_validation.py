"""Real pictures and video whose masks are not free: to judge by and to choose on, never to train on (``real/validation``).

``polyps`` are colonoscopies and ``schoolgirls`` seven who cross, both tracked; ``instruments`` and ``objects`` are stills, of
which first prompts are judged.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from first_prompts import PROMPTS, Answer, ask

from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.data_sources import open_recordings
from napari_sam2s.training.validation_cases import Case, Track, recorded_cases

TRACKED = {"polyps": ("nc-cvc-clinicdb", None), "schoolgirls": ("nc-davis17-schoolgirls", 40)}  # and the frames that are taken
STILLS = {"instruments": ("nc-endovis15-rigid", "nc-sisvse20", "nc-chole15"), "objects": ("nc-coco128",)}
CERTAIN = 0.8  # predicted IoU


def tracked(real: Path | None, part: tuple[int, int]) -> dict[str, Callable[[], Iterator[Case]]]:
    """Return what makes the tracked cases, by family; every ``n``-th from the ``k``-th on of ``part``, ``(k, n)``."""

    def cases(folder: str, frames: int | None) -> Iterator[Case]:
        for n, case in enumerate(recorded_cases([real / "validation" / folder] if real else [])):
            if n % part[1] == part[0]:
                tracks = [Track(t.object, {f: m for f, m in t.known.items() if not frames or f < frames}) for t in case.tracks]
                yield Case(case.name, case.video[:frames] if frames else case.video, tracks)

    return {family: lambda which=which: cases(*which) for family, which in TRACKED.items() if real}  # type: ignore[misc]


def first_answers(model: SAM2S, folder: Path, count: int | None = None) -> list[dict[str, Answer]]:
    """Prompt every outlined object of the stills in a folder, or of its first ``count`` ones."""
    answers = []
    for recording in list(open_recordings(folder))[:count]:
        truth = recording.truth
        frame = min(truth.frames)
        masks = truth.masks(frame)
        for o in truth.objects:
            if o.id in masks and masks[o.id].any():
                case = Case(recording.name, recording.video, [])
                answers.append(ask(model, case, Track(o, {frame: masks[o.id]})))
    return answers


def print_stills(model: SAM2S, real: Path, families: Sequence[str], count: int | None) -> dict[str, dict[str, list[float]]]:
    """Print IoU of first prompts with standard errors, and what masks that it is certain of are worth; return the means."""
    print("\n| stills | objects | " + " | ".join(PROMPTS) + f" | of them predicted from {CERTAIN} on | their IoU |")
    print("|---|---|" + "---|" * (len(PROMPTS) + 2))
    found: dict[str, dict[str, list[float]]] = {}
    for family in families:
        for folder in STILLS[family]:
            answers = first_answers(model, real / "validation" / folder, count)
            means = {p: mean_and_error([100 * a[p].iou for a in answers]) for p in PROMPTS}
            certain = [a[p].iou for a in answers for p in PROMPTS if a[p].predicted >= CERTAIN]
            cells = [f"{mean:.1f} ± {error:.1f}" for mean, error in means.values()]
            cells += [f"{100 * len(certain) / max(len(answers) * len(PROMPTS), 1):.0f} %"]
            cells += [f"{100 * statistics.mean(certain):.0f}" if certain else ""]
            print(f"| {family}: {folder} | {len(answers)} | " + " | ".join(cells) + " |", flush=True)
            found[folder] = {p: list(means[p]) for p in PROMPTS}
            print(folder, file=sys.stderr, flush=True)
    return found


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of objects, and its standard error."""
    if len(values) < 2:
        return (values[0] if values else math.nan), math.nan
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
