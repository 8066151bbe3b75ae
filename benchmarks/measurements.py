"""What measuring costs: by the area of the masks, the number of frames and the size of the frames.

``python benchmarks/measurements.py [--frames N]`` prints a table in Markdown; each frame has three objects.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_sam2s.masklets import Project, rle
from napari_sam2s.measurements import measure

OBJECTS = 3


def project_of(folder: Path, frames: int, size: tuple[int, int], radius: int) -> Project:
    """Return a project of discs on every frame."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc = x * x + y * y <= radius * radius
    project = Project.create(folder / f"{frames}_{size[0]}_{radius}.sam2s", np.broadcast_to(np.uint8(0), (frames, *size, 3)))
    for i in range(OBJECTS):
        project.add_object()
        masks = [rle.encode(disc, (10 + 60 * i, 10 + n)) for n in range(50)]
        project.write_masks((t, i + 1, masks[t % 50], None) for t in range(frames))
    return project


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=500)
    n = parser.parse_args().frames
    print("| frames | frame | mask, pixels | place and area, ms a mask | with shape, ms a mask |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        cases = [(n, (1080, 1920), r) for r in (10, 20, 40, 80, 160)]
        for frames, size, radius in [*cases, (n, (400, 500), 40), (10 * n, (1080, 1920), 20)]:
            with project_of(Path(folder), frames, size, radius) as project:
                spent = []
                for shape in (False, True):
                    start = time.perf_counter()
                    table = measure(project, shape=shape)
                    spent.append(1000 * (time.perf_counter() - start) / len(table))
                area = int(table["area_px"].iloc[0])
            print(f"| {frames} | {size[0]} x {size[1]} | {area} | {spent[0]:.3f} | {spent[1]:.3f} |")


if __name__ == "__main__":
    main()
