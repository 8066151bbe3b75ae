"""What it brings to encode the next frame in a second thread while one is tracked.

``OMP_WAIT_POLICY=passive python benchmarks/encode_ahead.py [--frames N] [--objects 1 3] [--rounds N]`` prints frames a second
of the built-in model by the clock: on half of the threads, on all threads one step after the other, and on all threads with the
next frame encoded ahead, in this process and in an engine. Each is a process of its own; they take turns, and the best round
counts, as other work on the machine only takes away. Masks are compared with those of half of the threads, which is what a
frame is tracked with when the next one is encoded ahead; all threads add products up in another order.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

IN_TURN = "all threads, in turn"
WAYS = {
    "half of the threads": (str(max((os.cpu_count() or 1) // 2, 1)), False, False),
    IN_TURN: (None, False, False),
    "all threads, encoded ahead": (None, True, False),
    "the same in an engine": (None, True, True),
}


def measure(frames: int, objects: int, ahead: bool, engine: bool) -> None:
    """Track the demonstration's clip, and print frames a second and what the masks add up to."""
    import numpy as np

    from napari_sam2s import Project, Tracker, load_model, open_video
    from napari_sam2s.formats import write_video
    from napari_sam2s.synthetic.samples import demo_case
    from napari_sam2s.tracking import Engine, ProjectRun
    from napari_sam2s.tracking.predictor import FramePredictor

    if not ahead:
        FramePredictor.encoding = lambda *_: nullcontext()
    case = demo_case(frames)
    with tempfile.TemporaryDirectory() as folder, Engine() if engine else nullcontext() as server:
        video = open_video(write_video((case[t] for t in range(frames)), Path(folder) / "case.mp4"))
        project = Project.create(Path(folder) / "case.sam2s", video)
        tracker = Tracker(server.model("sam2s-nano") if server else load_model(device="cpu"), video, project)
        for mask in list(case.masks(0).values())[:objects]:
            tracker.prompt(project.add_object().id, 0, mask=mask)
        start, pixels = time.monotonic(), 0
        for t, masks in ProjectRun(tracker, 0):
            pixels += sum(int(mask.sum()) * (t + 1) for mask in masks.values())
        seconds = time.monotonic() - start
        project.close()
    print(json.dumps({"speed": frames / seconds, "pixels": np.int64(pixels).item()}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _, ahead, engine = WAYS[options.one]
        measure(options.frames, options.objects[0], ahead, engine)
        return
    print(f"{os.cpu_count()} cores; load before {os.getloadavg()[0]:.1f}; frames a second, best of {options.rounds}\n")
    print("| objects | " + " | ".join(WAYS) + " | masks |\n|---|" + "---|" * (len(WAYS) + 1))
    for objects in options.objects:
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, (threads, *_) in WAYS.items():
                own = {} if threads is None else {"OMP_NUM_THREADS": threads}
                command = [sys.executable, __file__, "--one", way, "--frames", str(options.frames), "--objects", str(objects)]
                ran = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=True)
                found[way].append(json.loads(ran.stdout.splitlines()[-1]))
        best = {way: max(one["speed"] for one in ways) for way, ways in found.items()}
        before = best[IN_TURN]
        same = len({one["pixels"] for way, ways in found.items() if way != IN_TURN for one in ways}) == 1
        cells = [f"{speed:.2f} ({speed / before:.2f}x)" for speed in best.values()]
        print(f"| {objects} | " + " | ".join(cells) + f" | {'the same' if same else 'differ'} |", flush=True)


if __name__ == "__main__":
    main()
