"""DAVIS folders, there and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.errors import FormatError
from napari_sam2s.evaluation import evaluate
from napari_sam2s.formats import read_davis, write_davis, write_video
from napari_sam2s.formats.davis_layout import davis_palette
from napari_sam2s.masklets import Object, Project
from napari_sam2s.video import open_video


class Two:
    """Two objects that overlap; frame 1 is not annotated, frame 2 is empty."""

    shape = (3, 20, 30)
    objects = (Object(1, "left", "grasper"), Object(4, "right"))
    frames = (0, 2)

    @staticmethod
    def masks(frame):
        a, b = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
        if frame == 0:
            a[5:10, 5:15], b[5:10, 12:20] = True, True
        return {1: a, 4: b}


def test_round_trip(tmp_path):
    with pytest.warns(UserWarning, match="15 pixels went to the object further down the object table"):
        folder = write_davis(Two(), tmp_path, "clip")
    assert sorted(p.name for p in folder.iterdir()) == ["00000.png", "00002.png"]
    back = read_davis(tmp_path)["clip"]
    assert back.frames == [0, 2]
    assert [(o.id, o.name, o.class_name) for o in back.objects] == [(1, "left", "grasper"), (4, "right", None)]
    truth = Two.masks(0)
    np.testing.assert_array_equal(back.masks(0)[1], truth[1] & ~truth[4])
    np.testing.assert_array_equal(back.masks(0)[4], truth[4])
    assert back.masks(2) == {}
    with pytest.raises(FormatError, match="Frame 1"):
        back.masks(1)


def test_the_palette_is_davis_own(tmp_path):
    with pytest.warns(UserWarning, match="overlap"):
        folder = write_davis(Two(), tmp_path, "clip")
    with Image.open(folder / "00000.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    assert davis_palette()[-3:] == (224, 224, 192)


def test_meta_of_several_videos(tmp_path):
    for name in ("a", "b"):
        with pytest.warns(UserWarning, match="overlap"):
            write_davis(Two(), tmp_path, name)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert set(meta["videos"]) == {"a", "b"}
    facts = {"category": "grasper", "name": "left", "frames": ["00000", "00002"], "colour": [255, 255, 255], "parent": None}
    assert meta["videos"]["a"]["objects"]["1"] == facts


def test_a_layout_with_a_resolution_between(tmp_path):
    folder = tmp_path / "Annotations" / "480p" / "dog"
    folder.mkdir(parents=True)
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(folder / "00000.png")
    assert list(read_davis(tmp_path)) == ["dog"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: (d / "00000.png").write_bytes(b"no picture"), "cannot be read"),
        (lambda d: Image.new("RGB", (8, 8)).save(d / "00000.png"), "RGB picture"),
    ],
)
def test_bad_pictures(tmp_path, spoil, words):
    spoil(tmp_path)
    with pytest.raises(FormatError, match=words):
        read_davis(tmp_path)[tmp_path.name].masks(0)


def test_255_is_void_only_where_ids_have_8_bits(tmp_path):
    labels = np.zeros((20, 30), np.uint16)
    labels[:5], labels[5:9], labels[9:12] = 255, 256, 3
    for name, picture in (("wide", labels), ("narrow", (labels % 256).astype(np.uint8))):
        (tmp_path / name).mkdir()
        Image.fromarray(picture).save(tmp_path / name / "00000.png")
    videos = read_davis(tmp_path)
    assert {i: int(m.sum()) for i, m in videos["wide"].masks(0).items()} == {3: 90, 255: 150, 256: 120}
    assert videos["wide"].ignored(0) is None
    assert sorted(videos["narrow"].masks(0)) == [3]
    assert videos["narrow"].ignored(0).sum() == 150


def test_ids_beyond_the_palette(tmp_path):
    class Far(Two):
        @staticmethod
        def masks(frame):
            return {300: np.ones((20, 30), bool)}

    with pytest.raises(FormatError, match="object 300"):
        write_davis(Far(), tmp_path, "x")
    assert not list(tmp_path.rglob("*.png"))


def test_a_broken_meta(tmp_path):
    (tmp_path / "v").mkdir()
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "v" / "00000.png")
    (tmp_path / "v" / "meta.json").write_text("{}")
    with pytest.raises(FormatError, match=r"not a YouTube-VOS meta\.json"):
        _ = read_davis(tmp_path)["v"].objects


def test_overlapping_objects_and_unlabelled_pixels_have_folders_of_their_own(tmp_path):
    with pytest.warns(UserWarning, match="overlap"):
        write_davis(Two(), tmp_path, "clip")
    for i, mask in Two.masks(0).items():
        (tmp_path / "Annotations_objects" / "clip" / f"{i:03d}").mkdir(parents=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "Annotations_objects" / "clip" / f"{i:03d}" / "00000.png")
    (tmp_path / "Ignore" / "clip").mkdir(parents=True)
    unlabelled = np.zeros((20, 30), np.uint8)
    unlabelled[:3] = 1
    Image.fromarray(unlabelled).save(tmp_path / "Ignore" / "clip" / "00000.png")
    back = read_davis(tmp_path)["clip"]
    for i, mask in Two.masks(0).items():
        np.testing.assert_array_equal(back.masks(0)[i], mask)
    assert back.masks(2) == {}
    np.testing.assert_array_equal(back.ignored(0), unlabelled > 0)
    assert back.ignored(2) is None


def test_folders_are_named_as_the_video_without_its_ending(tmp_path):
    """As `JPEGImages/case` and the ground truth of others are."""
    video = open_video(write_video(np.zeros((2, 16, 16, 3), np.uint8), tmp_path / "case.mp4"))
    with Project.create(tmp_path / "case.mp4.sam2s", video) as project:
        project.add_object()
        project.write_masks([(0, 1, np.ones((16, 16), bool), None)])
        assert project.export(tmp_path / "out", "davis").name == "case"
        assert project.export(tmp_path / "out", "coco").name == "case_coco.json"
        (tmp_path / "case.avi.sam2s").touch()  # that of another video, which would be `case` too
        assert project.export(tmp_path / "out", "davis").name == "case.mp4"
    (tmp_path / "case.avi.sam2s").unlink()
    (tmp_path / "case.mp4.sam2s").rename(tmp_path / "v1.0.sam2s")
    with Project.open(tmp_path / "v1.0.sam2s") as project:
        assert project.export(tmp_path / "out", "davis").name == "v1.0"
    assert set(read_davis(tmp_path / "out")) == {"case", "case.mp4", "v1.0"}
    truth = read_davis(tmp_path / "out")
    earlier = {"case.mp4": truth["case"], "other.mp4": truth["case"]}
    scores = evaluate(earlier, {"case": truth["case"], "other": truth["case"]}, skip="none")
    assert (scores.videos, scores.overall.jf) == (("case", "other"), 1.0)


def test_palettes_whose_numbers_change_places_are_refused(tmp_path):
    """As image editors save that sort the colours of each picture."""
    (tmp_path / "case").mkdir()
    labels = np.zeros((20, 30), np.uint8)
    labels[2:5, 2:5], labels[9:15, 9:15] = 1, 2
    for t, order in enumerate(((0, 1, 2), (0, 2, 1))):
        picture = Image.fromarray(np.argsort(order).astype(np.uint8)[labels], mode="P")
        colours = ((0, 0, 0), (200, 0, 0), (0, 200, 0))
        picture.putpalette([value for n in order for value in colours[n]])
        picture.save(tmp_path / "case" / f"{t:05d}.png")
    with pytest.raises(FormatError, match=r"00001\.png gives number 1 the colour that number 2 has .*: save all"):
        read_davis(tmp_path / "case")["case"].objects  # noqa: B018


def save(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path)


def square(value=1):
    labels = np.zeros((20, 30), np.uint8)
    labels[2:8, 3:9] = value
    return labels


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["00000_1", "00000_2"], r"00000_1\.png may be frame 1, or object 1 of frame 0\. Masks are read from one picture"),
        (["00012_1"], r"may be frame 1, or object 1 of frame 12"),
        (["frame_0007_obj_1"], r"may be frame 1, or object 1 of frame 7"),
        (["00000_1", "00000_2", "00001_1", "00001_2"], r"differ as those of several channels.*Masks are read from one picture"),
        (["1_00000", "2_00000", "1_00001", "2_00001"], r"differ as those of several channels"),
        (["t0.00", "t0.04", "t0.08"], r"have no number of the frame"),
    ],
)
def test_names_whose_number_may_be_an_objects_are_refused(tmp_path, names, words):
    for name in names:
        save(tmp_path / "v" / f"{name}.png", square())
    with pytest.raises(FormatError, match=words):
        read_davis(tmp_path / "v")


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["00000_1", "00001_1"], [0, 1]),  # what is the same in all is no frame
        (["patient0012_01", "patient0012_03"], [1, 3]),
        (["seq01_00", "seq01_01"], [0, 1]),
        (["frame_000", "frame_005"], [0, 5]),
        (["case1_mask_004"], [4]),
    ],
)
def test_names_with_a_number_of_the_video(tmp_path, names, frames):
    for name in names:
        save(tmp_path / "v" / f"{name}.png", square())
    assert read_davis(tmp_path / "v")["v"].frames == frames


def test_a_folder_for_each_object_is_a_video_as_sam_2_and_sa_v_write_them(tmp_path):
    """They were taken for videos, and those of one number for the last one of them."""
    for video, row in (("a", 2), ("b", 9)):
        for i, frames in ((0, (0, 4)), (1, (4,))):
            for t in frames:
                mask = np.zeros((20, 30), np.uint8)
                mask[row + i, t : t + 5] = 255
                save(tmp_path / "Annotations_6fps" / video / f"{i:03d}" / f"{t:05d}.png", mask)
    found = read_davis(tmp_path / "Annotations_6fps")
    assert list(found) == ["a", "b"]
    assert found["b"].frames == [0, 4]
    assert [o.id for o in found["b"].objects] == [0, 1]
    assert {i: np.argwhere(m)[0].tolist() for i, m in found["b"].masks(4).items()} == {0: [9, 4], 1: [10, 4]}
    assert set(found["b"].masks(0)) == {0}
    assert found["b"].ignored(4) is None
    save(tmp_path / "Annotations_6fps" / "b" / "001" / "00004.png", square(1) + np.eye(20, 30, 12) * 2)
    with pytest.raises(FormatError, match=r"001/00004\.png has several values, and its folder is that of one object"):
        found["b"].masks(4)


def test_videos_of_one_name_are_refused(tmp_path):
    for size in ("480p", "1080p"):
        save(tmp_path / size / "0001" / "00000.png", square())
        save(tmp_path / size / "0002" / "00000.png", square())
    with pytest.raises(FormatError, match=r"480p/0001 and .*1080p/0001 have one name|1080p/0001 and .*480p/0001 have one name"):
        read_davis(tmp_path)
