"""Real clips that nothing was trained on, followed from their first frames: sheets to look at.

    python benchmarks/contact_sheets.py REAL/videos OUT [--model sam2s-nano] [--image-size 320] [--prompt mask]
        [--clips 02_cups ...]

One PNG for each clip of ``benchmarks/real_clips``, of its annotated frames: what the model follows in colour, where the objects
are outlined in white. A number does not say whether the object, a part of it, or something else is followed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import _root  # noqa: F401
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from model import ANNOTATIONS  # benchmarks/model.py
from napari_sam2s import Tracker, load_model
from napari_sam2s.evaluation.clicks import PROMPTS, prompt_first
from napari_sam2s.formats import read_davis
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.validation_cases import Case
from research.validation_sets import real_clips

WIDTH, HEIGHT, ACROSS = 640, 360, 2
COLOURS = np.array(((0, 230, 90), (255, 0, 220), (0, 190, 255)), np.float32)
OUTLINE = 3  # pixels of the video


def follow(model: SAM2S, case: Case, prompt: str) -> dict[int, dict[int, NDArray[np.bool_]]]:
    """Return the masks that a model finds on the annotated frames, by frame and object."""
    tracker = Tracker(model, case.video, cache_bytes=0)
    wanted = sorted({t for track in case.tracks for t in track.frames})
    found: dict[int, dict[int, NDArray[np.bool_]]] = {t: {} for t in wanted}
    for track in case.tracks:
        first = track.frames[0]
        found[first][track.object.id] = prompt_first(tracker, track.object.id, first, track.known[first], prompt)
    for t, masks in tracker.propagate(stop=wanted[-1] + 1):
        if t in found:
            found[t] |= masks
    return found


def sheet(case: Case, found: dict[int, dict[int, NDArray[np.bool_]]]) -> Image.Image:
    """Return the annotated frames, two in a row."""
    page = Image.new("RGB", (WIDTH * ACROSS, HEIGHT * -(-len(found) // ACROSS)))
    for n, (t, masks) in enumerate(found.items()):
        image = np.asarray(case.video[t]).astype(np.float32)
        for track, colour in zip(case.tracks, COLOURS, strict=False):
            mask = masks.get(track.object.id)
            if mask is not None:
                image[mask] = 0.5 * image[mask] + 0.5 * colour
            truth = track.known.get(t)
            if truth is not None and truth.any():
                image[truth & ~binary_erosion(truth, iterations=OUTLINE)] = 255
        tile = Image.fromarray(image.astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
        ImageDraw.Draw(tile).text((4, HEIGHT - 14), f"frame {t}", fill="white", stroke_width=1, stroke_fill="black")
        page.paste(tile, (n % ACROSS * WIDTH, n // ACROSS * HEIGHT))
    return page


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--prompt", default="mask", choices=PROMPTS)
    parser.add_argument("--clips", nargs="+", choices=sorted(read_davis(ANNOTATIONS)), help="these only")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = load_model(args.model, image_size=args.image_size)
    for case in real_clips(args.videos, ANNOTATIONS):
        if args.clips and case.name not in args.clips:
            continue
        started = time.monotonic()
        sheet(case, follow(model, case, args.prompt)).save(args.out / f"{case.name}.png")
        sys.stdout.write(f"{args.out / case.name}.png: {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
