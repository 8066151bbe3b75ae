"""Real videos with masks: whose mask belongs to which picture, and what is not known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_sam2s import Project, open_video
from napari_sam2s.errors import FormatError, TrainingError
from napari_sam2s.formats import write_video
from napari_sam2s.training.clip_families import Recorded
from napari_sam2s.training.validation_cases import recorded_cases

SIZE = (64, 96)


def picture(t):
    """Return a dark frame with a bright square that moves, and its mask."""
    mask = np.zeros(SIZE, bool)
    mask[16:48, 4 * t : 4 * t + 32] = True
    return np.where(mask[..., None], 220, 40).astype(np.uint8).repeat(3, axis=2), mask


def davis(root, numbers, annotated, resolution="", split=None, video="v"):
    """Write pictures of these numbers, and masks of some of them."""
    pictures, masks = (root / kind / resolution / video for kind in ("JPEGImages", "Annotations"))
    pictures.mkdir(parents=True)
    masks.mkdir(parents=True)
    for t, number in enumerate(numbers):
        image, mask = picture(t)
        Image.fromarray(image).save(pictures / f"{number:05d}.jpg")
        if number in annotated:
            Image.fromarray(mask.astype(np.uint8)).save(masks / f"{number:05d}.png")
    if split is not None:
        (root / "meta.json").write_text(json.dumps({"split": split, "videos": {}}))
    return root


def overlap(image, mask):
    bright = image.mean(axis=-1) > 130
    return (bright & mask).sum() / (bright | mask).sum()


@pytest.mark.parametrize(
    ("numbers", "annotated", "resolution"),
    [
        (range(12), range(12), ""),
        (range(1, 13), (1, 4, 7, 10), ""),  # as ffmpeg numbers pictures
        (range(225, 237), range(225, 237), ""),  # as in EndoVis 2017
        (range(0, 60, 5), (0, 10, 55), ""),  # as in YouTube-VOS
        (range(5), range(5), "480p"),  # as in DAVIS
    ],
    ids=["from 0", "from 1", "from 225", "every fifth", "480p"],
)
def test_masks_belong_to_the_picture_of_their_number(tmp_path, numbers, annotated, resolution):
    root = davis(tmp_path / "root", numbers, set(annotated), resolution)
    (clip,) = Recorded([root], 64).clips
    assert len(clip) == len(annotated)
    assert min(overlap(clip[t], clip.masks(t)[1]) for t in range(len(clip))) > 0.95
    (case,) = recorded_cases([root])
    (track,) = case.tracks
    assert len(track.frames) == len(annotated)
    assert min(overlap(case.video[t], mask) for t, mask in track.known.items()) > 0.95


def test_a_mask_without_a_picture_of_its_number_is_said(tmp_path):
    root = davis(tmp_path / "root", range(1, 7), {1, 2})
    (root / "Annotations" / "v" / "00002.png").rename(root / "Annotations" / "v" / "00000.png")
    with pytest.raises(FormatError, match="has no picture of the annotated frame 0"):
        Recorded([root], 64)
    with pytest.raises(FormatError, match="has no picture of the annotated frame 0"):
        list(recorded_cases([root]))


def test_a_folder_of_subsets_is_all_but_the_test_splits(tmp_path):
    for name, split in (("AutoLaparo", "train"), ("DSAD-V", None), ("EndoVis17", "test")):
        davis(tmp_path / "SA-SV" / name, range(3), {0, 2}, split=split)
    assert [c.name for c in Recorded([tmp_path / "SA-SV"], 64).clips] == ["AutoLaparo/v", "DSAD-V/v"]
    assert [c.name for c in recorded_cases([tmp_path / "SA-SV"])] == ["AutoLaparo/v", "DSAD-V/v"]
    assert [c.name for c in Recorded([tmp_path / "SA-SV" / "EndoVis17"], 64).clips] == ["v"]
    davis(tmp_path / "tests" / "RARP50", range(3), {0, 2}, split="test")
    with pytest.raises(TrainingError, match="only test splits"):
        Recorded([tmp_path / "tests"], 64)


@pytest.fixture
def project(tmp_path):
    """A project of 12 frames: one object known on all of them, one on frames 4 to 7 (absent on 7), one removed."""
    video = write_video((picture(t)[0] for t in range(12)), tmp_path / "p.mp4")
    with open_video(video) as opened, Project.create(tmp_path / "p.sam2s", opened) as made:
        a, b, removed = (made.add_object(name).id for name in ("a", "b", "removed"))
        made.write_masks([(t, a, picture(t)[1], None) for t in range(10)])
        made.write_masks([(t, b, picture(t)[1] & (t < 7), None) for t in range(4, 8)])
        made.write_masks([(t, removed, picture(t)[1], None) for t in range(12)])
        made.objects.remove(removed)
    return tmp_path / "p.sam2s"


def test_where_nobody_looked_in_a_project_nothing_is_known(project):
    (clip,) = Recorded([project], 64).clips
    a, b = (o.id for o in clip.objects)
    assert len(clip) == 10  # on the last two only the removed object has masks
    assert [t for t in range(10) if b not in clip.unknown(t)] == [4, 5, 6, 7]
    assert not any(a in clip.unknown(t) for t in range(10))
    assert not clip.masks(7)[b].any()
    (case,) = recorded_cases([project])
    tracks = {track.object.name: track for track in case.tracks}
    assert tracks["a"].frames == list(range(10))
    assert {t: bool(mask.any()) for t, mask in tracks["b"].known.items()} == {4: True, 5: True, 6: True, 7: False}


def test_another_video_in_the_place_of_a_projects_is_refused(project):
    write_video((np.zeros((*SIZE, 3), np.uint8) for _ in range(12)), project.with_name("p.mp4"))
    for read in (lambda: Recorded([project], 64), lambda: list(recorded_cases([project]))):
        with pytest.raises(TrainingError, match=r"p\.mp4 is not the video of .*p\.sam2s"):
            read()


def test_two_projects_of_one_video_are_one_video(project, tmp_path):
    """Else one would be cut into the other, with its objects in sight."""
    with open_video(project.with_name("p.mp4")) as video, Project.create(tmp_path / "second.sam2s", video) as second:
        second.write_masks([(0, second.add_object("c").id, picture(0)[1], None)])
    root = davis(tmp_path / "root", range(3), {0})
    first, again, other = Recorded([project, tmp_path / "second.sam2s", root], 64).clips
    assert first.same_video(again)
    assert not first.same_video(other)


def test_void_pixels_are_neither_object_nor_background(tmp_path):
    root = davis(tmp_path / "root", range(4), range(4))
    masks = np.zeros(SIZE, np.uint8)
    masks[8:16, 8:40], masks[40:56, :48] = 1, 255
    for t in range(4):
        Image.fromarray(masks).save(root / "Annotations" / "v" / f"{t:05d}.png")
    (root / "Ignore" / "v").mkdir(parents=True)
    Image.fromarray((np.arange(SIZE[1])[None] >= 72).repeat(SIZE[0], 0).astype(np.uint8)).save(root / "Ignore/v/00002.png")
    (clip,) = Recorded([root], 64).clips
    assert clip.ignored(0).shape == (64, 64)
    assert clip.ignored(0)[40:56, :32].all()
    assert clip.ignored(0).sum() == 16 * 32
    assert clip.ignored(2).sum() == 16 * 32 + 64 * 16
    (track,) = next(recorded_cases([root])).tracks
    assert track.ignored(2).sum() == 16 * 48 + 64 * 24


def test_a_thread_that_covers_half_of_no_pixel_is_there_all_the_same(tmp_path):
    root = davis(tmp_path / "root", [0], {0})
    thread = np.zeros((640, 960), np.uint8)
    thread[301:303, 100:900] = 1
    Image.fromarray(thread).save(root / "Annotations" / "v" / "00000.png")
    (clip,) = Recorded([root], 64).clips
    rows, columns = np.nonzero(clip.masks(0)[1])
    assert set(rows) == {30}
    assert len(columns) > 50
