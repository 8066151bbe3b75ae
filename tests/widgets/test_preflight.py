"""What a run would cost, in words."""

from __future__ import annotations

from napari_sam2s.widgets.plan import Leg
from napari_sam2s.widgets.preflight import Preflight, duration, ordinal, size


def test_a_long_run_says_the_rate_that_ends_within_the_hour():
    legs = [Leg(0, 180_000, "forward", (1, 2))]
    run = Preflight(legs, 20.0, 1000, 50 * 10**9, "cuda", (2_100_000_000, 8_000_000_000))
    assert run.every_for_an_hour == 3
    assert run.disk_bytes == 360e6
    assert str(run) == (
        "180,000 frames · 2 objects · about 2 h 30 min at 20.0 frames/s · 360.0 MB disk of 50.0 GB free · "
        "cuda memory 2.1 GB of 8.0 GB · would end within the hour at every 3rd frame"
    )


def test_what_is_not_known_is_not_said():
    assert str(Preflight([], None)) == ""
    assert str(Preflight([Leg(3, 4, "forward", (1,))], None)) == "1 frame · 1 object · 2 kB disk"


def test_words():
    assert [duration(s) for s in (8, 61, 7322)] == ["8 s", "1 min 01 s", "2 h 02 min"]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 22, 113)] == ["1st", "2nd", "3rd", "4th", "11th", "12th", "22nd", "113th"]
    assert [size(n) for n in (1, 2_500_000, 3e9)] == ["1 kB", "2.5 MB", "3.0 GB"]
