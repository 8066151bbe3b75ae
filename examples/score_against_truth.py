"""Score masks against ground truth, and write a table.

    python examples/score_against_truth.py scores

The folder must be new. The script tracks three objects from one click each. It scores them against the masks that were drawn.
`scores.csv` has J (overlap) and F (boundary) of each object. Either side may also be a DAVIS folder or a project.
"""

import sys
from pathlib import Path

import napari_sam2s as sam2s
from napari_sam2s.masklets import Prompt
from napari_sam2s.synthetic.samples import demo_case


def main(out: Path, frames: int = 8) -> None:
    """Track and score."""
    out.mkdir(parents=True)
    truth = demo_case(frames, size=(180, 320))
    clicks = [
        Prompt(1, frame=0, points=((37.0, 156.0),), labels=(1,)),  # the grasper; one click finds a part of it
        Prompt(2, frame=0, points=((112.0, 226.0),), labels=(1,)),  # the hook
        Prompt(3, frame=0, points=((145.0, 123.0),), labels=(1,)),  # the gallbladder
    ]
    with sam2s.Project.create(out / "case.sam2s", truth) as project:
        for known in truth.objects:  # objects are matched by their numbers
            project.add_object(known.name, known.class_name)
        prediction = sam2s.track(truth, clicks, project=project)
        scores = sam2s.evaluate(prediction, truth, skip="prompt", missing="empty")
    print(scores)  # a Markdown table, and the protocol
    scores.write_csv(out / "scores.csv")
    print(out / "scores.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "scores"))
