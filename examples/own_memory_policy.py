"""Track with a memory policy of yours, and compare it with those that are built in.

    python examples/own_memory_policy.py memory

The folder must be new. A policy says which frames are remembered. The script tracks an organ once with each policy. It writes
`policies.csv`: J and F against the masks that were drawn. This clip is too short to tell policies apart. Use a long one,
with objects that leave and come back.
"""

import sys
from pathlib import Path

import pandas as pd

import napari_sam2s as sam2s
from napari_sam2s.measurements import write_table
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import DIVEMEM, VANILLA, MemoryPolicy

MINE = MemoryPolicy(name="mine", short_term=3, long_term=8, candidates=2, iou_threshold=0.5, require_consecutive=False)


def main(out: Path, frames: int = 6) -> None:
    """Track with each policy, and score."""
    out.mkdir(parents=True)
    case, model = demo_case(frames, size=(180, 320)), sam2s.load_model()
    rows = []
    for policy in (DIVEMEM, VANILLA, MINE):
        with sam2s.Project.create(out / f"{policy.name}.sam2s", case) as project:
            for known in case.objects:
                project.add_object(known.name, known.class_name)
            tracker = sam2s.Tracker(model, case, project, memory=policy)
            tracker.prompt(3, frame=0, points=[(145, 123)])
            for _ in tracker.propagate():
                pass
            score = sam2s.evaluate(project, case, skip="prompt", missing="empty").object(case.name, 3)
        rows.append({"policy": policy.name, "long_term": policy.long_term, "J": score.j, "F": score.f})
    table = pd.DataFrame(rows)
    print(table)
    print(write_table(table, out / "policies.csv"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "memory"))
