"""Numbers by frame: the same as the masks say, however they came to be."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_sam2s.masklets import Project, Scores
from napari_sam2s.masklets.mask_statistics import IOU_ONE, ORIGINS, SCORE_ONE, UNKNOWN, Series, SeriesCache


def slowly(project, object_id):
    """Return what a series should be, from the masks themselves."""
    rows = []
    for t in project.frames:
        mask = project.mask(t, object_id)
        if mask is None:
            continue
        score = project.scores(t).get(object_id)
        where = np.argwhere(mask)
        y0, x0, y1, x1 = (*where.min(axis=0), *(where.max(axis=0) + 1)) if len(where) else (0, 0, 0, 0)
        origin, sure = project.masks.origins(t)[object_id], t in project.masks.confirmed_frames(object_id)
        numbers = (None, None) if score is None else (score.iou, score.object_score)
        rows.append((t, int(mask.sum()), *numbers, y0, x0, y1 - y0, x1 - x0, origin, sure))
    return Series.of_rows(rows)


def same(one, other):
    for name in ("frames", "area", "iou", "object_score", "bbox", "origin", "confirmed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def check(project):
    for o in project.objects:
        same(project.masks.series(o.id), slowly(project, o.id))


def test_follows_every_change(project):
    check(project)
    project.write_masks([(t, 1, np.eye(24, 32, dtype=bool), Scores(0.25, -1.5)) for t in (3, 4, 29)])
    check(project)
    project.labels[7, 2:5, 2:5] = 2
    project.confirm(7)
    check(project)
    project.tracks.swap(1, 2, 5, 20)
    check(project)
    project.tracks.delete(2, 10, 15)
    check(project)
    project.tracks.merge(1, 2, 20)
    check(project)
    new = project.add_object().id
    project.tracks.move(2, new, 0, 4)
    check(project)
    project.tracks.copy(new, 2, 10, 12)
    check(project)
    while project.undo():
        check(project)
    while project.redo():
        check(project)


def test_says_what_it_is_made_of(project):
    project.write_masks([(3, 1, np.zeros((24, 32), dtype=bool), Scores(0.25, -1.5))])
    series = project.masks.series(1)
    assert len(series) == 30
    assert series.iou[3] == np.float32(0.25)
    assert np.isnan(series.iou[4])
    assert series.bbox[4].tolist() == [2, 4, 9, 12]
    assert series.centre[4].tolist() == [5.0, 7.5]
    assert np.isnan(series.centre[3]).all()
    assert ORIGINS[series.origin[0]] == "propagated"
    assert series.where("propagated").tolist() == list(range(30))
    with pytest.raises(ValueError, match="read-only"):
        series.area[0] = 1
    empty = project.masks.series(project.add_object().id)
    assert len(empty) == 0
    assert empty.bbox.shape == (0, 4)
    assert [s.state for s in empty.spans(30)] == ["unseen"]


def test_what_did_not_happen_is_not_in_it(project):
    before = project.masks.series(1)

    def fail():
        with project.history.step("will fail"):
            project.write_masks([(0, 1, np.ones((24, 32), dtype=bool), None)])
            assert project.masks.series(1).area[0] == 24 * 32
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    same(project.masks.series(1), before)


def test_a_reader_sees_what_the_writer_does(project):
    with Project.open(project.path, mode="r") as reader:
        told = []
        reader.masks_changed.connect(told.append)
        same(reader.masks.series(1), project.masks.series(1))
        assert reader.labels[5, 0, 0] == 0
        assert not reader.store.refresh()
        project.labels[5, 0, 0] = 1
        same(reader.masks.series(1), slowly(project, 1))
        assert reader.labels[5, 0, 0] == 1
        assert told == [()]


def test_only_what_changed_is_read_again():
    asked = []
    cache = SeriesCache(lambda *key: asked.append(key) or Series.of_rows([]), threading.RLock())
    for _ in range(2):
        cache.get(1)
    assert asked == [(1, None, None)]
    cache.touch([(t, i) for t in (6, 200, 5, 60, 201) for i in (1, 2)])
    for _ in range(2):
        cache.get(1)
    assert asked[1:] == [(1, 5, 60), (1, 200, 201)], "what is near each other together"
    cache.clear()
    cache.get(1)
    assert asked[3:] == [(1, None, None)]


def test_scores_of_float32_come_back_exactly_and_what_has_none_has_none(project):
    rng = np.random.default_rng(0)
    values = np.concatenate((rng.normal(0, 10, 27), [0.0, -32.0])).astype(np.float32)
    values[np.abs(values) < 1 / 2] = 0
    ious = np.concatenate((rng.uniform(1 / 64, 1, 27), [0.0, 1.0])).astype(np.float32)
    scores = [Scores(float(u), float(v)) for u, v in zip(ious, values, strict=True)]
    project.write_masks([(t, 1, np.eye(24, 32, dtype=bool), s) for t, s in enumerate(scores)])
    project.write_masks([(29, 1, np.eye(24, 32, dtype=bool), None)])
    series = project.masks.series(1)
    np.testing.assert_array_equal(series.object_score[:29], values)
    np.testing.assert_array_equal(series.iou[:29], ious)
    assert np.isnan(series.object_score[29])
    assert series.bbox[29].tolist() == [0, 0, 24, 24]


def test_the_order_of_the_file_does_not_matter():
    """SQL promises none to what is joined; frames 2 and 1, of which the first is absent."""
    box = 3 << 48 | 4 << 32 | 2 << 16 | 3
    filled = 2 * ORIGINS.index("interpolated")
    scores = (IOU_ONE // 2 << 32) - SCORE_ONE  # 0.5 and -1
    texts = (f"{2 << 34},{1 << 34 | 6 << 4 | filled}", f"0,{box}", f"{scores},{UNKNOWN}")
    series = Series.of_packed(texts)
    assert series.frames.tolist() == [1, 2]
    assert series.area.tolist() == [6, 0]
    assert series.bbox.tolist() == [[3, 4, 5, 7], [0, 0, 0, 0]]
    np.testing.assert_array_equal(series.iou, np.array([np.nan, 0.5], np.float32))
    np.testing.assert_array_equal(series.object_score, np.array([np.nan, -1], np.float32))
    assert series.where("interpolated").tolist() == [1]
    assert not series.confirmed.any()


def test_scores_are_kept_within_what_they_can_mean(project):
    odd = [Scores(1.5, 1e9), Scores(-0.1, -1e9), Scores(float("nan"), 3.0), Scores(0.5, 1 / 3)]
    project.write_masks([(t, 1, np.eye(24, 32, dtype=bool), s) for t, s in enumerate(odd)])
    series = project.masks.series(1)
    np.testing.assert_array_equal(series.iou[:4], np.array([1, 0, np.nan, 0.5], np.float32))
    np.testing.assert_allclose(series.object_score[:4], [63, -63, np.nan, 1 / 3], atol=2**-25)
