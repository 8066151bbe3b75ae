"""Pictures that a teacher outlined: what is kept of its answers, and the stills that are cut of them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from napari_sam2s.errors import TrainingError
from research import outline_pictures
from research.outline_pictures import gcompris_pictures, outline
from research.outlined_stills import OutlinedStills

SQUARE = np.s_[8:40, 16:64]  # of a picture of 64 x 128 pixels


class FakeTeacher:
    """Answers a click in the square with it, its left half and something that it is not sure of; elsewhere with nothing."""

    def look_at(self, picture):
        self.scale, self.inner, self.clicks = 8.0, (512, 1024), 0

    def click(self, points):
        self.clicks += len(points)
        logits = torch.full((len(points), 3, 256, 256), -10.0)
        iou = torch.zeros(len(points), 3)
        for n, (x, y) in enumerate(points):
            if 16 <= x < 64 and 8 <= y < 40:
                logits[n, 0, 16:80, 32:128] = 10.0
                logits[n, 2, 16:60, 100:128] = 10.0
                logits[n, 1, 16:80, 32:80] = 10.0
                iou[n] = torch.tensor([0.95, 0.9, 0.5])
        return logits, iou

    def whole(self, logits, size):
        inner = logits[:, None, :128, :256]
        return torch.nn.functional.interpolate(inner, size, mode="nearest")[:, 0].numpy() > 0


def test_what_the_teacher_is_sure_of_is_kept_once():
    picture = np.zeros((64, 128, 3), np.uint8)
    teacher = FakeTeacher()
    small, masks = outline(teacher, picture)
    assert small.shape == picture.shape
    truth = np.zeros((2, 64, 128), bool)
    truth[0][SQUARE] = True
    truth[1, 8:40, 16:40] = True
    assert np.array_equal(masks, truth)
    assert teacher.clicks < 98  # of the whole grid: where two sure masks lie, no more is asked


def test_a_picture_without_anything_sure_has_no_masks():
    teacher = FakeTeacher()
    teacher.click = lambda points: (torch.full((len(points), 3, 256, 256), -10.0), torch.zeros(len(points), 3))
    assert outline(teacher, np.zeros((64, 128, 3), np.uint8))[1].shape == (0, 64, 128)


@pytest.fixture
def outlined(tmp_path):
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[SQUARE] = 255
    masks = np.zeros((3, 64, 128), bool)  # the last one has vanished
    masks[0][SQUARE] = True
    masks[1, 8:40, 16:40] = True
    bits = np.packbits(masks.reshape(3, -1), axis=1)
    np.savez(tmp_path / "outlined.npz", picture00000=picture, masks00000=bits, picture00001=picture, masks00001=bits[:0])
    return tmp_path / "outlined.npz"


def test_stills_show_what_their_masks_say(outlined):
    family = OutlinedStills(outlined, 96)
    wholes = 0
    for seed in range(20):
        clip = family(seed)
        assert clip.shape == (1, 96, 96, 3)
        masks = clip.masks(0)
        assert all(mask.mean() > 0.003 for mask in masks.values())
        union = np.any(list(masks.values()), axis=0)
        assert clip.frame(0)[union].mean() > 230  # what is outlined is white, but for a blurred border
        wholes += any((~mask & (clip.frame(0)[..., 0] > 200)).mean() < 0.01 for mask in masks.values())
        assert np.array_equal(clip.frame(0), family(seed).frame(0))
    assert wholes > 5


def test_material_without_masks_is_refused(tmp_path):
    np.savez(tmp_path / "none.npz", picture00000=np.zeros((8, 8, 3), np.uint8), masks00000=np.zeros((0, 8), np.uint8))
    with pytest.raises(TrainingError, match="has a mask"):
        OutlinedStills(tmp_path / "none.npz", 96)(0)
    with pytest.raises(TrainingError, match="no material"):
        OutlinedStills(tmp_path / "nowhere.npz", 96)
    thread = np.zeros((200, 200), bool)
    thread[:, 7] = True
    thread[9:, 7] = False
    bits = np.packbits(thread.reshape(1, -1), axis=1)
    np.savez(tmp_path / "thin.npz", picture00000=np.zeros((200, 200, 3), np.uint8), masks00000=bits)
    with pytest.raises(TrainingError, match="large enough in 20 tries"):
        OutlinedStills(tmp_path / "thin.npz", 96)(0)


def test_a_folder_without_photographs_is_refused_before_anything_is_outlined(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["outline", str(tmp_path), str(tmp_path / "o.npz"), "--material", "m.npz", "--gcompris", str(tmp_path)]
    )
    with pytest.raises(SystemExit) as ended:
        outline_pictures.main()
    assert ended.value.code == 2
    assert "no photographs" in capsys.readouterr().err
    assert not (tmp_path / "o.npz").exists()


def test_photographs_are_read_out_of_resource_files(tmp_path):
    def stored(size, kind):
        file = io.BytesIO()
        Image.new("RGB", size, "red").save(file, kind)
        return struct.pack(">I", file.tell()) + file.getvalue()

    parts = stored((320, 240), "JPEG"), stored((20, 20), "JPEG"), stored((240, 300), "WEBP")
    (tmp_path / "explore_farm.rcc").write_bytes(b"qres" + b"".join(parts))
    (tmp_path / "drawn.rcc").write_bytes(stored((320, 240), "JPEG"))
    assert [p.shape for p in gcompris_pictures(tmp_path)] == [(240, 320, 3), (300, 240, 3)]
