"""Pictures of real nuclei set in motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.errors import TrainingError
from research.nuclei import Nuclei, read_plate

REAL = Path("/work/shared/real/nuclei")


def picture(folder, number, labels):
    rng = np.random.default_rng(number)
    colour = rng.integers(0, 40, (*labels.shape, 3), dtype=np.uint8)
    colour[labels > 0] += 150
    Image.fromarray(colour).save(folder / f"{number:04d}.jpg")
    Image.fromarray(labels).save(folder / f"{number:04d}.png")


def test_real_pictures_are_taken_apart_and_held_out_by_name(tmp_path):
    labels = np.zeros((80, 100), dtype=np.uint8)
    labels[10:30, 10:30], labels[40:60, 50:75], labels[60:, 80:] = 1, 2, 3
    picture(tmp_path, 8, labels)
    picture(tmp_path, 9, labels)
    assert [p.stem for p in Nuclei(tmp_path, 80).paths] == ["0008"]
    assert [p.stem for p in Nuclei(tmp_path, 80, held_out=True).paths] == ["0009"]
    plate = read_plate(tmp_path / "0008.jpg", 80)
    assert len(plate.cells) == 2  # what is cut by the border stays out
    assert plate.background[15:25, 15:25].mean() < 60  # and what is cut out is filled
    clip = Nuclei(tmp_path, 80)(5, 8)
    assert clip.shape == (24, 80, 80, 3)
    first = clip.masks(0)
    assert sorted(int(m.sum()) for m in first.values() if m.any())[0] > 300
    assert clip[0][next(m for m in first.values() if m.any())].mean() > 120


def test_nothing_to_set_in_motion(tmp_path):
    with pytest.raises(TrainingError, match="no pictures"):
        Nuclei(tmp_path)
    picture(tmp_path, 1, np.zeros((64, 64), dtype=np.uint8))
    with pytest.raises(TrainingError, match="None of 1 pictures"):
        Nuclei(tmp_path, 64)(0, 8)
    with pytest.raises(TrainingError, match="no nucleus"):
        read_plate(tmp_path / "0001.jpg", 64)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the real material in {REAL}")
def test_real_nuclei():
    clip = Nuclei(REAL, 128, held_out=True)(1, 8)
    assert any(m.any() for m in clip.masks(0).values())
