"""How long each instrument is in view: a drawn operation of three instruments, tracked by the built-in model, to a table.

``python examples/instrument_times.py --out times`` draws the video, prompts each instrument with its first mask, tracks, and
writes ``times.csv``. Beside the seconds that the model sees an instrument it prints those that it is really there, as a drawn
video knows. For a video of yours: prompt in napari, then ``napari-sam2s measure case.sam2s --table objects --out times.csv``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import napari_sam2s as sam2s
from napari_sam2s.formats import write_video
from napari_sam2s.measurements import write_table
from napari_sam2s.synthetic.laparoscopy import Laparoscopy

COLUMNS = ["name", "class", "first_s", "last_s", "visible_s", "entries", "exits"]


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    """Do it, print the table and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("times"), help="a new folder")
    parser.add_argument("--frames", type=int, default=500)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True)

    classes = ("grasper", "scissors", "suction")
    clip = Laparoscopy(20264, args.frames, (180, 320), classes=classes, organ=None, fps=25.0)
    path = write_video((clip[t] for t in range(args.frames)), args.out / "operation.mp4", fps=25.0)
    with sam2s.open_video(path) as video, sam2s.Project.create(args.out / "operation.sam2s", video) as project:
        tracker = sam2s.Tracker(sam2s.load_model("sam2s-nano"), video, project)
        really = []
        for o in clip.objects:
            first = next((t for t in range(args.frames) if clip.masks(t)[o.id].sum() > 50), None)
            if first is None:
                continue  # it comes in later than this part of the video
            tracked = project.add_object(o.name, o.class_name)
            tracker.prompt(tracked.id, frame=first, mask=clip.masks(first)[o.id])
            really.append(sum(clip.masks(t)[o.id].any() for t in range(args.frames)) / 25)
        for _ in tracker.propagate():
            pass
        times = sam2s.measure(project, video, "objects")[COLUMNS]
        write_table(times, args.out / "times.csv")
    print(times.assign(really_s=really).to_string(index=False))
    return times.assign(really_s=really)


if __name__ == "__main__":
    main()
