"""What a run would cost, in words."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Project, rle
from napari_sam2s.tracking.propagation_plan import Segment
from napari_sam2s.widgets.preflight import (
    HOUR,
    MASK_BYTES,
    MASK_ROW_BYTES,
    Preflight,
    duration,
    free_bytes,
    full_rate,
    keep_rate,
    mask_bytes,
    measured_rate,
    ordinal,
    setup_of,
    size,
)


def test_a_long_run_says_the_rate_that_ends_within_the_hour():
    legs = [Segment(0, 180_000, "forward", (1, 2))]
    run = Preflight(legs, 20.0, 1000, 50 * 10**9, "cuda", (2_100_000_000, 8_000_000_000), 25.0)
    assert run.every_for_an_hour == 5
    assert run.disk_bytes == 360e6
    assert str(run) == (
        "180,000 frames · 2 objects · about 2 h 30 min at 20.0 frames/s · 360.0 MB disk of 50.0 GB free · "
        "cuda memory 2.1 GB of 8.0 GB · would end within the hour at every 5th frame (5 a second)"
    )
    assert '<a href="5">would end' in run.html
    assert "<b>" not in run.html
    full = Preflight(legs, 20.0, 1000, 10**6)
    assert "<b>360.0 MB disk, but only 1.0 MB free</b>" in full.html
    taken = Preflight([Segment(0, 180_000, "forward", (1, 2), 5)], 20.0, 1000)
    assert 0.9 * HOUR < taken.seconds <= HOUR
    assert taken.every_for_an_hour is None
    assert str(taken).startswith("180,000 frames, 36,001 of them tracked · 2 objects · about 58 min")
    faster = Preflight([Segment(0, 180_000, "forward", (1, 2), 4)], 20.0)
    assert faster.seconds > HOUR  # so 5 is the least that will do


def test_a_run_that_no_rate_brings_under_an_hour_proposes_none():
    many = tuple(range(1, 9))
    assert Preflight([Segment(0, 180_000, "forward", many)], 20.0).every_for_an_hour is None  # filling alone takes longer
    assert "hour" not in str(Preflight([Segment(0, 180_000, "forward", many)], 20.0))


@pytest.mark.parametrize("every", [1, 2, 5, 25])
def test_a_run_at_a_working_rate_tells_how_long_one_at_every_frame_takes(every):
    run = Preflight([Segment(0, 10_000, "forward", (1, 2, 3), every)], 8.0)
    assert full_rate(10_000 / run.seconds, every, 3) == pytest.approx(8.0, rel=0.01)


def test_setups_of_different_speed_have_different_names():
    facts = {"model": "sam2s-nano", "device": "cpu", "image_size": 512, "mode": "exact", "precision": "float32"}
    assert setup_of(facts) == "sam2s-nano on cpu at 512 px"
    assert setup_of({**facts, "mode": "fast", "precision": "bfloat16"}) == "sam2s-nano on cpu at 512 px, fast, bfloat16"


def test_a_rate_counts_for_about_as_many_objects():
    keep_rate("nano on a test", 60, 0.2)
    assert measured_rate("nano on a test", 1) is None, "the minutes of sixty objects are not those of one"
    assert measured_rate("nano on a test", 40) == pytest.approx(0.2)
    keep_rate("nano on a test", 1, 5.0)
    assert measured_rate("nano on a test", 30.5) == pytest.approx(1 / 2.6), "half-way between 0.2 and 5 seconds a frame"
    keep_rate("small on a test", 3, 4.0)
    assert measured_rate("small on a test", 1) == pytest.approx(4.0), "one takes no longer than three"
    keep_rate("small on a test", 1, 2.0)
    assert measured_rate("small on a test", 1) == pytest.approx(4.0), "it was slower on a busy machine: three took less"
    assert measured_rate("small on a test", 7) is None


def test_what_is_not_known_is_not_said():
    assert str(Preflight([], None)) == ""
    assert str(Preflight([Segment(3, 4, "forward", (1,))], None)) == "1 frame · 1 object · 2 kB disk"


def test_words():
    assert [duration(s) for s in (8, 61, 7322)] == ["8 s", "1 min 01 s", "2 h 02 min"]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 22, 113)] == ["1st", "2nd", "3rd", "4th", "11th", "12th", "22nd", "113th"]
    assert [size(n) for n in (1, 2_500_000, 3e9)] == ["1 kB", "2.5 MB", "3.0 GB"]


@pytest.mark.parametrize(
    ("objects", "frames", "mean", "remembered", "closed", "with_log"),
    [  # measured with the built-in model: bytes that a run took, and that it took while the project was open
        (2, 24, 346, 3_833_856, 6_324_224, 12_690_590),  # laparoscopy, 480 x 270, at 384 px
        (8, 12, 69, 3_833_856, 11_288_576, 22_642_944),  # cells, 384 x 384, at 384 px
        (1, 24, 764, 3_833_856, 3_604_480, 7_296_312),  # a dog, 1280 x 720, at 384 px
        (2, 24, 341, 1_703_936, 3_620_864, 7_394_736),  # and at 256 px
        (8, 12, 66, 1_703_936, 5_079_040, 10_231_184),
        (1, 24, 424, 1_703_936, 1_605_632, 3_263_280),
        (2, 60, 900, 1_949_696, 5_100_000, 10_200_000),  # a hand with blocks, 1280 x 720, and longer
        (3, 250, 470, 1_949_696, 8_800_000, 17_400_000),  # laparoscopy, 480 x 270
        (60, 20, 60, 1_949_696, None, 71_700_000),  # nuclei, 512 x 512: closed it took half of that, a third of what is said
    ],
)
def test_the_disk_it_takes_is_within_a_factor_of_two(objects, frames, mean, remembered, closed, with_log):
    legs = [Segment(0, frames, "forward", tuple(range(1, objects + 1)))]
    said = Preflight(legs, None, MASK_ROW_BYTES + mean, object_bytes=remembered).disk_bytes
    assert closed is None or closed / 2 < said < closed * 2
    assert with_log / 2 < said < with_log * 2


def test_masks_and_room_of_a_project_count(tmp_path):
    y, x = np.mgrid[:200, :300]
    ring = (y - 100) ** 2 + (x - 150) ** 2 < 80**2
    with Project.create(tmp_path / "case.sam2s", np.zeros((1, 200, 300, 3), np.uint8)) as project:
        assert mask_bytes(project) == MASK_BYTES
        project.add_object()
        project.write_masks([(0, 1, ring, None)])
        assert mask_bytes(project) == MASK_ROW_BYTES + len(rle.encode(ring).counts)
        assert free_bytes(project) == 0
        assert Preflight([Segment(0, 100, "forward", (1,))], None, 1000, room_bytes=10**6).disk_bytes == 10_000
