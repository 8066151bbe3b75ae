"""Track in an array of yours: NumPy, dask or zarr, also of 16 bits.

    python examples/arrays_as_video.py arrays

The folder must be new. The array may be larger than the memory: frames are read when they are needed. The model sees 8 bits, by
one mapping for the whole video. Measurements use the raw values: `nuclei.csv` has their mean for each frame.
"""

import sys
from pathlib import Path

import dask.array
import numpy as np
import zarr

import napari_sam2s as sam2s
from napari_sam2s.measurements import write_table
from napari_sam2s.synthetic.samples import cells


def main(out: Path, frames: int = 6) -> None:
    """Write a zarr array, open it in three ways, and track in it."""
    out.mkdir(parents=True)
    clip = cells(size=(192, 192))
    stack = np.stack([clip[t][..., 0] for t in range(frames)]).astype(np.uint16) * 100 + 500  # (T, Y, X)
    stored = zarr.create_array(out / "nuclei.zarr", data=stack, chunks=(1, 192, 192))

    for array in (stack, dask.array.from_array(stack, chunks=(1, 192, 192)), stored):
        video = sam2s.open_video(array, axes="TYX", fps=1.0)
        print(type(array).__module__, video.shape, video.mapping)

    with sam2s.Project.create(out / "nuclei.sam2s", video) as project:  # the last one: zarr
        nucleus = project.add_object("nucleus")
        tracker = sam2s.Tracker(sam2s.load_model(), video, project)
        y, x = np.argwhere(clip.masks(0)[13]).mean(axis=0)
        tracker.prompt(nucleus.id, frame=0, points=[(y, x)])
        for frame, masks in tracker.propagate():
            print(f"frame {frame}: {masks[nucleus.id].sum()} pixels")
        print(write_table(sam2s.measure(project, video), out / "nuclei.csv"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "arrays"))
