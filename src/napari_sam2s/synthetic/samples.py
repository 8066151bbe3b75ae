"""The built-in cases: what the demo, napari's samples and the tests run on."""

from __future__ import annotations

from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.synthetic.microscopy import Microscopy

DEMO_SEED = 20263  # never trained on
FPS = 25.0


def demo_case(frames: int = 150, size: tuple[int, int] = (270, 480)) -> Laparoscopy:
    """Return a short case of two instruments and an organ."""
    classes = ("grasper", "hook")
    return Laparoscopy(DEMO_SEED, frames, size, classes=classes, organ="gallbladder", absences=0, bleeding=False, fps=FPS)


def sixty_seconds(size: tuple[int, int] = (360, 640)) -> Laparoscopy:
    """Return a case of one minute, three instruments and an organ."""
    classes = ("grasper", "scissors", "suction")
    return Laparoscopy(DEMO_SEED + 1, 1500, size, classes=classes, organ="liver", fps=FPS)


def hard_reentry(size: tuple[int, int] = (360, 640)) -> Laparoscopy:
    """Return a case in which two graspers, alike but for their place, leave for long and come back."""
    classes = ("grasper", "grasper")
    return Laparoscopy(DEMO_SEED + 2, 600, size, classes=classes, organ=None, absences=2, absence_frames=(80, 140), fps=FPS)


def cells(size: tuple[int, int] = (384, 384)) -> Microscopy:
    """Return a drawn time-lapse of nuclei that drift, grow and divide."""
    return Microscopy(DEMO_SEED + 3, 120, size)
