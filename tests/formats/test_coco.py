"""COCO instances: there and back, and what pycocotools reads."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_sam2s.errors import FormatError
from napari_sam2s.formats import read_coco, write_coco
from napari_sam2s.formats.coco import CocoMasklets
from napari_sam2s.formats.coco_rle import decode_segmentation, encode_rle
from napari_sam2s.masklets import Project, Scores, rle

SIZE = (24, 30)


@settings(max_examples=200, deadline=None)
@given(
    arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.booleans(), fill=st.booleans()),
    st.tuples(*[st.integers(0, 3)] * 4),
)
def test_run_lengths_are_those_of_pycocotools_wherever_the_mask_lies(crop, margins):
    top, bottom, left, right = margins
    frame = np.pad(crop, ((top, bottom), (left, right)))
    expected = coco_mask.encode(np.asfortranarray(frame.astype(np.uint8)))
    assert encode_rle(rle.encode(frame), frame.shape)["counts"] == expected["counts"].decode()


def test_there_and_back(tmp_path, sparse):
    path = write_coco(sparse, tmp_path, "case")
    assert path == tmp_path / "case_coco.json"
    back = read_coco(tmp_path)["case"]
    assert back.frames == [0, 4, 6]
    assert back.objects == sparse.objects
    assert (back.shape, back.fps) == (sparse.shape, 25.0)
    for frame in sparse.frames:
        ours, theirs = back.masks(frame), sparse.masks(frame)
        for i, mask in theirs.items():
            np.testing.assert_array_equal(ours.get(i, np.zeros(SIZE, bool)), mask)
    with pytest.raises(FormatError, match="Frame 1"):
        back.masks(1)


def test_pycocotools_reads_it(tmp_path, capsys, sparse):
    api = COCO(str(write_coco(sparse, tmp_path, "case")))
    assert [c["name"] for c in api.loadCats(api.getCatIds())] == ["grasper", "hook", "object"]
    [image] = [i for i in api.loadImgs(api.getImgIds()) if i["frame_index"] == 0]
    assert (image["height"], image["width"], image["file_name"]) == (*SIZE, "case/00000.jpg")
    found = api.loadAnns(api.getAnnIds(imgIds=[image["id"]]))
    assert [a["track_id"] for a in found] == [2, 5]
    for a in found:
        expected = sparse.masks(0)[a["track_id"]]
        np.testing.assert_array_equal(api.annToMask(a).astype(bool), expected)
        assert a["area"] == expected.sum() == coco_mask.area(a["segmentation"])
        np.testing.assert_array_equal(a["bbox"], coco_mask.toBbox(a["segmentation"]))
    assert len(api.getAnnIds()) == 5
    assert len(api.getAnnIds(catIds=api.getCatIds(catNms=["grasper"]))) == 2


def test_a_project_tells_scores_and_origins(tmp_path, sparse):
    with Project.create(tmp_path / "p.sam2s", np.zeros((3, *SIZE, 3), np.uint8)) as project:
        project.add_object("left")
        mask = sparse.masks(0)[2]
        project.write_masks([(0, 1, mask, Scores(0.9, 5.0))])
        project.write_masks([(1, 1, mask, None)], origin="interpolated")
        project.write_masks([(2, 1, np.zeros(SIZE, bool), Scores(0.1, -5.0))])
        project.confirm(0)
        annotations = json.loads(project.export(tmp_path, "coco").read_text())["annotations"]
    assert [(a["image_id"], a["origin"], a["confirmed"]) for a in annotations] == [
        (1, "propagated", True),
        (2, "interpolated", False),
    ]
    assert annotations[0]["score"] == pytest.approx(0.9)
    assert "score" not in annotations[1]


def test_other_peoples_files(tmp_path):
    """No track_id, no frame_index: an object an annotation, frames in the order of the images."""
    segmentation = {"size": [2, 3], "counts": [1, 2, 3]}
    facts = {
        "images": [{"id": n, "height": 2, "width": 3, "file_name": name} for n, name in ((9, "b/1.jpg"), (4, "b/0.jpg"))],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"image_id": 9, "category_id": 1, "segmentation": segmentation}] * 2,
    }
    (tmp_path / "x.json").write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="no track_id: 2 masks become separate objects"):
        [back] = read_coco(tmp_path / "x.json").values()
    assert back.frames == [0, 1]
    assert back.masks(0) == {}
    assert {i: int(m.sum()) for i, m in back.masks(1).items()} == {1: 2, 2: 2}
    facts["annotations"][0]["segmentation"] = [[0, 0, 2, 0, 2, 2, 0, 2]]
    (tmp_path / "x.json").write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="separate objects"):
        assert next(iter(read_coco(tmp_path / "x.json").values())).masks(1)[1].tolist() == [[True, True, False]] * 2


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not a COCO file"), ("{}", "not a COCO file"), ('{"images": [], "categories": []}', "not a COCO")]
)
def test_wrong_files(tmp_path, text, words):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FormatError, match=words):
        read_coco(tmp_path / "x.json")
    with pytest.raises(FormatError, match="holds no"):
        read_coco(tmp_path)
    with pytest.raises(FormatError, match="no file"):
        read_coco(tmp_path / "nowhere.json")


@pytest.mark.parametrize("names", ["track_id", "instance_id", "attributes"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_which_object_a_mask_is_of_as_several_programs_write_it(tmp_path, sparse, names, encoding):
    path = write_coco(sparse, tmp_path, "case")
    facts = json.loads(path.read_text(encoding="utf-8"))
    for a in facts["annotations"]:
        i = a.pop("track_id")
        a[names] = {"track_id": i} if names == "attributes" else i
    path.write_text(json.dumps(facts), encoding=encoding)
    back = read_coco(path)["case"]
    assert {frame: sorted(back.masks(frame)) for frame in back.frames} == {0: [2, 5], 4: [5], 6: [2, 5]}
    facts["annotations"][0].pop(names)
    path.write_text(json.dumps(facts))
    with pytest.raises(FormatError, match="1 annotations have no track_id, and others have one"):
        read_coco(path)
    for a in facts["annotations"]:
        a.pop(names, None)
    path.write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match=r"no track_id: 5 masks become separate objects"):
        read_coco(path)


def of_others(path, names, **more):
    """Write a file without frame_index, as other programs do; the mask of image n is pixel n."""
    runs = [{"size": [2, 8], "counts": [2 * n, 1, 15 - 2 * n]} for n in range(len(names))]
    images = [{"id": n + 1, "height": 2, "width": 8, "file_name": name} | more for n, name in enumerate(names)]
    annotations = [
        {"id": n + 1, "image_id": n + 1, "category_id": 1, "track_id": 1, "segmentation": r} for n, r in enumerate(runs)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}))
    return path


@pytest.mark.parametrize(
    ("names", "frames", "told"),
    [
        (["f0.png", "f1.png", "f10.png", "f2.png"], [0, 1, 10, 2], ""),  # sorted as text
        (["v/00000.jpg", "v/00005.jpg", "v/00010.jpg"], [0, 5, 10], ""),  # every fifth frame is annotated
        (["00001.jpg", "00002.jpg", "00004.jpg"], [0, 1, 3], ""),  # as ffmpeg counts
        (["f100.png", "f101.png"], [100, 101], "are read as the frames 100 to 101 of their names"),
        (["f_002_png.rf.0a1b.jpg", "f_000_png.rf.9c.jpg", "f_001_png.rf.77.jpg"], [2, 0, 1], ""),  # Roboflow's
        (["left.png", "right.png"], [0, 1], "give no order: the order of their ids is used"),
    ],
)
def test_which_frame_an_image_is(tmp_path, names, frames, told):
    """The ids alone were taken: masks lay on other frames, without a word."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        video = CocoMasklets(of_others(tmp_path / "a.json", names))
    assert {t: int(np.flatnonzero(video.masks(t)[1][0])[0]) for t in video.frames} == {t: n for n, t in enumerate(frames)}
    assert video.shape == (max(frames) + 1, 2, 8)
    assert [told in str(w.message) for w in warned] == ([True] if told else [])


def test_images_of_several_videos_are_refused(tmp_path):
    with pytest.raises(FormatError, match="images of several videos"):
        CocoMasklets(of_others(tmp_path / "a.json", ["a/0.png", "b/0.png"]))
    facts = json.loads(of_others(tmp_path / "b.json", ["a0.png", "b1.png"]).read_text())
    facts["images"][0]["video_id"], facts["images"][1]["video_id"] = 1, 2
    (tmp_path / "b.json").write_text(json.dumps(facts))
    with pytest.raises(FormatError, match="images of several videos"):
        CocoMasklets(tmp_path / "b.json")


def test_an_object_of_several_categories_is_told(tmp_path):
    facts = json.loads(of_others(tmp_path / "a.json", ["0.png", "1.png"]).read_text())
    facts["categories"].append({"id": 2, "name": "b"})
    facts["annotations"][1]["category_id"] = 2
    (tmp_path / "a.json").write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="Object 1 of .* has several categories. The first is used: a"):
        assert CocoMasklets(tmp_path / "a.json").objects[0].class_name == "a"


@pytest.mark.parametrize("seed", range(40))
def test_polygons_are_drawn_as_pycocotools_draws_them(seed):
    random = np.random.default_rng(seed)
    height, width, corners = (int(n) for n in random.integers((1, 1, 3), (60, 60, 12)))
    points = random.uniform(-10, 70, (corners, 2)).round(int(seed % 2) * 3)  # whole pixels, too
    polygons = [np.repeat(points, 1 + seed % 3, 0).ravel().tolist(), random.uniform(0, 50, 8).tolist()]
    theirs = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    np.testing.assert_array_equal(decode_segmentation(polygons, (height, width)), theirs.astype(bool))


@pytest.mark.parametrize(
    "polygon", [[0, 0, 3, 3], [0, 0, 3, 3, 1], [], ["a"] * 6, [0, 0, float("nan"), 3, 1, 1], {}, [[1, 2]] * 3]
)
def test_what_is_no_polygon(polygon):
    with pytest.raises(FormatError, match="A polygon is no list"):
        decode_segmentation([polygon], (9, 9))


def test_ids_that_are_text_and_classes_without_a_name(tmp_path):
    """As programs write them that make random ids: they were refused, and a class was called None."""
    path = of_others(tmp_path / "a.json", ["0.png", "1.png", "2.png"], id=None)
    facts = json.loads(path.read_text())
    for n, (image, a) in enumerate(zip(facts["images"], facts["annotations"], strict=True)):
        image["id"] = a["image_id"] = f"x{3 - n}"
        a["track_id"] = ("b7", "a1", "b7")[n]
    facts["categories"][0]["name"] = facts["info"] = None
    path.write_text(json.dumps(facts))
    video = CocoMasklets(path)
    assert [(o.id, o.name, o.class_name) for o in video.objects] == [(1, "b7", None), (2, "a1", None)]
    assert [{i: int(np.flatnonzero(m[0])[0]) for i, m in video.masks(t).items()} for t in range(3)] == [{1: 0}, {2: 1}, {1: 2}]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f["images"][1].update(id=1), "two images have one id"),  # two of three were lost
        (lambda f: f["categories"].append({"id": 1, "name": "b"}), "two categories have one id"),
        (lambda f: f["images"][1].update(frame_index=7), "some images have a frame_index, and others none"),
        (lambda f: f["images"][1].update(file_name="b/1.png"), "images of several videos"),
        (lambda f: f["annotations"][1].update(image_id=9), "the image 9, which is not listed"),
        (lambda f: f["annotations"][1].update(category_id=9), "the category 9, which is not listed"),
        (lambda f: f["annotations"][1].pop("segmentation"), "no segmentation"),
        (lambda f: f.update(images=[], annotations=[]), "no images"),
    ],
)
def test_files_that_contradict_themselves_are_refused(tmp_path, spoil, words):
    path = of_others(tmp_path / "a.json", ["a/0.png", "a/1.png", "a/2.png"])
    facts = json.loads(path.read_text())
    spoil(facts)
    path.write_text(json.dumps(facts))
    with pytest.raises(FormatError, match=words):
        CocoMasklets(path)


def test_boxes_without_masks_and_crowds_are_told(tmp_path):
    path = of_others(tmp_path / "a.json", ["0.png"])
    facts = json.loads(path.read_text())
    facts["annotations"][0] |= {"segmentation": [], "iscrowd": 1}
    path.write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match=r"marks 1 mask as a crowd"), pytest.raises(FormatError, match="perhaps a box alone"):
        CocoMasklets(path).masks(0)
