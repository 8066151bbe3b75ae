import numpy as np
import pytest

from napari_sam2s.errors import VideoError
from napari_sam2s.video.picture_names import order_of

RNG = np.random.default_rng(0)
MINUTES = [k * 73 + 7 for k in range(8)]

IN_ORDER = {
    "decimals with a comma": [f"t{k}" for k in ("0,25", "0,5", "0,75", "1", "10,5")],
    "all below zero, behind a line": [f"t_{k}" for k in (-10, -2, -1)],
    "seconds with decimals": [f"cam_2024-01-31T23-{58 + k // 6}-{k % 6}0.500" for k in range(12)],
    "a number like a time of the night": [f"{k:04d}" for k in range(0, 2360, 59)],
    "the date in front of midnight": [f"20240131_{h:02d}{m:02d}" for h, m in ((0, 5), (0, 50), (23, 5), (23, 50))],
    "plain": [f"{k}" for k in range(1, 12)],
    "padded": [f"frame_{k:05d}" for k in range(25, 300, 25)],
    "a word and a minus": [f"frame-{k}" for k in range(1, 12)],
    "a channel that is the same": [f"img_{k:03d}_ch00" for k in range(12)],
    "a resolution": [f"{k}_1080p" for k in range(1, 12)],
    "Micro-Manager": [f"img_channel000_position002_time{k:09d}_z000" for k in range(12)],
    "Micro-Manager 1": [f"img_{k:09d}_Default_000" for k in range(12)],
    "clock": [f"cell_2024-03-01_10-{20 + s // 60:02d}-{s % 60:02d}" for s in MINUTES],
    "every half minute": [f"2024-03-01_10-{20 + k // 2}-{30 * (k % 2):02d}" for k in range(8)],
    "over midnight": [f"2024-02-{28 + k // 24:02d}T{k % 24:02d}-15" for k in range(22, 30)],
    "date and time in one": [f"20240301_{10 + k // 60:02d}{k % 60:02d}00" for k in range(50, 70)],
    "Incucyte": [f"VID_B2_1_{m // 1440:02d}d{m // 60 % 24:02d}h{m % 60:02d}m" for m in range(0, 1500, 165)],
    "decimals": [f"t_{k * 0.3:.1f}s" for k in range(12)],
    "decimals without zeros": [f"t_{k * 0.25:g}s" for k in range(1, 12)],
    "below zero": [f"t{k}" for k in range(-3, 4)],
    "all below zero": [f"t{k}" for k in range(-12, 0)],
    "decimals below zero": [f"t{k / 4:.2f}" for k in range(-6, 6)],
    "session and number": [f"s{1 + k // 4}_{[10, 11, 12, 13, 3, 4, 5, 6][k]:03d}" for k in range(8)],
    "sessions that count on": [f"s{1 + k // 4}_{k:03d}" for k in range(8)],
    "a score": [f"f{k:03d}_score{[91, 55, 73, 12, 99, 34, 60, 20][k]}" for k in range(8)],
    "a score before": [f"score{[91, 55, 73, 12, 99, 34, 60, 20][k]}_f{k:03d}" for k in range(8)],
    "a version": [f"v1.10_{k}" for k in range(12)],
    "days": [f"2024.{3 + k // 20:02d}.{1 + k % 20:02d}" for k in range(15, 25)],
    "the day first": ["15-01-2024", "28-01-2024", "03-02-2024", "10-02-2024", "01-01-2025"],
    "the day first, and a time": [
        f"{d:02d}.{m:02d}.2024_{h:02d}h" for d, m, h in ((31, 1, 9), (1, 2, 8), (1, 2, 23), (2, 3, 1))
    ],
    "the month first": ["cell_1_28_2024", "cell_2_3_2024", "cell_11_15_2024", "cell_1_2_2025"],
    "the first of the month": [f"01-{m:02d}-2024" for m in (1, 2, 11, 12)],
    "months": ["11-2023", "12-2023", "01-2024", "02-2024"],
    "seconds after a minus": [f"2024-03-01T10-00-{s}" for s in ("00.900", "00.950", "01.000", "01.050", "10.000")],
    "twelve hours": [f"at {t}" for t in ("11.58.09 AM", "12.00.03 PM", "12.30.02 PM", "1.00.01 PM", "10.00.00 PM")],
    "as macOS names them": [
        f"Screen Shot 2020-05-0{d} at {t}\u202fPM" for d, t in ((5, "12.58.10"), (5, "1.03.05"), (6, "1.00.00"))
    ],
    "picometres": [f"{n} pM" for n in (3, 10, 20)],
    "months by name": ["30 Jan 2024 10.15.07", "1 Feb 2024 09.00.01", "2 February 2024 00.00.00", "1 Mar 2025 00.00.00"],
    "months by name first": ["Jan 31, 2024", "Feb 1, 2024", "March 10, 2024"],
    "dates of eight digits": ["31012024", "01022024", "02022024"],
    "dates of six digits, day first": ["310124_2359", "010224_0000", "020224_0001"],
    "dates of six digits, year first": ["240131_235959", "240201_000000", "241101_000000"],
    "a minus of typesetters": [f"T\N{MINUS SIGN}{k}" for k in (10, 5)] + ["T0", "T+5"],
    "wide and Arabic digits": ["\uff19", "\u0661\u0660", "11"],
    "words that differ": ["img_0001_dog", "img_0002_cat", "img_0010_ape"],
    "of several kinds": ["img_1", "img_2_annotated", "3"],
}


@pytest.mark.parametrize("names", IN_ORDER.values(), ids=IN_ORDER)
def test_the_order_of_names(names):
    mixed = RNG.permutation(len(names)).tolist()
    order = order_of([names[k] for k in mixed])
    assert [names[mixed[n]] for n in order.places] == names


REFUSED = {
    "past midnight": [f"cam_{m // 60 % 24:02d}{m % 60:02d}" for m in range(1434, 1446)],
    "past midnight, to the second": [f"{m // 60 % 24:02d}{m % 60:02d}30" for m in range(1434, 1446)],
    "past midnight, apart": [f"cam_{m // 60 % 24:02d}-{m % 60:02d}" for m in range(1434, 1446)],
    "channels": [f"t{k:03d}_ch{c:02d}" for k in range(4) for c in range(2)],
    "channels, one lost": [f"ch{c}_t{k:03d}" for k in range(4) for c in range(2)][1:],
    "positions": [f"img_channel000_position{p:03d}_time{k:09d}_z000" for k in range(4) for p in range(3)],
    "a grid": [f"a{k}_b{c}" for k in range(4) for c in range(3)],
    "a grid with a hole": [f"{k:03d}_{c}" for k in range(6) for c in range(3)][:-1],
    "sessions against the count": [f"s{2 - k // 4}_{k:03d}" for k in range(8)],
    "days or months": ["01-02-2024", "02-02-2024", "03-01-2024"],
    "twice the same": ["1", "01"],
    "months of another language": ["30 Januar 2024", "1 Februar 2024", "2 Februar 2024"],
    "two numbers that differ among words": ["img_1_dog_12", "img_2_cat_99", "img_3_ape_5"],
    "thousands": [f"{k:,}" for k in range(998, 1002)],
    "powers of ten": ["t1e-3", "t2e-3", "t1e-2"],
    "no number": ["a", "1"],
    "seconds and milliseconds": ["t_500ms", "t_1s", "t_2s"],
    "the end of summer time": ["2024-10-27T02:30:00+02:00", "2024-10-27T02:50:00+02:00", "2024-10-27T02:10:00+01:00"],
    "minutes and hours": ["30 min", "1 h", "2 h"],
}


@pytest.mark.parametrize("names", REFUSED.values(), ids=REFUSED)
def test_names_that_may_mean_several_things(names):
    with pytest.raises(VideoError):
        order_of(names)


def test_numbers_are_those_that_count_the_frames():
    assert order_of([f"img_{k}_ch00" for k in (7, 5, 6)]).numbers == (5, 6, 7)
    assert order_of([f"score{s}_f{k}" for k, s in ((3, 10), (4, 90), (2, 50))]).numbers == (2, 3, 4)
    assert order_of(["t-1", "t0", "t1"]).numbers == (-1, 0, 1)
    for names in (["t0.5", "t1.5"], ["10-20-30", "10-21-05"]):
        order = order_of(names)
        assert (order.numbers, order.counted) == ((0, 1), False)
