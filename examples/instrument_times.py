"""Measure how long each instrument is in view: a drawn operation, tracked by the built-in model, as tables.

    python examples/instrument_times.py times

The folder must be new. The script draws the operation, and prompts each instrument with its first mask. `times.csv` has seconds
in view, entries and exits. `areas.csv` has the area on each frame. Plot it with `areas.plot()` of pandas, or in napari.
The model misses the tip of the scissors while they leave and come back: review the masks before you count.
For a video of yours: prompt in napari, then `napari-sam2s measure case.sam2s --table objects --out times.csv`.
"""

import sys
from pathlib import Path

import numpy as np

import napari_sam2s as sam2s
from napari_sam2s.measurements import write_table
from napari_sam2s.synthetic.laparoscopy import Laparoscopy

COLUMNS = ["name", "class", "first_s", "last_s", "visible_s", "entries", "exits", "really_s"]


def main(out: Path, frames: int = 14) -> None:
    """Draw, track, measure. Column `really_s` is the truth, as a drawn video knows it."""
    out.mkdir(parents=True)
    every, away = 8, {"absences": 1, "absence_frames": (20, 30)}  # about three frames a second
    clip = Laparoscopy(2, every * frames, (180, 320), classes=("grasper", "scissors"), organ=None, fps=25.0, **away)
    truth = [clip.masks(t * every) for t in range(frames)]  # {number: (Y, X) bool} of each frame
    video = sam2s.open_video(np.stack([clip[t * every] for t in range(frames)]), fps=25.0 / every)
    with sam2s.Project.create(out / "operation.sam2s", video) as project:
        tracker = sam2s.Tracker(sam2s.load_model(), video, project)
        really = []
        for instrument in clip.objects:
            tracked = project.add_object(instrument.name, instrument.class_name)
            tracker.prompt(tracked.id, frame=0, mask=truth[0][instrument.id])
            really.append(sum(masks[instrument.id].any() for masks in truth) * every / 25.0)
        for _ in tracker.propagate():
            pass
        times = sam2s.measure(project, None, "objects").assign(really_s=really)[COLUMNS]
        areas = sam2s.measure(project).pivot(index="time_s", columns="name", values="area_px")
    print(times.to_string(index=False))
    print(write_table(times, out / "times.csv"), write_table(areas.reset_index(), out / "areas.csv"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "times"))
