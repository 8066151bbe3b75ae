"""Measurements are those of scikit-image on full frames, of the values that the source has."""

from __future__ import annotations

import math
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.draw import disk, ellipse
from skimage.measure import regionprops

import napari_sam2s
from napari_sam2s.cli import main
from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import LabelMasklets, Project, Scores
from napari_sam2s.measurements import measure, write_table
from napari_sam2s.measurements.measure import Clock
from napari_sam2s.measurements.table_files import check_target
from napari_sam2s.video import open_video

SIZE, FRAMES = (40, 60), 6
SHAPES = {
    "perimeter_px": "perimeter",
    "major_axis_px": "axis_major_length",
    "minor_axis_px": "axis_minor_length",
    "orientation": "orientation",
    "solidity": "solidity",
    "area_px": "area",
}


def drawn(object_id, frame):
    """Return a mask: an ellipse at the edge, two pieces with a hole, one pixel."""
    mask = np.zeros(SIZE, bool)
    if object_id == 1:
        mask[ellipse(12, 5 + 6 * frame, 9, 5, shape=SIZE, rotation=0.3 * frame)] = True
    elif object_id == 2:
        mask[disk((28, 30), 6)] = True
        mask[26:29, 28:33] = False
        mask[35, 2:9] = True
    else:
        mask[39, 59] = True
    return mask


@pytest.fixture
def raw():
    return np.random.default_rng(1).integers(0, 60_000, (FRAMES, 2, *SIZE), dtype=np.uint16)


@pytest.fixture
def project(tmp_path, raw):
    """Three objects; the third is one pixel, and not there on frames 2 and 3."""
    with Project.create(tmp_path / "case.sam2s", open_video(raw, axes="TCYX", fps=10)) as made:
        for name in ("left", "=right", "dot"):
            made.add_object(name, class_name="tool")
        for t in range(FRAMES):
            made.write_masks([(t, i, drawn(i, t) & (i != 3 or t not in (2, 3)), Scores(0.5 + t / 20, 1.5)) for i in (1, 2, 3)])
        yield made


def test_numbers_are_those_of_scikit_image_on_full_frames(project, raw):
    table = napari_sam2s.measure(project, open_video(raw, axes="TCYX", fps=10))
    assert len(table) == 3 * FRAMES
    for row in table.to_dict("records"):
        mask = project.mask(row["frame"], row["object_id"])
        if not mask.any():
            assert row["area_px"] == 0
            assert all(math.isnan(row[name]) for name in (*SHAPES, "centroid_y", "y1", "mean_intensity_0") if name != "area_px")
            continue
        values = np.moveaxis(raw[row["frame"]], 0, -1)
        region = regionprops(mask.astype(int), intensity_image=values)[0]
        for ours, theirs in SHAPES.items():
            assert row[ours] == pytest.approx(getattr(region, theirs), abs=1e-9), ours
        assert (row["centroid_y"], row["centroid_x"]) == pytest.approx(region.centroid)
        assert tuple(row[k] for k in ("y0", "x0", "y1", "x1")) == region.bbox
        for c in range(2):
            assert row[f"mean_intensity_{c}"] == pytest.approx(region.intensity_mean[c])
            assert row[f"sum_intensity_{c}"] == raw[row["frame"], c][mask].sum(dtype=np.int64)
        assert row["time_s"] == pytest.approx(row["frame"] / 10)
        assert row["predicted_iou"] == pytest.approx(0.5 + row["frame"] / 20)
        assert (row["origin"], row["class"]) == ("propagated", "tool")
    assert table["area_px"].dtype == np.int64
    assert list(table["frame"]) == sorted(table["frame"])


@pytest.mark.parametrize("pixel", [(0.5, 0.5), (0.5, 0.2)])
def test_physical_units(project, pixel):
    table = measure(project, pixel_size=pixel, unit="micrometer")
    for row in table[table.area_px > 0].to_dict("records"):
        region = regionprops(project.mask(row["frame"], row["object_id"]).astype(int), spacing=pixel)[0]
        assert row["area"] == pytest.approx(region.area)
        assert (row["centroid_y_unit"], row["centroid_x_unit"]) == pytest.approx(region.centroid)
        assert row["major_axis"] == pytest.approx(region.axis_major_length)
        assert row["minor_axis"] == pytest.approx(region.axis_minor_length, abs=1e-6)
        assert row["orientation_unit"] == pytest.approx(region.orientation)
        if pixel[0] == pixel[1]:
            assert row["perimeter"] == pytest.approx(region.perimeter)
        else:
            assert math.isnan(row["perimeter"])
        assert row["unit"] == "micrometer"


class Microscope:
    """A video whose file says how large a pixel is."""

    fps, pixel_size, pixel_unit = 10.0, (0.5, 0.25), "nm"
    shape = (FRAMES, *SIZE, 3)
    timestamps = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 5.0])

    def __getitem__(self, frame):
        return np.full((*SIZE, 3), frame, np.uint8)


def test_what_the_video_says_of_itself(project):
    table = measure(project, Microscope())
    assert set(table["unit"]) == {"nm"}
    with pytest.raises(FormatError, match="The unit mm needs a pixel size"):  # 0.5 nm were taken for 0.5 mm
        measure(project, Microscope(), unit="mm")
    last = table[(table.frame == 5) & (table.object_id == 1)].iloc[0]
    assert (last["time_s"], last["mean_intensity_2"]) == (5.0, 5.0)
    assert last["area"] == last["area_px"] * 0.125
    assert measure(project, Microscope(), pixel_size=(2, 2))["area"].iloc[0] == table["area_px"].iloc[0] * 4


def test_objects_when_seen_and_how_moved(tmp_path):
    labels = np.zeros((8, 20, 40), np.uint8)
    for t, (y, x) in enumerate([(2, 2), (5, 6), (5, 6), (5, 6), (5, 16)]):
        labels[t, y, x] = 4
    labels[7, 9, 9] = 4
    masklets = LabelMasklets(labels)
    with Project.create(tmp_path / "p.sam2s", open_video(np.zeros((8, 20, 40, 3), np.uint8), fps=2)) as project:
        project.add_object("cell")
        project.objects.set_parent(project.add_object("child").id, 1)
        project.write_masks([(t, 1, labels[t] == 4, None) for t in range(8)])
        cell, child = measure(project, table="objects", pixel_size=(0.5, 0.5), idle_speed=10).to_dict("records")
    assert (cell["first_frame"], cell["last_frame"], cell["known_frames"], cell["visible_frames"]) == (0, 7, 8, 6)
    assert (cell["first_s"], cell["last_s"], cell["visible_s"]) == (0, 3.5, 3.0)
    assert (cell["entries"], cell["exits"]) == (1, 1)
    assert (cell["path_px"], cell["path"]) == (5 + 10, 7.5)  # what it moved while nobody saw it is not known
    assert (cell["mean_speed_px_s"], cell["max_speed_px_s"], cell["idle_s"]) == (15 / 2, 20, 1.0)
    assert (cell["mean_area_px"], cell["mean_area"]) == (1, 0.25)
    assert (child["visible_frames"], child["path_px"], child["parent"]) == (0, 0, 1)
    assert pd.isna(child["first_frame"])
    assert pd.isna(cell["parent"])
    without_rate = measure(masklets, table="objects").iloc[0]
    assert math.isnan(without_rate["mean_speed_px_s"])
    assert math.isnan(without_rate["visible_s"])
    assert without_rate["path_px"] == 15


def test_pairs(tmp_path):
    rng = np.random.default_rng(0)
    masks = {i: [ndimage.binary_dilation(rng.random((30, 30)) < 0.002, iterations=2) for _ in range(40)] for i in (1, 2)}
    with Project.create(tmp_path / "p.sam2s", open_video(np.zeros((40, 30, 30, 3), np.uint8), fps=4)) as project:
        for i in (1, 2):
            project.add_object()
            project.write_masks([(t, i, m, None) for t, m in enumerate(masks[i])])
        [pair] = measure(project, table="pairs", pixel_size=(2, 2)).to_dict("records")
    both = [t for t in range(40) if masks[1][t].any() and masks[2][t].any()]
    near = [t for t in both if (ndimage.binary_dilation(masks[1][t], np.ones((3, 3))) & masks[2][t]).any()]
    assert 3 < len(near) < len(both) < 40
    distances = [math.dist(*(np.argwhere(masks[i][t]).mean(0) for i in (1, 2))) for t in both]
    assert (pair["frames_together"], pair["contact_frames"], pair["contact_s"]) == (len(both), len(near), len(near) / 4)
    assert pair["contacts"] == sum(t - 1 not in near for t in near)
    assert pair["mean_distance_px"] == pytest.approx(np.mean(distances))
    assert pair["min_distance"] == pytest.approx(2 * min(distances))


def test_only_what_is_asked_for(project):
    assert set(measure(project, objects=[3, np.int64(1)])["object_id"]) == {1, 3}
    assert "solidity" not in measure(project, shape=False)
    project.objects.remove(2)
    assert set(measure(project)["object_id"]) == {1, 3}
    assert measure(project, objects=[]).empty
    assert measure(project, table="pairs", objects=[1]).empty


def test_only_frames_with_masks_are_read(project, raw):
    read = []

    class Counted:
        shape, dtype = raw.shape, raw.dtype

        def __getitem__(self, key):
            read.append(key)
            return raw[key]

    video = open_video(Counted(), axes="TCYX", fps=10)
    read.clear()
    measure(project, video, objects=[3])
    assert read == [0, 1, 4, 5]


def test_clock_beyond_what_is_known():
    assert math.isnan(Clock(None, None).time(3))
    assert Clock(None, 4).time(2) == 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "cells"}, "'cells' is not a table"),
        ({"objects": [9]}, "no object 9"),
        ({"pixel_size": (0, 1)}, "two numbers above 0"),
        ({"pixel_size": 3}, "two numbers above 0"),
        ({"unit": "mm"}, "needs a pixel size"),
        ({"idle_speed": -1}, "is not a speed"),
        ({"video": np.zeros((3, *SIZE, 3), np.uint8)}, "give the video that was tracked"),
    ],
)
def test_bad_input(project, options, words):
    with pytest.raises(FormatError, match=words):
        measure(project, **options)


def test_files(project, tmp_path, monkeypatch):
    table = measure(project)
    back = pd.read_csv(write_table(table, tmp_path / "new" / "t.csv"))
    assert list(back) == list(table)
    np.testing.assert_array_equal(back["area_px"], table["area_px"])
    assert "'=right" in set(back["name"])  # a spreadsheet does not run it
    with pytest.raises(FormatError, match="exists already"):
        write_table(table, tmp_path / "new" / "t.csv")
    with pytest.raises(FormatError, match=r"end its name in \.csv"):
        write_table(table, tmp_path / "t.xlsx")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FormatError, match="needs pyarrow"):
        write_table(table, tmp_path / "t.parquet")
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".sam2s") == ["new"] or not list(tmp_path.glob("t.*"))


def test_parquet(project, tmp_path):
    pytest.importorskip("pyarrow")
    table = measure(project)
    back = pd.read_parquet(write_table(table, tmp_path / "t.parquet"))
    pd.testing.assert_frame_equal(back, table, check_categorical=False)


def test_command(project, tmp_path, capsys):
    path = str(project.path)
    assert main(["measure", path, "--no-video", "--table", "objects", "--out", str(tmp_path / "o.csv")]) == 0
    assert list(pd.read_csv(tmp_path / "o.csv")["visible_frames"]) == [6, 6, 4]
    assert main(["measure", path, "--out", str(tmp_path / "o.csv")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["measure", path, "--out", str(tmp_path / "f.csv")]) == 2  # an array is nowhere to be found
    assert "say where it is with --video" in capsys.readouterr().err
    assert not (tmp_path / "f.csv").exists()


def test_a_table_is_replaced_only_if_told_and_needs_masks(tmp_path, capsys):
    out = tmp_path / "t.csv"
    with Project.create(tmp_path / "p.sam2s", np.zeros((2, *SIZE, 3), np.uint8)) as project:
        project.add_object("a")
        words = ["measure", str(project.path), "--no-video", "--out", str(out)]
        assert main(words) == 2  # it was a table without rows
        assert "has no masks to measure" in capsys.readouterr().err
        project.write_masks([(0, 1, np.ones(SIZE, bool), None)])
        assert not out.exists()
        assert main(words) == 0
        before = out.read_bytes()
        project.write_masks([(1, 1, np.ones(SIZE, bool), None)])
        assert main(words) == 2
        assert "exists already: choose another place, or give --overwrite" in capsys.readouterr().err
        assert out.read_bytes() == before
        assert main([*words, "--overwrite"]) == 0
        assert len(out.read_text().splitlines()) == 3
    with pytest.raises(FormatError, match="cannot be written"):
        check_target(out / "t.csv")  # said before an hour of measuring
