"""``napari-sam2s train`` with the material of the built-in model, and runs that fit into a time.

    python -m research.train research/recipes/nano-4-larger.toml --material material/train.npz --nuclei REAL/nuclei
        --out runs/nano-4

``--material`` gives the families ``composites``, ``instruments`` (stills), ``instrument_clips`` and ``surface_clips``,
``--nuclei`` the family ``microscopy``, ``--outlined`` the family ``outlined`` (stills), ``--held-out`` the validation family
``composites``. All else is as ``napari-sam2s train --help`` says.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2s.cli.train_command import add_arguments, train
from napari_sam2s.errors import Sam2sError, TrainingError

if TYPE_CHECKING:
    from napari_sam2s.training.data import Family, Ordered, StepDataset
    from napari_sam2s.training.training_config import TrainingConfig
    from napari_sam2s.training.validation_run import MakeCases
    from research.time_budget import Clock


OF_MATERIAL = ("composites", "instruments", "instrument_clips", "surface_clips")  # families that draw on --material


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        "research.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--material", type=Path, help="train.npz, of the family composites (needs napari-sam2s[train])")
    parser.add_argument("--nuclei", type=Path, help="of the family microscopy: pictures NNNN.jpg with labels NNNN.png")
    parser.add_argument("--outlined", type=Path, help="outlined.npz, of the family outlined")
    parser.add_argument("--held-out", type=Path, help="held_out.npz, of the validation family composites")
    parser.add_argument(
        "--within", type=float, metavar="MINUTES", help="fit the whole run into so long, with as many steps as that allows"
    )
    return parser


def families_of(
    config: TrainingConfig, material: Path | None, nuclei: Path | None, outlined: Path | None = None
) -> dict[str, Family]:
    """Return the families of clips that only the makers of the built-in model have, as far as a configuration draws them.

    Raises
    ------
    TrainingError
        If one has nothing to draw from.
    """
    from research.composite_family import Composites
    from research.nuclei import Nuclei

    families: dict[str, Family] = {}
    if "instruments" in config.families and material is not None:
        from research.instrument_stills import InstrumentStills

        families["instruments"] = InstrumentStills(material, config.image_size)
    if "instrument_clips" in config.families and material is not None:
        from research.instrument_clips import InstrumentClips

        families["instrument_clips"] = InstrumentClips(material, config.image_size)
    if "surface_clips" in config.families and material is not None:
        from research.surface_clips import SurfaceClips

        families["surface_clips"] = SurfaceClips(material, config.image_size)
    if "composites" in config.families and material is not None:
        families["composites"] = Composites(material, config.image_size, config.departures)
    if "microscopy" in config.families and nuclei is not None:
        families["microscopy"] = Nuclei(nuclei, config.image_size)
    if "outlined" in config.families and outlined is not None:
        from research.outlined_stills import OutlinedStills

        families["outlined"] = OutlinedStills(outlined, config.image_size)
    return families


def cases_of(config: TrainingConfig, held_out: Path | None) -> dict[str, MakeCases]:
    """Return what makes the validation cases of held-out material.

    Raises
    ------
    TrainingError
        If it is not there.
    """
    from research.validation_sets import composites

    validation = config.validation
    if held_out is None or validation is None:
        return {}
    if not held_out.is_file():
        raise TrainingError(f"There is no held-out material at {held_out}, to validate 'composites' on.")
    return {"composites": lambda: composites(range(validation.cases), held_out, config.image_size)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return the exit code (0 done, 2 bad input, 130 interrupted)."""
    args = build_parser().parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait starve each other
    try:
        _train(args)
    except Sam2sError as error:
        print(f"research.train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _train(args: argparse.Namespace) -> None:
    from napari_sam2s.training.setup import check_given
    from napari_sam2s.training.training_config import read_config
    from research.time_budget import Clock, clocked_steps

    config = read_config(args.config)
    judged = config.validation.families if config.validation else ()
    of_material = next((name for name in OF_MATERIAL if name in config.families), "composites")
    check_given("material", [args.material] if args.material else [], of_material, config.families, "learned from")
    check_given("nuclei", [args.nuclei] if args.nuclei else [], "microscopy", config.families, "learned from")
    check_given("outlined", [args.outlined] if args.outlined else [], "outlined", config.families, "learned from")
    check_given("held-out", [args.held_out] if args.held_out else [], "composites", judged, "judged on")
    more = families_of(config, args.material, args.nuclei, args.outlined), cases_of(config, args.held_out)
    if args.within is None:
        train(args, *more)
        return
    if args.minutes is not None or not 0 < args.within < math.inf:
        raise TrainingError("--within takes minutes above 0, and does not go together with --minutes.")
    clock: Clock = Clock(config, args.within * 60)

    def order(dataset: StepDataset) -> Iterable[Ordered]:
        return clocked_steps(dataset, clock, args.workers)

    run = train(args, *more, order)
    run.config = clock.config()  # with the steps that there were
    run.save()


if __name__ == "__main__":
    sys.exit(main())
