"""COCO instances: there and back, and what pycocotools reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_sam2s.errors import FormatError
from napari_sam2s.formats import read_coco, write_coco
from napari_sam2s.formats.coco_rle import encode_rle
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
        "images": [{"id": 9, "height": 2, "width": 3, "file_name": "a.jpg"}, {"id": 4, "height": 2, "width": 3}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"image_id": 9, "category_id": 1, "segmentation": segmentation}] * 2,
    }
    (tmp_path / "x.json").write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="each of its 2 masks is an object of its own"):
        [back] = read_coco(tmp_path / "x.json").values()
    assert back.frames == [0, 1]
    assert back.masks(0) == {}
    assert {i: int(m.sum()) for i, m in back.masks(1).items()} == {1: 2, 2: 2}
    facts["annotations"][0]["segmentation"] = [[0, 0, 1, 1, 2, 0]]
    (tmp_path / "x.json").write_text(json.dumps(facts))
    with pytest.raises(FormatError, match="polygons"), pytest.warns(UserWarning, match="of its own"):
        next(iter(read_coco(tmp_path / "x.json").values())).masks(1)


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
    with pytest.warns(UserWarning, match=r"no track_id: each of its 5 masks is an object of its own"):
        read_coco(path)
