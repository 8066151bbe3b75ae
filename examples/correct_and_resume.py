"""Pause a run, resume it, correct a frame, and track on from the correction.

    python examples/correct_and_resume.py correct

The folder must be new. One click finds only a part of the grasper. The script pauses the run, and resumes it as a second
process would. Then it gives a better mask on one frame, confirms it, and tracks on. Masks before that frame stay as they are.
"""

import sys
from pathlib import Path

import napari_sam2s as sam2s
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import ProjectRun, resume_run


def main(out: Path, frames: int = 9, corrected: int = 5) -> None:
    """Track, pause, resume, correct, track on."""
    out.mkdir(parents=True)
    video, model = demo_case(frames, size=(180, 320)), sam2s.load_model()

    with sam2s.Project.create(out / "case.sam2s", video) as project:
        grasper = project.add_object("grasper").id
        tracker = sam2s.Tracker(model, video, project)
        tracker.prompt(grasper, frame=0, points=[(37, 156)])
        run = ProjectRun(tracker)
        for frame, _ in run:
            if frame == 2:
                break  # or the process is killed
        run.pause()
    print(f"paused after frame {frame}")

    with sam2s.Project.open(out / "case.sam2s") as project:
        run = resume_run(project, video, model)
        for frame, _ in run:
            print(f"frame {frame}: expected IoU {project.scores(frame)[grasper].iou:.2f}")
        better = video.masks(corrected)[grasper]  # (Y, X) bool; yours comes from a brush, or from clicks
        run.tracker.prompt(grasper, frame=corrected, mask=better)
        project.confirm(corrected)  # later runs stop here, and never overwrite it
        for frame, _ in ProjectRun(run.tracker, start=corrected):
            print(f"frame {frame} again: expected IoU {project.scores(frame)[grasper].iou:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "correct"))
