"""Fine-tune the built-in model on projects of yours, and load the result.

    python examples/fine_tune.py tuned

The folder must be new. The script draws a project with true masks, and trains two small steps on it. That is enough to see that
it runs, and too little to learn. For real use take `configs/finetune.toml` as it is, and judge on a project that was held back.
"""

import re
import sys
from pathlib import Path

import napari_sam2s as sam2s
from napari_sam2s.cli import main as command
from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case

SETTINGS = Path(__file__).parents[1] / "configs" / "finetune.toml"
SMALL = {"steps": 2, "image_size": 128, "frames": 3, "batch": 1}  # in place of 200, 384, 6 and 2


def main(out: Path, frames: int = 6) -> None:
    """Draw a project, train on it, load the result."""
    out.mkdir(parents=True)
    case = demo_case(frames, size=(120, 160))
    path = write_video((case[t] for t in range(frames)), out / "case.mp4", fps=case.fps)
    with sam2s.open_video(path) as video, sam2s.Project.create(out / "case.sam2s", video) as project:
        hook = project.add_object("hook", class_name="hook")
        project.write_masks([(t, hook.id, case.masks(t)[2], None) for t in range(frames)], origin="imported")

    settings = SETTINGS.read_text(encoding="utf-8")
    for name, small in SMALL.items():
        settings = re.sub(rf"^{name} = \d+", f"{name} = {small}", settings, flags=re.MULTILINE)
    (out / "settings.toml").write_text(settings, encoding="utf-8")
    arguments = ["--data", out / "case.sam2s", "--out", out / "run", "--workers", "0"]
    command(["train", str(out / "settings.toml"), *map(str, arguments)])  # as `napari-sam2s train ...` in a terminal

    model = sam2s.load_model(out / "run" / "model.pt")
    print(f"{out / 'run' / 'model.pt'} takes frames of {model.facts.image_size} pixels")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tuned"))
