"""The table of measurements, against what is known of drawn shapes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from napari_sam2s.cli.show_command import describe
from napari_sam2s.errors import FormatError, ProjectError
from napari_sam2s.formats import read_davis, write_davis, write_measurements
from napari_sam2s.formats.export_view import ExportView
from napari_sam2s.formats.measurements import COLUMNS
from napari_sam2s.formats.methods_record import methods_record
from napari_sam2s.formats.phase_table import facts_of_phases
from napari_sam2s.masklets import Project, Scores
from napari_sam2s.measurements import measure, write_table

SIZE = (40, 60)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def project(tmp_path):
    class Video:
        shape, fps = (50, *SIZE, 3), 25.0

    with Project.create(tmp_path / "case.sam2s", Video()) as made:
        made.add_object("left", class_name="grasper")
        made.add_object("right")
        ring = np.zeros(SIZE, bool)
        ring[10:21, 20:41] = True
        ring[12:19, 22:39] = False
        made.write_masks([(0, 1, ring, Scores(0.91234, 5.5)), (0, 2, np.zeros(SIZE, bool), Scores(0.2, -3.0))])
        made.write_masks([(25, 1, ring, None)], origin="interpolated")
        made.confirm(0, 1)
        yield made


def test_rows_are_what_was_drawn(project, tmp_path):
    rows = read(project.export(tmp_path / "out", "csv", pixel_size=(0.5, 0.25), unit="micrometer"))
    assert list(rows[0]) == list(COLUMNS)
    assert [(r["frame"], r["object_id"]) for r in rows] == [("0", "1"), ("0", "2"), ("25", "1")]
    area = 11 * 21 - 7 * 17
    expected = {
        "time_s": "0.0",
        "name": "left",
        "class": "grasper",
        "area_px": str(area),
        "area": f"{area * 0.125:.6g}",
        "unit": "micrometer",
        "centroid_y": "15.0",
        "centroid_x": "30.0",
        "y0": "10",
        "x0": "20",
        "y1": "21",
        "x1": "41",
        "predicted_iou": "0.9123",
        "object_score": "5.5",
        "origin": "propagated",
        "confirmed": "1",
    }
    assert {key: rows[0][key] for key in expected} == expected
    assert (rows[1]["area_px"], rows[1]["centroid_y"], rows[1]["y0"], rows[1]["confirmed"]) == ("0", "", "", "0")
    assert (rows[2]["time_s"], rows[2]["origin"], rows[2]["predicted_iou"]) == ("1.0", "interpolated", "")


def test_centroids_are_those_of_the_pixels(project, tmp_path):
    rng = np.random.default_rng(0)
    mask = rng.random(SIZE) < 0.02
    project.write_masks([(3, 1, mask, None)])
    [row] = [r for r in read(project.export(tmp_path, "csv")) if r["frame"] == "3"]
    y, x = np.nonzero(mask)
    assert float(row["centroid_y"]) == pytest.approx(y.mean(), abs=0.005)
    assert float(row["centroid_x"]) == pytest.approx(x.mean(), abs=0.005)
    assert (row["area"], row["unit"]) == ("", "")


def test_areas_have_all_their_digits(project, tmp_path):
    project.write_masks([(3, 1, np.ones(SIZE, bool), None)])
    [row] = [r for r in read(project.export(tmp_path, "csv", pixel_size=(22.69, 22.69))) if r["frame"] == "3"]
    assert float(row["area"]) == pytest.approx(2400 * 22.69**2, rel=1e-11)  # 1235606.64
    assert "e" not in row["area"]


def test_of_masks_alone(project, tmp_path):
    masklets = read_davis(write_davis(project, tmp_path / "davis", "case"))["case"]
    rows = read(write_measurements(masklets, tmp_path, "case"))
    assert [(r["frame"], r["object_id"], r["area_px"]) for r in rows] == [("0", "1", "112"), ("25", "1", "112")]
    assert rows[0]["time_s"] == rows[0]["origin"] == rows[0]["predicted_iou"] == ""


def test_phases_go_beside_and_into_the_json(project, tmp_path):
    project.export(tmp_path / "none", "csv")
    assert [p.name for p in (tmp_path / "none").iterdir()] == ["case_measurements.csv"]
    project.phases.add("dissection", 5, 30)
    project.phases.add("=clip", 49)
    told = [("dissection", 5, 29, 0.2, 1.2), ("=clip", 49, None, 1.96, None)]
    told = [dict(zip(("phase", "start_frame", "last_frame", "start_s", "end_s"), row, strict=True)) for row in told]
    project.export(tmp_path / "out", "csv")
    written = [
        {**{"phase": "dissection", "start_frame": "5", "last_frame": "29"}, **{"start_s": "0.2", "end_s": "1.2"}},
        {**{"phase": "'=clip", "start_frame": "49", "last_frame": ""}, **{"start_s": "1.96", "end_s": ""}},
    ]
    assert read(tmp_path / "out" / "case_phases.csv") == written
    project.export(tmp_path / "mine.csv", "csv")
    assert read(tmp_path / "mine_phases.csv") == written
    for name in ("coco", "sav", "youtube-vis"):
        assert json.loads(project.export(tmp_path / name, name).read_text())["phases"] == told
    project.export(tmp_path / "davis", "davis")
    assert json.loads((tmp_path / "davis" / "meta.json").read_text())["videos"]["case"]["phases"] == told
    assert methods_record(project)["phases"] == describe(project)["phases"] == told


def test_seconds_of_phases_are_the_videos_own(project, tmp_path):
    """The last frame of a video is shown as long as the one before."""
    project.phases.add("all of it", 48, 50)
    times = np.cumsum(np.r_[0.0, np.full(48, 0.1), 0.5])
    [phase] = facts_of_phases(ExportView(project, times))
    assert (phase["start_s"], phase["end_s"]) == (4.8, 5.8)
    for frame in (48, 49):
        project.phases.remove(project.phases[-1].id)
        project.phases.add("all of it", 3, frame)
        [phase] = facts_of_phases(ExportView(project, times))
        assert phase["end_s"] == pytest.approx(times[frame])


def test_a_row_for_each_object(project, tmp_path):
    class Clock:
        shape, fps, timestamps = (50, *SIZE, 3), 25.0, np.arange(50) * 2.0  # its own clock runs slower than its rate

        def __len__(self):
            return 50

    project.objects.rename(2, "=1+1")
    rows = read(project.export(tmp_path, "objects"))
    assert [(r["name"], r["visible_frames"], r["first_s"], r["last_s"]) for r in rows] == [
        ("left", "2", "0.0", "1.0"),
        ("'=1+1", "0", "", ""),
    ]
    table = write_table(measure(project, table="objects"), tmp_path / "t.csv")  # as the command line has it
    assert (tmp_path / "case_objects.csv").read_text() == table.read_text()
    [left, _] = read(project.export(tmp_path / "o.csv", "objects", video=Clock(), pixel_size=(0.5, 2.0), unit="mm"))
    assert (left["last_s"], float(left["mean_area"])) == ("50.0", 11 * 21 - 7 * 17)


def test_what_cannot_be_written_says_so(project, tmp_path):
    with pytest.raises(FormatError, match="two numbers above 0"):
        project.export(tmp_path, "csv", pixel_size=(0.0, 1.0))
    with pytest.raises(FormatError, match="above 0"):
        project.export(tmp_path, "csv", pixel_size=(float("inf"), 1.0))
    with pytest.raises(FormatError, match="The unit mm needs a pixel size"):  # it was left out without a word
        project.export(tmp_path, "csv", unit="mm")
    with pytest.raises(ProjectError, match="'unit' is an option of 'csv' and 'objects', not of 'davis'"):
        project.export(tmp_path, "davis", unit="mm")
    with Project.create(tmp_path / "empty.sam2s", np.zeros((2, *SIZE, 3), np.uint8)) as empty:
        for name in ("csv", "objects", "coco"):
            with pytest.raises(FormatError, match="annotated"):
                empty.export(tmp_path, name)
