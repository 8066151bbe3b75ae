"""The review queue: each reason on masks that have it, and none on masks that do not."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, Scores
from napari_sam2s.masklets.review import Review, ReviewSpan

FRAMES, HEIGHT, WIDTH = 120, 60, 80
GOOD = Scores(0.9, 6.0)


class Clip:
    shape = (FRAMES, HEIGHT, WIDTH, 3)


def block(y, x, height=20, width=20):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y : y + height, x : x + width] = True
    return mask


NOTHING = np.zeros((HEIGHT, WIDTH), dtype=bool)


@pytest.fixture
def calm(tmp_path):
    """A project of two objects that drift apart, and nothing to doubt."""
    with Project.create(tmp_path / "calm.sam2s", Clip) as made:
        made.add_object()
        made.add_object()
        made.write_masks([(t, 1, block(5, 5 + t // 6), GOOD) for t in range(FRAMES)])
        made.write_masks([(t, 2, block(35, 40 - t // 12), GOOD) for t in range(FRAMES)])
        yield made


def only(project) -> ReviewSpan:
    review = project.review()
    assert len(review) == 1, [span.text for span in review]
    return review[0]


def test_nothing_to_see(calm):
    calm.write_masks([(t, 1, block(5, 5 + t // 6), Scores(0.66, 6.0)) for t in range(50, 52)])  # above the border of doubt
    review = calm.review()
    assert isinstance(review, Review)
    assert list(review) == []
    assert review.frames == 0
    assert review.minutes == 0


@pytest.mark.parametrize(
    ("rows", "kind", "words", "where"),
    [
        ([(t, block(5, 5 + t // 6), Scores(0.9, 0.2)) for t in range(50, 58)], "low object score", "0.2 (8 frames)", (50, 58)),
        ([(t, block(5, 5 + t // 6), Scores(0.3, 6.0)) for t in range(50, 51)], "low predicted IoU", "0.30", (50, 51)),
        (
            [(t, block(5, 5 + t // 6), Scores(0.64, 6.0)) for t in range(50, 52)],
            "low predicted IoU",
            "0.64 (2 frames)",
            (50, 52),
        ),
        ([(60, np.ones((HEIGHT, WIDTH), bool), GOOD)], "whole frame", "100%", (60, 62)),
        ([(60, block(10, 20, 9, 9), GOOD)], "area jump", "4.9-fold", (60, 62)),
        ([(t, block(5, 50), GOOD) for t in range(60, 120)], "position jump", "1.8 times its size", (60, 61)),
        ([(t, NOTHING, Scores(0.9, -4.0)) for t in (60, 61)], "flicker", "flickers", (60, 62)),
        ([(t, NOTHING, Scores(0.9, -4.0)) for t in range(40, 80)], "re-entry", "back after 40 frames", (80, 90)),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_each_reason(calm, rows, kind, words, where):
    calm.write_masks([(t, 1, mask, scores) for t, mask, scores in rows])
    spans = [span for span in calm.review() if span.objects == (1,)]
    assert len(spans) == 1
    span = spans[0]
    assert span.reasons[0].kind == kind
    assert words in span.text
    assert (span.start, span.stop) == where
    assert span.start <= span.frame < span.stop
    assert 0 < span.severity < 1


def test_two_objects_that_claim_the_same_pixels(calm):
    calm.write_masks([(t, 2, block(5, 15 + t // 6), GOOD) for t in range(30, 50)])
    span = next(s for s in calm.review() if len(s.objects) == 2)
    assert span.objects == (1, 2)
    assert (span.start, span.stop) == (30, 50)
    assert span.text == "two objects share 50% of the smaller one (20 frames)"


def test_boxes_that_overlap_are_not_masks_that_do(calm):
    """An L and the square in its corner have overlapping boxes and no pixel in common."""
    ell = block(5, 5, 30, 30)
    ell[5:25, 15:35] = False
    calm.write_masks([(t, 1, ell, GOOD) for t in range(FRAMES)])
    calm.write_masks([(t, 2, block(5, 16, 18, 18), GOOD) for t in range(FRAMES)])
    assert [s for s in calm.review() if len(s.objects) == 2] == []


def test_of_many_overlaps_some_are_counted_out_and_the_span_stays_whole(calm):
    from napari_sam2s.masklets.quality_checks import Thresholds

    calm.write_masks([(t, 2, block(5, 10 + t // 6), GOOD) for t in range(FRAMES)])
    spans = [s for s in calm.review(thresholds=Thresholds(checks=7)) if len(s.objects) == 2]
    assert [(s.start, s.stop) for s in spans] == [(0, FRAMES)]


def test_worst_first_and_minutes_by_the_stated_assumption(calm):
    calm.write_masks([(t, 1, block(5, 5 + t // 6), Scores(0.45, 6.0)) for t in range(10, 20)])
    calm.write_masks([(90, 2, np.ones((HEIGHT, WIDTH), bool), GOOD)])
    review = calm.review()
    assert [s.objects for s in review] == [(2,), (1, 2), (1,)]
    assert [s.severity for s in review] == sorted((s.severity for s in review), reverse=True)
    assert review.frames == sum(s.stop - s.start for s in review)
    assert review.minutes == pytest.approx((3 * 5.5 + review.frames * 0.1) / 60)
    assert review[:1] == (review[0],)


def test_a_small_object_that_is_always_fast_is_not_doubted(tmp_path):
    with Project.create(tmp_path / "needle.sam2s", Clip) as project:
        project.add_object()
        project.write_masks([(t, 1, block(5 + 17 * (t % 3), 5 + 12 * (t % 5), 8, 8), GOOD) for t in range(FRAMES)])
        assert not project.review()


def test_a_working_rate_is_no_gap(calm):
    calm.tracks.delete(1)
    calm.write_masks([(t, 1, block(5, 5 + t // 6), GOOD) for t in range(0, FRAMES, 10)])
    assert not calm.review()


def test_what_was_accepted_stays_away_until_its_masks_change(calm, tmp_path):
    calm.write_masks([(t, 1, block(5, 5 + t // 6), Scores(0.9, 0.1)) for t in range(50, 60)])
    calm.review.accept(only(calm))
    assert not calm.review()
    calm.write_masks([(t, 1, block(30, 50), Scores(0.1, 0.1)) for t in range(55, 58)])  # propagation may not
    assert not calm.review()
    calm.close()
    with Project.open(tmp_path / "calm.sam2s") as again:
        assert not again.review()
        assert again.undo() == "masks (propagated)"
        assert again.undo() == "confirm"
        assert only(again).start == 50
        assert again.redo() == "confirm"
        assert not again.review()


def test_accepting_an_overlap_vouches_for_both(calm):
    calm.write_masks([(t, 2, block(5, 5 + t // 6), GOOD) for t in range(FRAMES)])
    calm.review.accept(only(calm))
    assert not calm.review()
    assert calm.masks.confirmed_frames(1) == calm.masks.confirmed_frames(2) == list(range(FRAMES))


def test_marking_absent(calm):
    calm.write_masks([(t, 1, np.ones((HEIGHT, WIDTH), bool), GOOD) for t in range(50, 60)])
    calm.tracks.mark_absent(1, 50, 60)
    assert not calm.mask(55, 1).any()
    assert calm.masks.origins(55)[1] == "painted"
    assert [(s.start, s.stop, s.state) for s in calm.masks.presence(1)][1] == (50, 60, "absent")
    assert [span.reasons[0].kind for span in calm.review()] == []
    assert calm.undo() == "absent 1"
    assert calm.mask(55, 1).all()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda p: p.tracks.mark_absent(3, 0, 5), "no object 3"),
        (lambda p: p.tracks.mark_absent(1, 5, 5), "span 5 to 5"),
        (lambda p: (p.objects.set_flags(1, locked=True), p.tracks.mark_absent(1, 0, 5)), "locked"),
        (lambda p: p.tracks.confirm([1], 0, FRAMES + 1), "121"),
    ],
)
def test_what_makes_no_sense_is_refused(calm, act, words):
    with pytest.raises(ProjectError, match=words):
        act(calm)


def test_a_locked_object_may_be_vouched_for(calm):
    calm.objects.set_flags(1, locked=True)
    calm.tracks.confirm([1], 3, 6)
    assert calm.masks.confirmed_frames(1) == [3, 4, 5]
    calm.tracks.confirm([1], 4, 5, confirmed=False)
    assert calm.masks.confirmed_frames(1) == [3, 5]


def test_a_part_of_the_video_and_removed_objects(calm):
    calm.write_masks([(t, 1, block(5, 5 + t // 6), Scores(0.9, 0.1)) for t in range(50, 60)])
    assert not calm.review(0, 50)
    assert calm.review(55, 1000)[0].start == 55
    calm.objects.remove(1)
    assert not calm.review()


def test_a_reader_sees_what_another_process_writes(calm, tmp_path):
    with Project.open(tmp_path / "calm.sam2s", mode="r") as reader:
        assert not reader.review()
        calm.write_masks([(t, 1, block(5, 5 + t // 6), Scores(0.9, 0.1)) for t in range(50, 60)])
        assert only(reader).start == 50


def test_after_any_change_it_is_what_a_new_review_finds(tmp_path):
    rng = np.random.default_rng(0)
    with Project.create(tmp_path / "case.sam2s", Clip) as project:
        for _ in range(3):
            project.add_object()

        def write(start, stop):
            rows = []
            for t in range(start, stop):
                for i in (1, 2, 3):
                    y, x = rng.integers(0, 40, 2)
                    score = Scores(rng.uniform(0.3, 1), rng.normal(4, 3))
                    rows.append((t, i, NOTHING if rng.random() < 0.2 else block(y, x), score))
            project.write_masks(rows)

        def only_frames(start, stop):
            return lambda: project.review(start, stop)

        def same_numbers():
            """Also of scores near 0, of which the whole series has not the last bits."""
            project.write_masks([(9, 1, block(3, 3), Scores(0.0031, float(np.float32(-0.3390519))))])
            with Project.open(project.path, mode="r") as anew:
                ours, theirs = project.masks.series(1), anew.masks.series(1)
                assert ours.object_score[ours.frames == 9] == theirs.object_score[theirs.frames == 9]
                assert ours.iou[ours.frames == 9] == theirs.iou[theirs.frames == 9]

        write(0, FRAMES)
        changes = (
            lambda: write(30, 36),
            lambda: project.tracks.delete(2, 50, 60),
            project.undo,
            only_frames(20, 70),
            lambda: project.tracks.swap(1, 3, 10, 40),
            lambda: project.review.accept(project.review()[0]),
            lambda: project.objects.remove(3),
            project.undo,
            lambda: project.tracks.merge(3, 1, 70, 90),
            lambda: (write(5, 7), write(110, 115)),
            same_numbers,
        )
        for change in changes:
            change()
            found = project.review()
            with Project.open(project.path, mode="r") as anew:
                assert found == anew.review()
            assert found
