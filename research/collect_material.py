"""Collect material: ``python -m research.collect_material REAL OUT`` writes ``train.npz`` and ``held_out.npz``.

REAL is the folder of real material, with ``videos/*.mp4``; see :mod:`research.material`. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from research.composites import cut_segments
from research.material import TRAINING_SEGMENTS, collect


def main() -> None:
    """Collect both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path, help="folder of real material, with videos/*.mp4")
    parser.add_argument("out", type=Path, help="folder for train.npz and held_out.npz")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    material = collect(arguments.real)
    material.segments = cut_segments(material, TRAINING_SEGMENTS)
    material.save(arguments.out / "train.npz")
    collect(arguments.real, held_out=True).save(arguments.out / "held_out.npz")


if __name__ == "__main__":
    main()
