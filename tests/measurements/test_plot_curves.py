"""Curves over time: their values, their smoothing, and that a long one loses no peak when it is drawn."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import Project
from napari_sam2s.measurements import measure
from napari_sam2s.measurements.plot_curves import Curve, project_curves, table_columns, table_curves, write_curves

FRAMES, SIZE = 10, (40, 60)


def curve(values, frames=None):
    values = np.asarray(values, np.float64)
    return Curve("a", (255, 0, 0), np.arange(len(values)) if frames is None else np.asarray(frames), values)


@pytest.fixture
def project(tmp_path):
    """Two squares of 4 x 4: one goes three pixels a frame to the right and is gone on frame 5, the other rests."""
    with Project.create(tmp_path / "a.sam2s", np.broadcast_to(np.uint8(0), (FRAMES, *SIZE, 3))) as made:
        for _ in range(2):
            made.add_object()
        rows = []
        for t in range(FRAMES):
            moving, resting = np.zeros((2, *SIZE), bool)
            moving[8:12, 3 * t : 3 * t + 4] = t != 5
            resting[18:22, 0:4] = True
            rows += [(t, 1, moving, None), (t, 2, resting, None)]
        made.write_masks(rows)
        yield made


def test_what_a_project_knows_of_its_objects(project):
    area, still = project_curves(project, "area", [1, 2], None)
    assert area.values.tolist() == [16] * 5 + [0] + [16] * 4
    presence = project_curves(project, "presence", [1], None)[0]
    assert presence.values.tolist() == [1] * 5 + [0] + [1] * 4
    seconds = np.arange(FRAMES) / 10
    speed, none = project_curves(project, "speed", [1, 2], seconds)
    np.testing.assert_allclose(speed.values, [np.nan, 30, 30, 30, 30, np.nan, np.nan, 30, 30, 30])
    np.testing.assert_allclose(none.values[1:], 0)
    [apart] = project_curves(project, "distance", [1, 2], None)
    np.testing.assert_allclose(apart.values, [np.nan if t == 5 else np.hypot(10, 3 * t) for t in range(FRAMES)])
    assert apart.name == f"{area.name} to {still.name}"
    with pytest.raises(FormatError, match="not a quantity"):
        project_curves(project, "weight", [1], None)
    with pytest.raises(FormatError, match="no object 7"):
        project_curves(project, "area", [7], None)


def test_distances_and_speeds_are_those_of_the_measurements(project):
    """An L and an arch, whose centroids are not in the middle of their boxes; the panel and the tables say the same."""
    rows = []
    for t in range(FRAMES):
        corner, arch = np.zeros((2, *SIZE), bool)
        corner[2:9, 2 + t], corner[8, 2 + t : 6 + 2 * t] = t != 5, t != 5
        arch[12:20, 20], arch[12:20, 25], arch[12, 20:26] = True, True, True
        rows += [(t, 1, corner, None), (t, 2, arch, None)]
    project.write_masks(rows)
    [apart] = project_curves(project, "distance", [1, 2], None)
    [pair] = measure(project, table="pairs").to_dict("records")
    assert np.nanmean(apart.values) == pytest.approx(pair["mean_distance_px"], rel=1e-12)
    assert np.nanmin(apart.values) == pytest.approx(pair["min_distance_px"], rel=1e-12)
    places = measure(project).query("area_px > 0").set_index(["object_id", "frame"])[["centroid_y", "centroid_x"]]
    ends = places.loc[(1, 9)] - places.loc[(2, 9)]
    assert apart.values[9] == pytest.approx(np.hypot(*ends), rel=1e-12)
    speed = project_curves(project, "speed", [1], np.arange(FRAMES) / 10)[0]
    assert speed.values[9] == pytest.approx(10 * np.hypot(*(places.loc[(1, 9)] - places.loc[(1, 8)])), rel=1e-12)


def test_every_column_of_the_measurements(project):
    table = measure(project)
    assert "perimeter_px" in table_columns(table)
    assert not {"frame", "object_id", "time_s", "name"} & set(table_columns(table))
    first, _ = table_curves(table, "centroid_x", project.objects)
    np.testing.assert_allclose(first.values, [np.nan if t == 5 else 3 * t + 1.5 for t in range(FRAMES)])
    with pytest.raises(FormatError, match="no column 'name'"):
        table_curves(table, "name", project.objects)


def test_smoothing_is_the_mean_of_what_is_known_around():
    smooth = curve([0, 3, np.nan, 9, 12, 0]).smoothed(3)
    np.testing.assert_allclose(smooth.values, [1.5, 1.5, np.nan, 10.5, 7, 6])
    far = curve([1, 2, 30], [0, 1, 9]).smoothed(3)  # counted in frames, not in rows
    np.testing.assert_allclose(far.values, [1.5, 1.5, 30])
    assert curve([1, 5]).smoothed(1).values.tolist() == [1, 5]
    with pytest.raises(FormatError, match="odd number"):
        curve([1, 2]).smoothed(4)


def test_lines_are_broken_where_nothing_is_known():
    lines = curve([1, 2, np.nan, 4, 5, 6], [0, 1, 2, 3, 4, 8]).lines(0, 8, 100)
    assert [x.tolist() for x, _ in lines] == [[0, 1], [3, 4], [8]]
    assert curve([]).lines(0, 8, 100) == []
    assert curve([np.nan]).lines(0, 8, 100) == []


def test_a_curve_of_hours_is_drawn_at_once_and_keeps_its_peaks():
    values = np.sin(np.arange(180_000) / 3000)
    values[77_777], values[123_456] = 40, -30
    values[100_000:110_000] = np.nan
    long = curve(values)
    begun = time.perf_counter()
    lines = long.smoothed(1).lines(0, 179_999, 800)
    spent = time.perf_counter() - begun
    assert max(y.max() for _, y in lines) == 40
    assert min(y.min() for _, y in lines) == -30
    assert sum(len(x) for x, _ in lines) <= 1602
    assert len(lines) == 2  # broken where it was not seen
    assert spent < 10  # a tenth of a second on a still machine
    part = long.lines(77_770, 77_790, 800)
    assert part[0][0].tolist() == list(range(77_769, 77_792))


def test_the_numbers_behind_a_plot(tmp_path):
    one, other = curve([1.5, np.nan], [0, 2]), Curve("=b", (0, 0, 0), np.array([1, 2]), np.array([0.1, 7.0]))
    write_curves([one, other], tmp_path / "a.csv", "area", 5, np.arange(3) / 25)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["frame", "time_s", "a: area, mean of 5 frames", "'=b: area, mean of 5 frames"],
        ["0", "0.000000", "1.5", ""],
        ["1", "0.040000", "", "0.1"],
        ["2", "0.080000", "", "7.0"],
    ]
    with pytest.raises(FormatError, match="cannot be written"):
        write_curves([one], tmp_path / "a.csv" / "b.csv", "area", 1, None)
    assert not list(tmp_path.glob("*.part"))
