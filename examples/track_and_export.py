"""Click an object, track it through the video, and export the masks.

    python examples/track_and_export.py track

The folder must be new. The script draws a short operation into it, and clicks the gallbladder on the first frame. It leaves the
project, a DAVIS folder with one PNG for each frame, and a video with the masks drawn on it. For a video of yours, change `path`
and `click`.
"""

import sys
from pathlib import Path

import napari_sam2s as sam2s
from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case


def main(out: Path, frames: int = 10) -> None:
    """Draw, click, track, export."""
    out.mkdir(parents=True)
    case = demo_case(frames, size=(180, 320))
    path = write_video((case[t] for t in range(frames)), out / "case.mp4", fps=case.fps)
    click = (145, 123)  # (y, x) in pixels of the video

    with sam2s.open_video(path) as video, sam2s.Project.create(out / "case.sam2s", video) as project:
        organ = project.add_object("gallbladder", class_name="gallbladder")
        tracker = sam2s.Tracker(sam2s.load_model(), video, project)
        mask = tracker.prompt(organ.id, frame=0, points=[click])  # (Y, X) bool, at once
        print(f"The click finds {mask.sum()} pixels. The model expects an IoU of {tracker.scores(0)[organ.id].iou:.2f}.")
        for frame, masks in tracker.propagate():  # each frame is on disk when you see it
            print(f"frame {frame}: {masks[organ.id].sum()} pixels")
        print(project.export(out / "davis", format="davis"))
        print(project.export(out / "overlay.mp4", format="overlay", video=video))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "track"))
