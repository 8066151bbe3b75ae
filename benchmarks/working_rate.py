"""What a working rate costs and gains: J&F and time on synthetic laparoscopy with the built-in model.

    OMP_WAIT_POLICY=passive python benchmarks/working_rate.py [--clips 4] [--frames 76] [--rate 5 1] [--fast]

Mask prompts on the first frame. Frames are rendered before the clock starts. The times are CPU-seconds of this process, so
that other load on the machine matters less.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import napari_sam2s as sam2s
from napari_sam2s.masklets import Prompt
from napari_sam2s.model import Speed, apply_speed
from napari_sam2s.synthetic.clip import ArrayClip
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.tracking import track
from napari_sam2s.tracking.interpolation import fill

SEED = 77000  # never trained on
TRUE = "every 5th frame as it is, the others filled"


def cases(count: int, frames: int):
    for n in range(count):
        classes = (("grasper", "hook"), ("scissors", "suction"), ("grasper", "suction"), ("hook", "scissors"))[n % 4]
        yield Laparoscopy(SEED + n, frames, (270, 480), classes=classes, organ="gallbladder", absences=0, fps=25.0)


def filled(case: Laparoscopy, stride: int = 5) -> ArrayClip:
    """Return a case with its true masks on some frames, and those that are filled in between."""
    images, truth = np.stack([case[t] for t in range(len(case))]), [case.masks(t) for t in range(len(case))]
    known = list(truth)
    for first in range(0, len(case) - stride, stride):
        frames = range(first, first + stride + 1)
        for t, masks in fill(frames, images.__getitem__, truth[frames[0]], truth[frames[-1]]):
            known[t] = masks
    return ArrayClip(case.name, images, np.array([[m[o.id] for o in case.objects] for m in known]), case.objects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=76)
    parser.add_argument("--rate", type=float, nargs="+", default=[5.0, 1.0])
    parser.add_argument("--fast", action="store_true", help="also every frame in fast mode and in mixed precision")
    args = parser.parse_args()
    exact = sam2s.load_model()
    runs = [("every frame", exact, None)]
    if args.fast:
        runs.append(("every frame, fast mode", sam2s.load_model(mode="fast"), None))
        for trunk, attention in (("bf16", "bf16"), ("int8", "exact")):  # as fast mode has SAM 2's own networks
            model = sam2s.load_model()
            apply_speed(model, Speed(pooled_memory=True, memories=4, trunk=trunk, attention=attention))
            runs.append((f"every frame, fast mode, {trunk}", model, None))
        runs.append(("every frame, dtype=torch.bfloat16", sam2s.load_model(dtype=torch.bfloat16), None))
    runs += [(f"{rate:g} of 25 frames/s", exact, rate) for rate in args.rate]
    scores: dict[str, list[float]] = {name: [] for name, *_ in runs}
    true: list[float] = []
    seconds = dict.fromkeys(scores, 0.0)
    for case in cases(args.clips, args.frames):
        video = sam2s.open_video(np.stack([case[t] for t in range(args.frames)]), fps=25)
        prompts = [Prompt(i, 0, mask=mask) for i, mask in case.masks(0).items() if mask.any()]
        for name, model, rate in runs:
            started = time.process_time()
            masks = track(video, prompts, model=model, rate=rate)
            seconds[name] += time.process_time() - started
            scores[name].append(sam2s.evaluate(masks, case, skip="prompt").overall.jf)
        true.append(sam2s.evaluate(filled(case), case, skip="prompt").overall.jf)
    print(f"{args.clips} clips of {args.frames} frames, 3 objects each\n")
    print("| | J&F | lost | CPU ms a frame | times faster |\n|---|---|---|---|---|")
    base = "every frame"
    for name in scores:
        jf, reference = 100 * np.mean(scores[name]), 100 * np.mean(scores[base])
        per = seconds[name] / args.clips / args.frames * 1000
        print(f"| {name} | {jf:.1f} | {reference - jf:.1f} | {per:.0f} | {seconds[base] / seconds[name]:.1f} |")
    print(f"\nWithout the network, {TRUE}: {100 * np.mean(true):.1f}")


if __name__ == "__main__":
    main()
