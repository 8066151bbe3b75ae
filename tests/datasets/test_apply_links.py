"""Uncertain links, decided by a person."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.datasets import DATASETS, apply_review, convert
from napari_sam2s.errors import DatasetError
from napari_sam2s.formats import DavisWriter, read_davis


@pytest.fixture
def polyps(tmp_path, trees):
    """A sequence of four frames: a polyp, two, none of them near, and one more that comes back."""
    place = tmp_path / "source" / "sequenceData" / "positive" / "seq1"
    spots = [[(4, 4)], [(4, 4), (20, 44)], [(20, 44)], [(4, 6)]]
    for t, here in enumerate(spots):
        trees.photo(place / "images_seq1" / f"seq1_C6_{t}.jpg", t)
        places = [((slice(y, y + 16), slice(x, x + 16)), 255) for y, x in here]
        trees.paint(place / "masks_seq1" / f"seq1_C6_{t}_mask.jpg", places)
    report = convert(DATASETS["polypgen"], tmp_path / "source", tmp_path / "target")
    assert report.made[0].masklets == 3
    return tmp_path / "target" / "PolypGen"


def decide(folder, **same_as):
    path = folder / "review.json"
    review = json.loads(path.read_text())
    for link in review["links"]:
        link["same_as"] = same_as.get(f"object_{link['object']}", link["same_as"])
    path.write_text(json.dumps(review))


def test_the_list_says_what_to_decide(polyps):
    [link] = json.loads((polyps / "review.json").read_text())["links"]
    assert (link["video"], link["frame"], link["object"], link["category"]) == ("seq1", 3, 3, "polyp")
    assert {c["object"] for c in link["candidates"]} == {1, 2}
    assert link["same_as"] is None


def test_joined(polyps):
    decide(polyps, object_3=1)
    assert apply_review(polyps) == (1, 0)
    video = read_davis(polyps)["seq1"]
    assert [o.id for o in video.objects] == [1, 2]
    assert [sorted(video.masks(t)) for t in range(4)] == [[1], [1, 2], [2], [1]]
    with Image.open(polyps / "Annotations" / "seq1" / "00003.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[3:6] == [128, 0, 0]
    assert json.loads((polyps / "meta.json").read_text())["made"]["masklets"] == 2
    assert apply_review(polyps) == (0, 0)  # nothing is done twice


def test_left_apart_or_open(polyps):
    before = {p: p.read_bytes() for p in polyps.rglob("*.png")}
    assert apply_review(polyps) == (0, 1)
    decide(polyps, object_3=3)
    assert apply_review(polyps) == (0, 0)
    assert {p: p.read_bytes() for p in polyps.rglob("*.png")} == before


def test_objects_that_are_on_one_frame_are_not_joined(polyps):
    review = json.loads((polyps / "review.json").read_text())
    review["links"].append({**review["links"][0], "object": 2, "same_as": 1})
    (polyps / "review.json").write_text(json.dumps(review))
    before = {p: p.read_bytes() for p in polyps.rglob("*.png")}
    with pytest.raises(DatasetError, match="1 and 2 of seq1 are both on frame 1"):
        apply_review(polyps)
    assert {p: p.read_bytes() for p in polyps.rglob("*.png")} == before


def test_a_wrong_number(polyps):
    decide(polyps, object_3=9)
    with pytest.raises(DatasetError, match=r"says same_as 9; its objects are \[1, 2, 3\]"):
        apply_review(polyps)


def test_whole_objects_are_joined_as_well(tmp_path, converted):
    _, target, _ = converted("cis")
    shutil.copytree(target / "CIS-Test", tmp_path / "CIS-Test")
    folder = tmp_path / "CIS-Test"
    link = {"video": "VID14", "frame": 0, "object": 2, "category": "hook", "reason": "", "candidates": [], "same_as": 1}
    (folder / "review.json").write_text(json.dumps({"links": [link]}))
    with pytest.raises(DatasetError, match="both on frame 0"):
        apply_review(folder)
    whole = folder / "Annotations_objects" / "VID14"
    for t in (0, 1):  # as if they took turns
        (whole / f"{2 - t:03d}" / f"{t:05d}.png").unlink()
        path = folder / "Annotations" / "VID14" / f"{t:05d}.png"
        with Image.open(path) as picture:
            labels = np.array(picture)
            palette = picture.getpalette()
        kept = Image.fromarray(np.where(labels == t + 1, labels, 0).astype(np.uint8), mode="P")
        kept.putpalette(palette)
        kept.save(path)
    assert apply_review(folder) == (1, 0)
    assert [p.name for p in whole.iterdir()] == ["001"]
    assert np.asarray(Image.open(whole / "001" / "00001.png"))[18, 30]  # of the hook


SIZE = (40, 60)


def layered(root, masks, link):
    """A converted video with a picture an object: ``{frame: {object id: rows}}``, each object a bar of three rows."""
    writer = DavisWriter(root, "v", SIZE)
    for t, rows in masks.items():
        drawn = {i: np.zeros(SIZE, bool) for i in rows}
        for i, y in rows.items():
            drawn[i][y : y + 3] = True
            path = root / "Annotations_objects" / "v" / f"{i:03d}" / f"{t:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn[i]).save(path)
        writer.write(t, {i: m for i, m in drawn.items() if i <= 254})
    ids = sorted({i for rows in masks.values() for i in rows})
    objects = {str(i): {"category": "cell", "name": f"cell {i}", "frames": []} for i in ids}
    (root / "meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects, "made": {"masklets": len(ids)}}}}))
    entry = {"video": "v", "frame": 1, "category": "cell", "reason": "", "candidates": [], **link}
    (root / "review.json").write_text(json.dumps({"links": [entry]}))


@pytest.mark.parametrize(("old", "new"), [(300, 1), (300, 256), (9, 300), (256, 2)])
def test_objects_beyond_the_palette_are_joined(tmp_path, old, new):
    layered(tmp_path, {0: {new: 2, 5: 20}, 1: {old: 10, 5: 11}, 2: {5: 30}}, {"object": old, "same_as": new})
    assert apply_review(tmp_path) == (1, 0)
    video = read_davis(tmp_path)["v"]
    assert [o.id for o in video.objects] == sorted({new, 5})
    assert [sorted(video.masks(t)) for t in range(3)] == [sorted({new, 5}), sorted({new, 5}), [5]]
    assert video.masks(1)[new].sum() == 3 * 60
    labels = np.asarray(Image.open(tmp_path / "Annotations" / "v" / "00001.png"))
    if new <= 254:
        assert labels[10, 0] == new
    assert labels[12, 0] == (max(new, 5) if new <= 254 else 5)  # the higher id covers; beyond 254 none is there
    assert sorted(np.unique(labels)) == sorted({0, 5} | ({new} if new <= 254 else set()))


def test_objects_that_are_apart_in_the_palette_alone_are_not_joined(tmp_path):
    """Object 9 lies wholly under object 2 on frame 1, and 300 is in no palette picture."""
    for old, new in ((9, 2), (300, 2)):
        root = tmp_path / str(old)
        layered(root, {0: {new: 2}, 1: {new: 10, old: 10}}, {"object": old, "same_as": new})
        before = {p: p.read_bytes() for p in root.rglob("*.*") if p.is_file()}
        with pytest.raises(DatasetError, match=f"2 and {old} of v are both on frame 1"):
            apply_review(root)
        assert {p: p.read_bytes() for p in root.rglob("*.*") if p.is_file()} == before
