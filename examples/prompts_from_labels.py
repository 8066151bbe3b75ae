"""Track objects whose masks exist on one frame, as a label array.

    python examples/prompts_from_labels.py labels

The folder must be new. The label array `(Y, X)` has one number for each object, and 0 for background, as Cellpose, StarDist and
napari's Labels layers have it. Here it is drawn: five nuclei. The script writes the project, and a label stack for Fiji.
"""

import sys
from pathlib import Path

import numpy as np

import napari_sam2s as sam2s
from napari_sam2s.synthetic.samples import cells


def main(out: Path, frames: int = 6) -> None:
    """Take the labels of the first frame as prompts, and track."""
    out.mkdir(parents=True)
    clip = cells(size=(192, 192))
    stack = np.stack([clip[t] for t in range(frames)])  # (T, Y, X, 3)
    labels = np.zeros((192, 192), np.uint16)
    for number in (7, 8, 9, 13, 14):
        labels[clip.masks(0)[number]] = number

    video = sam2s.open_video(stack, fps=clip.fps)
    with sam2s.Project.create(out / "nuclei.sam2s", video) as project:
        tracker = sam2s.Tracker(sam2s.load_model(), video, project)
        for number in np.unique(labels[labels > 0]):
            nucleus = project.add_object(f"nucleus {number}", class_name="nucleus")
            tracker.prompt(nucleus.id, frame=0, mask=labels == number)
        for frame, masks in tracker.propagate():
            print(f"frame {frame}: {sum(mask.any() for mask in masks.values())} nuclei")
        print(project.export(out / "tiff", format="tiff"))  # frames as (T, Y, X), one number for each nucleus


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "labels"))
