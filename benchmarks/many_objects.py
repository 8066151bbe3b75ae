"""What many objects cost the built-in model, and what matching those together that remember the same frames brings.

    OMP_WAIT_POLICY=passive python benchmarks/many_objects.py [--objects 1 3 5 20] [--frames 12] [--rounds 3] [--threads 2]

Drawn nuclei, and as many more shapes between them as are asked for, are followed from masks on the first frame, with and
without it in turn; times are medians, of processor seconds where one thread is used.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch

from napari_sam2s import Tracker, load_model
from napari_sam2s.model import recalled_memories
from napari_sam2s.model.network import SAM2S
from napari_sam2s.synthetic.microscopy import Microscopy

together = recalled_memories.find_alike


def each_by_itself(recalls: Sequence[object], **_: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tell that no two objects remember the same frames."""
    return (tuple(range(len(recalls))),) * 2


def follow(model: SAM2S, video: np.ndarray, masks: list[np.ndarray], threads: int) -> tuple[float, np.ndarray]:
    """Return the seconds a frame takes, and all masks ``(T, N, Y, X)``."""
    tracker = Tracker(model, video)
    for n, mask in enumerate(masks):
        tracker.prompt(n + 1, 0, mask=mask)
    clock = time.process_time if threads == 1 else time.perf_counter
    started = clock()
    found = [np.stack(list(masks.values())) for _, masks in tracker.propagate()]
    return (clock() - started) / (len(video) - 1), np.stack(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 5, 20])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(device="cpu")
    clip = Microscopy(3, args.frames)
    video = np.stack([clip[t] for t in range(args.frames)])
    nuclei = [mask for mask in clip.masks(0).values() if mask.any()]
    masks = [np.roll(nuclei[n % len(nuclei)], 37 * (n // len(nuclei)), axis=1) for n in range(max(args.objects))]
    print("| objects | each by itself, ms a frame | together, ms a frame | ratio | pixels that differ |")
    print("|---|---|---|---|---|")
    for count in args.objects:
        times: dict[object, list[float]] = {each_by_itself: [], together: []}
        for _ in range(args.rounds):
            found = []
            for way, taken in times.items():
                recalled_memories.find_alike = way  # type: ignore[assignment]
                seconds, shown = follow(model, video, masks[:count], args.threads)
                taken.append(seconds)
                found.append(shown)
        ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
        alone, shared = (1000 * statistics.median(taken) for taken in times.values())
        print(f"| {count} | {alone:.0f} | {shared:.0f} | {ratio:.2f} | {np.count_nonzero(np.not_equal(*found))} |", flush=True)


if __name__ == "__main__":
    main()
