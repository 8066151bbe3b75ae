"""Track all videos of a folder, each into its own project.

    python examples/batch_of_a_folder.py batch

The folder must be new. The script draws two short videos into it. Beside each video it puts a label picture of the first frame,
`VIDEO_frame0.png`: the prompts. Call `batch` again after a failure: it does what is missing, and nothing else.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import napari_sam2s as sam2s
from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.laparoscopy import Laparoscopy


def draw(folder: Path, frames: int) -> None:
    """Draw the videos and the prompts."""
    folder.mkdir(parents=True)
    for seed, name in ((1, "monday"), (2, "tuesday")):
        clip = Laparoscopy(seed, frames, (120, 160), classes=("grasper",), organ="liver", fps=25.0)
        write_video((clip[t] for t in range(frames)), folder / f"{name}.mp4", fps=clip.fps)
        masks = clip.masks(0)
        labels = np.max([i * mask for i, mask in masks.items()], axis=0)
        Image.fromarray(labels.astype(np.uint8)).save(folder / f"{name}_frame0.png")


def main(out: Path, frames: int = 6, **options) -> None:
    """Draw the videos and track them."""
    draw(out, frames)
    for row in sam2s.batch(out, prompts="masks", workers=1, **options):  # options: model, device, scheduler
        print(f"{row.video.name}: {row.state}, {row.objects} objects, {row.tracked} frames {row.message}")
    print(out / "sam2s-batch.csv")


if __name__ == "__main__":  # needed: batch starts processes that read this file
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "batch"))
