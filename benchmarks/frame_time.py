"""How long a tracked frame takes with one checkpoint beside others: one thread, frame by frame in turn.

    OMP_WAIT_POLICY=passive python benchmarks/frame_time.py EARLIER.pt [OTHER.pt ...] [--model sam2s-nano] [--frames 40]

Processor time, so that other work on the machine matters little, and ratios of neighbouring frames, so that it matters less.
"""

from __future__ import annotations

import argparse
import statistics
import time

import _root  # noqa: F401
import torch

from napari_sam2s import Tracker, load_model
from napari_sam2s.synthetic.samples import demo_case

WARM = 8  # frames until the memory is full
SIZE = (480, 640)


def main() -> None:
    """Print a row for each checkpoint and number of objects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("others", nargs="+")
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--frames", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    case = demo_case(args.frames, size=SIZE)
    models = {name: load_model(name, device="cpu") for name in (args.model, *args.others)}
    print(f"| objects | | ms a frame | of {args.model}'s time |\n|---|---|---|---|")
    for objects in ((1,), (1, 2, 3)):
        runs = {name: Tracker(model, case, cache_bytes=0) for name, model in models.items()}
        for tracker in runs.values():
            for i in objects:
                tracker.prompt(i, 0, mask=case.masks(0)[i])
        steps = {name: tracker.propagate() for name, tracker in runs.items()}
        taken: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(args.frames):
            for name, step in steps.items():
                started = time.process_time()
                if next(step, None) is not None:
                    taken[name].append(time.process_time() - started)
        for name, times in taken.items():
            ratios = [a / b for a, b in zip(times[WARM:], taken[args.model][WARM:], strict=True)]
            print(
                f"| {len(objects)} | {name} | {1000 * statistics.median(times[WARM:]):.0f} | {statistics.median(ratios):.2f} |"
            )


if __name__ == "__main__":
    main()
