import csv
import os

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.evaluation import evaluate
from napari_sam2s.evaluation.report import write_report
from napari_sam2s.formats.ctc import CtcFolder
from napari_sam2s.formats.text_cells import csv_cell, from_csv_cell
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.privacy import private_facts
from napari_sam2s.masklets.validation import markdown_cell
from napari_sam2s.video import open_video
from napari_sam2s.video.verification import verify
from tests.fakes import squares

EVIL = [
    '=HYPERLINK("http://evil")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1)",
    "-2+3",
    "'=1",
    "<img src='x'>",
    "a|b",
    "plain",
    "'quoted'",
]


@pytest.mark.parametrize("text", EVIL)
def test_a_cell_is_no_formula_and_comes_back(text):
    cell = csv_cell(text)
    assert cell[0] not in "=+-@"
    assert from_csv_cell(cell) == text


@pytest.mark.parametrize("number", ["-2.5", "+1e3", -4, 0.5, None])
def test_numbers_stay_numbers(number):
    assert csv_cell(number) == number


def test_markdown_shows_text():
    assert markdown_cell("<b>x</b> | `y`\n*z*") == "&lt;b&gt;x&lt;/b&gt; \\| \\`y\\` *z*"


def test_exports_and_reports_of_odd_names(tmp_path):
    rows = np.arange(48)[:, None] // 5 * np.ones((1, 80), int)
    with Project.create(tmp_path / "p.sam2s", squares(3)) as project:
        for name in EVIL:
            made = project.add_object(name, class_name=name)
            project.write_masks([(t, made.id, rows == made.id - 1, None) for t in range(3)])
        table = project.export(tmp_path / "csv", "csv")
        page = write_report(evaluate(project, project), tmp_path / "report")
        folder = project.export(tmp_path / "ctc", "ctc")
        assert [(o.name, o.class_name) for o in CtcFolder(folder).objects] == [(name, name) for name in EVIL]
    for path in (*table.rglob("*.csv"), *page.parent.rglob("*.csv"), *folder.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row if cell]
        assert not [c for c in cells if c[0] in "=+@" or (c[0] == "-" and csv_cell(c) != c)], path
    assert "<img" not in page.read_text()


def test_file_names_that_are_not_utf8(tmp_path):
    """As on old disks, and in archives of other systems: a project, its exports and reports live with them."""
    folder = tmp_path / os.fsdecode(b"v\xe9\xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this disk takes names in UTF-8 only")
    for n in range(3):
        Image.new("RGB", (80, 48), (60 * n, 0, 0)).save(folder / f"{n}.png")
    assert "v\\udce9\\udcff" in verify(folder, samples=1).page().encode().decode()
    path = tmp_path / os.fsdecode(b"k\xff.sam2s")
    with open_video(folder) as video, Project.create(path, video) as project:
        made = project.add_object("a")
        project.write_masks([(0, made.id, np.ones((48, 80), bool), None)])
        for kind in ("mots", "csv"):
            project.export(tmp_path / kind, kind)
    with Project.open(path) as project:
        assert project.video.path == folder
        assert private_facts(project.store)["video"] == str(folder)
    csv_cell(str(folder)).encode()
