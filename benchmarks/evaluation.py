"""J and F a frame, beside vos-benchmark, one thread each, the same masks in the same run; and videos over processes.

OMP_NUM_THREADS=1 python benchmarks/evaluation.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from vos_benchmark.evaluator import Evaluator

from napari_sam2s.evaluation import evaluate
from napari_sam2s.evaluation.region_and_boundary import boundary_f, iou
from napari_sam2s.formats import write_davis
from napari_sam2s.masklets import LabelMasklets

REPEATS = 3
VIDEOS, FRAMES = 16, 240


def pairs(height: int, width: int, count: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of an object of usual size and a prediction that is a little off."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    out = []
    for _ in range(count):
        cy, cx = rng.uniform(0.3, 0.7, 2) * (height, width)
        wobble = 1 + 0.15 * np.sin(5 * np.arctan2(y - cy, x - cx))
        truth = np.hypot(y - cy, x - cx) < 0.18 * height * wobble
        out.append((np.roll(truth, rng.integers(-5, 6, 2), (0, 1)), truth))
    return out


def frames() -> None:
    """Print the table of single frames: means of CPU time, which is one thread's on both sides and knows of no other load."""
    import cv2

    cv2.setNumThreads(1)
    print("| frame | vos-benchmark | ours | ratio | largest difference |\n|---|---|---|---|---|")
    for height, width in ((480, 854), (1024, 1280), (1080, 1920)):
        theirs: list[float] = []
        ours: list[float] = []
        worst = 0.0
        for prediction, truth in pairs(height, width) * REPEATS:
            a, b = prediction.astype(np.uint8), truth.astype(np.uint8)
            started = time.process_time()
            evaluator = Evaluator()
            evaluator.feed_frame(a, b)
            middle = time.process_time()
            # From label pictures, as the other side has it.
            prediction, truth = a == 1, b == 1
            j, f = iou(prediction, truth), boundary_f(prediction, truth)
            ours.append(time.process_time() - middle)
            theirs.append(middle - started)
            worst = max(worst, abs(j - evaluator.object_iou[1][0]), abs(f - evaluator.boundary_f[1][0]))
        slow, fast = 1000 * float(np.mean(theirs)), 1000 * float(np.mean(ours))
        print(f"| {height} x {width} | {slow:.1f} ms | {fast:.1f} ms | {slow / fast:.1f} | {worst:g} |")


def processes() -> None:
    """Print how long videos on disk take by one process and by two."""
    with tempfile.TemporaryDirectory() as folder:
        for n in range(VIDEOS):
            prediction, truth = (np.stack(side) for side in zip(*pairs(480, 854), strict=True))
            for name, masks in (("ours", prediction), ("truth", truth)):
                repeated = np.concatenate([masks] * (FRAMES // 12)).astype(np.uint8)
                write_davis(LabelMasklets(repeated), Path(folder) / name, f"v{n}")
        print(f"\n| {VIDEOS} videos of {FRAMES} frames, 480 x 854, from PNGs | seconds | ratio |\n|---|---|---|")
        first = None
        for count in (1, 2):
            started = time.perf_counter()
            evaluate(Path(folder) / "ours", Path(folder) / "truth", processes=count)
            seconds = time.perf_counter() - started
            first = first or seconds
            print(f"| processes: {count} (starting them included) | {seconds:.1f} | {first / seconds:.2f} |")


if __name__ == "__main__":
    frames()
    processes()
