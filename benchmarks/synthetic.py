"""How fast clips are drawn: frames a second of CPU time, beside what training takes of them.

    python benchmarks/synthetic.py [--size 256] [--frames 60] [--clips 6] [--material train.npz] [--nuclei FOLDER]

CPU time of one process is honest on a busy machine too. Masks are made with the frames.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import _root  # noqa: F401

from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.synthetic.microscopy import Microscopy
from research.nuclei import Nuclei

WANTED = 200  # frames a second


def rate(make, clips: int, frames: int) -> float:
    """Return frames a second over clips that are begun beforehand, as a training clip or a long case is drawn from."""
    used = 0.0
    for seed in range(clips):
        clip = make(seed)
        clip[0]
        started = time.process_time()
        for t in range(frames):
            clip[t]
            clip.masks(t)
        used += time.process_time() - started
    return clips * frames / used


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--material", type=Path)
    parser.add_argument("--nuclei", type=Path)
    args = parser.parse_args()
    size = (args.size, args.size)
    jobs = {
        "laparoscopy": lambda seed: Laparoscopy(seed, args.frames, size),
        "laparoscopy without effects": lambda seed: Laparoscopy(seed, args.frames, size, effects=False),
        "drawn nuclei": lambda seed: Microscopy(seed, args.frames, size),
    }
    if args.nuclei:
        nuclei = Nuclei(args.nuclei, args.size)
        jobs["pictures of nuclei in motion"] = lambda seed: nuclei(seed, args.frames // 3)
    print("| family | frames/s of one core | of the 200 wanted |\n|---|---|---|")
    rows = {name: rate(make, args.clips, args.frames) for name, make in jobs.items()}
    if args.material:
        from research.composites import CompositeMaker
        from research.material import Material

        make = CompositeMaker(Material.load(args.material), args.size)
        started = time.process_time()
        for seed in range(args.clips):
            make(seed, args.frames)
        rows["composites"] = args.clips * args.frames / (time.process_time() - started)
    for name, found in rows.items():
        print(f"| {name} | {found:.0f} | {found / WANTED:.2f} |")


if __name__ == "__main__":
    main()
