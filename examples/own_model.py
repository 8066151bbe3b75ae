"""Put a step of yours in front of a model: here, more light in dark frames.

    python examples/own_model.py model

The folder must be new. A tracker asks a model for what `napari_sam2s.model.video_model.VideoModel` lists, and for nothing else.
`Brighter` changes three of these methods, and leaves the others to the model inside. A network of yours has all of them.
"""

import sys
from pathlib import Path

import numpy as np

import napari_sam2s as sam2s
from napari_sam2s.synthetic.samples import demo_case


class Brighter:
    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def encode_frame(self, pixels):  # (S, S, 3) uint8
        return self.model.encode_frame(pixels * (255 // max(pixels.max(), 1)))

    def encode_prompted(self, pixels):  # the same of the part around a first prompt
        return self.model.encode_prompted(pixels * (255 // max(pixels.max(), 1)))

    def describe(self):  # what results depend on: the project keeps it
        return self.model.describe() | {"model": "sam2s-nano, brighter"}


def main(out: Path, frames: int = 6) -> None:
    """Track the gallbladder in frames that are far too dark, without and with that step."""
    out.mkdir(parents=True)
    case, model = demo_case(frames, size=(180, 320)), sam2s.load_model()
    video = sam2s.open_video(np.stack([case[t] // 10 for t in range(frames)]), fps=case.fps)
    for name, network in (("plain", model), ("brighter", Brighter(model))):
        with sam2s.Project.create(out / f"{name}.sam2s", video) as project:
            tracker = sam2s.Tracker(network, video, project)
            tracker.prompt(project.add_object("gallbladder").id, frame=0, points=[(145, 123)])
            sizes = [int(masks[1].sum()) for _, masks in tracker.propagate()]
            print(f"{name}: {sizes} pixels, expected IoU {tracker.scores(0)[1].iou:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "model"))
