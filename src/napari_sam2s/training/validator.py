"""What judges the moving average of a run, as its ``[validation]`` asks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.training_config import TrainingConfig
from napari_sam2s.training.validation import validate
from napari_sam2s.training.validation_sets import Case, families, recorded_cases


def make_validator(
    config: TrainingConfig, material: Path | None = None, recorded: Sequence[Path] = ()
) -> Callable[[SAM2S], dict[str, float]] | None:
    """Return what judges a model as a configuration's ``[validation]`` asks: J&F by family. Cases are made once.

    What is recorded is opened here, so that what is wrong with it is said before training starts.

    Raises
    ------
    TrainingError
        If a family has nothing to be judged on.
    """
    wanted = config.validation
    if wanted is None:
        return None
    counts = dict.fromkeys(("laparoscopy", "re-entry", "moved", "composites", "microscopy", "hela"), wanted.cases)
    known = families(wanted.families, counts, material=material, size=config.image_size, longest=wanted.longest)
    if "recorded" in wanted.families and recorded:
        known["recorded"] = lambda: recorded_cases(recorded)
    if missing := sorted(set(wanted.families) - set(known)):
        raise TrainingError(f"There is nothing to validate {missing[0]!r} on: give it, or take it out of [validation].")
    made: dict[str, list[Case]] = {}
    if "recorded" in known:
        made["recorded"] = _scorable(known["recorded"]())
    if "composites" in known and material is not None and not material.is_file():
        raise TrainingError(f"There is no held-out material at {material}, to validate 'composites' on.")

    def judge(model: SAM2S) -> dict[str, float]:
        for name, make in known.items():
            if name not in made:
                made[name] = _scorable(make())
        return {name: validate(model, cases, wanted.prompt)[0].jf for name, cases in ((n, made[n]) for n in known)}

    return judge


def _scorable(cases: Iterable[Case]) -> list[Case]:
    """Return the cases in which there is something to score, and tell of the others.

    Raises
    ------
    TrainingError
        If there are none.
    """
    kept = []
    for case in cases:
        if case.tracks:
            kept.append(case)
        else:
            warnings.warn(
                f"{case.name} is left out of validation: no object has masks on two frames or more, and the prompted one is "
                "not scored.",
                stacklevel=2,
            )
    if not kept:
        raise TrainingError("There is nothing to validate on: no object has masks on two frames or more.")
    return kept
