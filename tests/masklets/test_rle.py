"""Run lengths against pycocotools and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, mask_queries, rle


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_round_trip(mask):
    kept = rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(kept, mask.shape), mask)
    assert kept.area == mask.sum()


@pytest.mark.parametrize(
    "make",
    [
        lambda m: m,
        lambda m: m | True,
        lambda m: np.pad(np.ones((1, 1), bool), ((0, 19), (0, 29))),
        lambda m: np.pad(np.ones((1, 1), bool), ((19, 0), (29, 0))),
    ],
    ids=["empty", "full", "first pixel", "last pixel"],
)
def test_edges(make):
    mask = make(np.zeros((20, 30), bool))
    kept = rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(kept, (20, 30)), mask)


def test_box_and_area_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = np.zeros((60, 80), bool)
        y, x = rng.integers(0, 40, 2)
        mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 30)] = rng.random() < 0.9
        mask &= rng.random(mask.shape) < 0.8
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        kept = rle.encode(mask)
        assert kept.area == coco.area(theirs)
        x0, y0, width, height = coco.toBbox(theirs)
        assert (kept.y0, kept.x0, kept.height, kept.width) == (y0, x0, height, width)


def test_smaller_than_pycocotools_on_smooth_masks():
    y, x = np.mgrid[:1080, :1920]
    mask = (y - 500) ** 2 + (x - 900) ** 2 < (200 + 20 * np.sin(x / 30)) ** 2
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert len(rle.encode(mask).counts) < 1.5 * len(theirs)


@pytest.mark.long  # that the type grows is shown by test_labels.py
def test_65_535_objects_on_a_frame(tmp_path):
    class Plate:
        shape, fps, path = (2, 256, 256, 3), 1.0, None

    image = np.arange(1, 256 * 256 + 1, dtype=np.uint32).reshape(256, 256)
    image[image > 65_535] = 0
    one = np.ones((1, 1), dtype=bool)
    with Project.create(tmp_path / "plate.sam2s", Plate()) as project:
        with project.history.step("add many"):
            project.store.db.executemany(
                "INSERT INTO objects (id, name, colour, sort) VALUES (?1, 'cell', '[9, 9, 9]', ?1)",
                ((i,) for i in range(1, 65_536)),
            )
        project.write_masks([(0, i, rle.encode(one, divmod(i - 1, 256)), None) for i in range(1, 65_536)])
        assert project.labels.dtype == np.uint32
        np.testing.assert_array_equal(project.labels[0], image)


@pytest.mark.parametrize("counts", [b"xx", b"\x01junk", rle.encode(np.eye(4, dtype=bool)).counts])
def test_damaged_runs_are_one_sentence(counts):
    with pytest.raises(ProjectError, match="damaged"):
        rle.decode(rle.Mask(0, 0, 5, 7, counts, 9), (8, 8))


def test_centroids_of_runs_are_those_of_the_pixels_and_of_each_mask_alone():
    random = np.random.default_rng(0)
    masks, expected = [], []
    for _ in range(100):
        full = np.zeros((40, 50), bool)
        height, width = random.integers(1, 20, 2)
        full[7 : 7 + height, 9 : 9 + width] = random.random((height, width)) < random.choice([0.1, 0.5, 1.0])
        if full.any():
            masks.append(rle.encode(full))
            expected.append(np.argwhere(full).mean(axis=0))
    masks.append(rle.encode(np.ones((300, 400), bool)))  # one run, whose length takes four bytes
    expected.append((149.5, 199.5))
    np.testing.assert_allclose(rle.centres_of(masks), expected, atol=1e-9)
    np.testing.assert_array_equal(np.concatenate([rle.centres_of([mask]) for mask in masks]), rle.centres_of(masks))
    assert rle.centres_of([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: {"counts": b""}, "has no run lengths"),
        (lambda m: {"counts": m.counts[:-6]}, "cut short"),
        (lambda m: {"x0": m.x0 + 1}, "its place is not"),
        (lambda m: {"area": m.area + 1}, "do not fill its box"),
        (lambda m: {"counts": rle._pack(np.array([0, 5, 5, 5, 3])) + m.counts[-4:], "area": 10}, "do not fill its box"),
    ],
)
def test_a_damaged_mask_among_others_has_no_centroid_and_its_damage_is_told(change, words):
    good = rle.encode(np.eye(6, dtype=bool))
    with pytest.raises(ProjectError, match=words):
        rle.centres_of([good, replace(good, **change(good)), good])


def test_masks_of_a_project_in_large_bites(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_queries, "BLOCK", 3)
    square = np.zeros((8, 9), bool)
    square[2:4, 3:6] = True
    with Project.create(tmp_path / "a.sam2s", np.zeros((10, 8, 9, 3), np.uint8)) as project:
        for _ in range(3):
            project.add_object()
        project.write_masks([(t, i, square if t % 4 else ~square & False, None) for t in (9, 1, 4, 2) for i in (2, 1, 3)])
        project.objects.remove(3)
        seen = list(project.masks.seen())
        assert [(t, i) for t, i, _ in seen] == [(1, 1), (1, 2), (2, 1), (2, 2), (9, 1), (9, 2)]
        assert all(np.array_equal(rle.decode(mask, (8, 9)), square) for _, _, mask in seen)
