"""Measure how long each instrument is in view: a drawn operation, tracked by the built-in model, as tables and a plot.

    python examples/instrument_times.py times

The folder must be new. The script draws the operation, and prompts each instrument with its first mask. `times.csv` has seconds
in view, entries and exits. `areas.csv` has the area on each frame. `areas.png` plots it, if matplotlib is installed.
For a video of yours: prompt in napari, then `napari-sam2s measure case.sam2s --table objects --out times.csv`.
"""

import sys
from contextlib import suppress
from pathlib import Path

import napari_sam2s as sam2s
from napari_sam2s.measurements import write_table
from napari_sam2s.synthetic.laparoscopy import Laparoscopy

COLUMNS = ["name", "class", "first_s", "last_s", "visible_s", "entries", "exits", "really_s"]


def main(out: Path, frames: int = 25) -> None:
    """Draw, track, measure, plot. Column `really_s` is the truth, as a drawn video knows it."""
    out.mkdir(parents=True)
    clip = Laparoscopy(20264, frames, (180, 320), classes=("grasper", "scissors", "suction"), organ=None, fps=25.0)
    with sam2s.Project.create(out / "operation.sam2s", clip) as project:
        tracker = sam2s.Tracker(sam2s.load_model(), clip, project)
        truth, really = [clip.masks(t) for t in range(frames)], []  # {number: (Y, X) bool} of each frame
        for instrument in clip.objects:
            seen = [t for t in range(frames) if truth[t][instrument.id].sum() > 50]
            if seen:
                tracked = project.add_object(instrument.name, instrument.class_name)
                tracker.prompt(tracked.id, frame=seen[0], mask=truth[seen[0]][instrument.id])
                really.append(len(seen) / clip.fps)
        for _ in tracker.propagate():
            pass
        times = sam2s.measure(project, None, "objects").assign(really_s=really)[COLUMNS]
        areas = sam2s.measure(project).pivot(index="time_s", columns="name", values="area_px")
    print(times.to_string(index=False))
    print(write_table(times, out / "times.csv"), write_table(areas.reset_index(), out / "areas.csv"))
    with suppress(ImportError):  # pandas plots with matplotlib, which this package does not need
        areas.plot(ylabel="area (px)", backend="matplotlib").figure.savefig(out / "areas.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "times"))
