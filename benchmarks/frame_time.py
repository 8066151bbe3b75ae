"""How long a tracked frame takes with one checkpoint beside others: one thread, frame by frame in turn.

    OMP_WAIT_POLICY=passive python benchmarks/frame_time.py EARLIER.pt [OTHER.pt ...] [--model sam2s-nano] [--frames 40]

``CHECKOUT::FILE.pt`` is a checkpoint with the code of its day, such as ``git worktree add /tmp/then COMMIT`` gives.
``MODEL@fast`` is fast mode, ``MODEL@plain`` leaves out the outlines. Each entrant is a process of its own. Processor time, so
that other work on the machine matters little, and ratios of neighbouring frames, so that it matters less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
WARM = 8  # frames until the memory is full
SIZE = (480, 640)
OBJECTS = (1, 2, 3)


def work(model: str, clip: Path, objects: int) -> None:
    """Track a frame for each line on standard input, and answer with the seconds that it took."""
    import numpy as np
    import torch

    from napari_sam2s import Tracker, load_model

    torch.set_num_threads(1)
    case, (name, _, how) = np.load(clip), model.partition("@")
    network = load_model(name, device="cpu", **({"mode": "fast"} if how == "fast" else {}))
    if how == "plain":
        from napari_sam2s.model.speed import Speed, apply_speed

        apply_speed(network, Speed(plain_outlines=True))
    tracker = Tracker(network, case["video"], cache_bytes=0)
    for i in OBJECTS[:objects]:
        tracker.prompt(i, 0, mask=case[f"mask{i}"])
    steps = tracker.propagate()
    for _ in sys.stdin:
        started = time.process_time()
        next(steps)
        print(time.process_time() - started, flush=True)


def start(entrant: str, clip: Path, objects: int) -> subprocess.Popen[str]:
    """Start the process of ``FILE`` or ``CHECKOUT::FILE``."""
    checkout, _, model = entrant.rpartition("::")
    environment = os.environ | {"PYTHONPATH": str(Path(checkout or HERE) / "src")}
    command = [sys.executable, __file__, "--worker", model, str(clip), str(objects)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def times_of(processes: dict[str, subprocess.Popen[str]], frames: int) -> dict[str, list[float]]:
    """Let each track a frame in turn; return the seconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(frames):
        for name, process in processes.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            taken[name].append(float(process.stdout.readline()))
    return taken


def main() -> None:
    """Print a row for each checkpoint and number of objects."""
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("others", nargs="+")
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--frames", type=int, default=40)
    args = parser.parse_args()
    import _root  # noqa: F401
    import numpy as np

    from napari_sam2s.synthetic.samples import demo_case

    case, names = demo_case(args.frames + 1, size=SIZE), (args.model, *args.others)
    print(f"| objects | | ms a frame | of {args.model}'s time |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.npz"
        np.savez(
            clip, video=np.stack([case[t] for t in range(args.frames + 1)]), **{f"mask{i}": case.masks(0)[i] for i in OBJECTS}
        )
        for objects in (1, len(OBJECTS)):
            processes = {name: start(name, clip, objects) for name in names}
            try:
                taken = times_of(processes, args.frames)
            finally:
                for process in processes.values():
                    process.kill()
            for name, times in taken.items():
                ratios = [a / b for a, b in zip(times[WARM:], taken[args.model][WARM:], strict=True)]
                took = 1000 * statistics.median(times[WARM:])
                print(f"| {objects} | {name} | {took:.0f} | {statistics.median(ratios):.2f} |", flush=True)


if __name__ == "__main__":
    main()
