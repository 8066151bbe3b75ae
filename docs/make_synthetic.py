"""Make docs/images/synthetic.jpg: drawn clips at three frames, and once more with the outlines of their ground truth.

python docs/make_synthetic.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from napari_sam2s.synthetic.clip import Clip
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.synthetic.microscopy import Microscopy

FRAMES, SIZE = (0, 40, 80), (240, 300)
SEEDS = (203, 204, 207, 202)  # a bloody case, a shaken one, an organ, several instruments


def outlined(clip: Clip, t: int) -> np.ndarray:
    """Return a frame with the outline of every object."""
    image = clip[t].copy()
    colours = ((255, 255, 0), (0, 255, 255), (255, 0, 255), (0, 255, 0))
    for i, mask in clip.masks(t).items():
        image[mask & ~binary_erosion(mask, iterations=2)] = colours[(i - 1) % len(colours)]
    return image


def main() -> None:
    """Write the picture."""
    clips: list[Clip] = [Laparoscopy(seed, 100, SIZE) for seed in SEEDS]
    clips.append(Microscopy(5, 100, SIZE))
    rows = [np.concatenate([*(clip[t] for t in FRAMES), outlined(clip, FRAMES[-1])], axis=1) for clip in clips]
    Image.fromarray(np.concatenate(rows)).save(Path(__file__).parent / "images" / "synthetic.jpg", quality=88)


if __name__ == "__main__":
    main()
