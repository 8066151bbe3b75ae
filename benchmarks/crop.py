"""A crop that follows: objects of 12 pixels in 2160p, tracked in the whole frame and in a crop, with the built-in model.

``OMP_NUM_THREADS=1 python benchmarks/crop.py [--videos N] [--frames N]`` prints a table in Markdown: J&F, and CPU-seconds a
frame, reading the video left out. The ground is a drawn case with grain; the object is a spot that wanders, turns and changes
its brightness, among others of its size and other colours.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

import napari_sam2s as sam2s
from napari_sam2s.evaluation.region_and_boundary import boundary_f, iou
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import make_tracker

SIZE, SIDE, OTHERS = (2160, 3840), 12, 30


class Spots:
    """A video ``(T, 2160, 3840, 3)`` of one spot that is followed and others that are not."""

    dtype = np.dtype(np.uint8)

    def __init__(self, seed: int, frames: int) -> None:
        self.shape = (frames, *SIZE, 3)
        self._rng = rng = np.random.default_rng(seed)
        ground = demo_case(1, (540, 960))[0].repeat(4, 0).repeat(4, 1).astype(np.int16)
        grain = rng.normal(0, 10, (*SIZE, 1)).astype(np.int16)
        self._ground = np.clip(ground + grain, 0, 255).astype(np.uint8)
        self._colours = rng.integers(30, 230, (OTHERS + 1, 3))
        starts = rng.uniform(0.3, 0.7, (OTHERS + 1, 1, 2)) * SIZE
        turns = rng.normal(0, 0.6, (OTHERS + 1, frames, 2)).cumsum(1)
        speed = rng.normal(0, 4, (OTHERS + 1, 1, 2)) + turns
        self._places = (starts + speed.cumsum(1)).clip(20, np.array(SIZE) - 20)

    def _spot(self, n: int, t: int) -> tuple[slice, slice, NDArray[np.bool_]]:
        y, x = self._places[n, t]
        top, left = int(y) - SIDE, int(x) - SIDE
        yy, xx = np.mgrid[top : top + 2 * SIDE, left : left + 2 * SIDE] + 0.5
        turn = 0.05 * t + n
        a = (yy - y) * np.cos(turn) + (xx - x) * np.sin(turn)
        b = (xx - x) * np.cos(turn) - (yy - y) * np.sin(turn)
        inside = (2 * a / SIDE) ** 2 + (2 * b / (0.75 * SIDE)) ** 2 <= 1
        return slice(top, top + 2 * SIDE), slice(left, left + 2 * SIDE), inside

    def __getitem__(self, t: int) -> NDArray[np.uint8]:
        """Return a frame."""
        frame = self._ground.copy()
        for n in reversed(range(OTHERS + 1)):
            rows, columns, inside = self._spot(n, t)
            frame[rows, columns][inside] = np.clip(self._colours[n] * (1 + 0.15 * np.sin(t / 7 + n)), 0, 255)
        return frame

    def truth(self, t: int) -> NDArray[np.bool_]:
        """Return the mask of the spot that is followed, ``(Y, X)``."""
        mask = np.zeros(SIZE, bool)
        rows, columns, inside = self._spot(0, t)
        mask[rows, columns] = inside
        return mask


class Clocked:
    """A video that notes the CPU-seconds that reading it takes."""

    dtype = np.dtype(np.uint8)

    def __init__(self, video: Spots) -> None:
        self._video, self.shape, self.seconds = video, video.shape, 0.0

    def __getitem__(self, t: int) -> NDArray[np.uint8]:
        """Return a frame."""
        begun = time.process_time()
        frame = self._video[t]
        self.seconds += time.process_time() - begun
        return frame


def measure(model: object, spots: Spots, prompt: str, *, crop: bool) -> tuple[float, float, float]:
    """Return J&F and J in percent of all frames after the prompt, and CPU-seconds a frame."""
    video = Clocked(spots)
    tracker = make_tracker(model, video, crop=crop)
    first = spots.truth(0)
    if prompt == "mask":
        tracker.prompt(1, 0, mask=first)
    else:
        y, x = np.mean(np.nonzero(first), 1)
        tracker.prompt(1, 0, points=[(y, x)])
    begun, video.seconds = time.process_time(), 0.0
    found = dict(tracker.propagate(1))
    spent = time.process_time() - begun - video.seconds
    pairs = [(found[t][1], spots.truth(t)) for t in found]
    j = 100 * float(np.mean([iou(mask, truth) for mask, truth in pairs]))
    f = 100 * float(np.mean([boundary_f(mask, truth) for mask, truth in pairs]))
    return (j + f) / 2, j, spent / len(found)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, default=40)
    args = parser.parse_args()
    model = sam2s.load_model()
    print("| prompt | video | whole: J&F (J), s a frame | crop: J&F (J), s a frame | gain | cost |\n|---|---|---|---|---|---|")
    for prompt in ("mask", "1-click"):
        results = []
        for seed in range(args.videos):
            spots = Spots(seed, args.frames)
            results.append([*measure(model, spots, prompt, crop=False), *measure(model, spots, prompt, crop=True)])
            print(_line(prompt, str(seed), *results[-1]), flush=True)
        print(_line(prompt, "mean", *np.mean(results, 0)), flush=True)


def _line(prompt: str, video: str, jf: float, j: float, s: float, crop_jf: float, crop_j: float, crop_s: float) -> str:
    whole, crop = f"{jf:.1f} ({j:.1f}), {s:.3f}", f"{crop_jf:.1f} ({crop_j:.1f}), {crop_s:.3f}"
    return f"| {prompt} | {video} | {whole} | {crop} | {crop_jf - jf:+.1f} | {crop_s / s:.2f}x |"


if __name__ == "__main__":
    main()
