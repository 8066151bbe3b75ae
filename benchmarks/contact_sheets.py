"""Six real clips that nothing was trained on, followed from a box on the first frame: sheets to look at, there is no truth.

    python benchmarks/contact_sheets.py REAL/videos OUT [--model sam2s-nano] [--image-size 320] [--rate 5]

One PNG a clip: eight frames with the mask, and the object score below each. A number does not say whether the
object, a part of it, or something else is followed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from napari_sam2s import load_model, open_video, track
from napari_sam2s.masklets.vocabulary import Prompt

BOXES = {  # (y0, x0, y1, x1) in pixels of the first frame
    "02_cups": (293, 569, 541, 738),
    "05_default_juggle": (278, 610, 360, 692),
    "10_cloth_magic": (436, 503, 717, 835),
    "13_butterfly": (205, 500, 455, 600),
    "16_robotarm": (135, 278, 450, 797),
    "20_doughkneading": (428, 528, 585, 845),
}
TILES, WIDTH, HEIGHT = 8, 400, 225
TINT = np.array((0, 255, 120), np.float32)


def sheet(video, found, frames: list[int]) -> Image.Image:
    """Return the frames with the mask of object 1, four in a row."""
    page = Image.new("RGB", (WIDTH * 4, (HEIGHT + 16) * 2))
    draw = ImageDraw.Draw(page)
    for n, t in enumerate(frames):
        image = np.asarray(video[t]).astype(np.float32)
        mask = found.masks(t).get(1)
        if mask is not None and mask.any():
            image[mask] = 0.45 * image[mask] + 0.55 * TINT
        x, y = n % 4 * WIDTH, n // 4 * (HEIGHT + 16)
        page.paste(Image.fromarray(image.astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BOX), (x, y))
        score = found.scores(t).get(1)
        draw.text((x + 4, y + HEIGHT + 2), f"frame {t}" + ("" if score is None else f", object score {score.object_score:.1f}"))
    return page


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second that are tracked")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = load_model(args.model, image_size=args.image_size)
    for name, box in BOXES.items():
        started = time.monotonic()
        with open_video(args.videos / f"{name}.mp4") as video:
            found = track(video, [Prompt(1, 0, box=box)], model=model, rate=args.rate)
            frames = np.linspace(0, found.frames[-1], TILES).round().astype(int).tolist()
            sheet(video, found, frames).save(args.out / f"{name}.png")
        sys.stdout.write(f"{args.out / name}.png: {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
