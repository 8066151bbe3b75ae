"""Phases in: our own table, tables of spans, a phase a frame at the video's rate and at another one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import FormatError, ProjectError
from napari_sam2s.formats.import_project import import_project
from napari_sam2s.formats.phase_import import import_phases
from napari_sam2s.formats.phase_table import write_phases
from napari_sam2s.masklets import Project
from napari_sam2s.video import open_video

FRAMES = 100
FPS = 25


def film():
    return open_video(np.zeros((FRAMES, 8, 9, 3), np.uint8), fps=FPS)


@pytest.fixture
def case(tmp_path):
    with Project.create(tmp_path / "case.sam2s", film()) as project:
        yield project


def phases(project):
    return [(p.name, p.start, p.stop) for p in project.phases]


def test_what_is_exported_comes_back_and_is_one_step(case, tmp_path):
    known = [("=dissection, sharp", 0, 40), ("7 'up", 3, 9), ("clip ä", 30, 31), ("closing", 80, None)]
    for phase in known:
        case.phases.add(*phase)
    path = write_phases(case, tmp_path, "case")
    with Project.create(tmp_path / "new.sam2s", film()) as new:
        assert len(import_phases(new, path, video=film())) == 4
        assert phases(new) == known
        with pytest.raises(ProjectError, match="end the new one earlier"):
            import_phases(new, path)
        assert new.history.undo() == "import phases"
        assert phases(new) == []
    case.add_object()
    case.write_masks([(2, 1, np.ones((8, 9), bool), None)])
    for name in ("coco", "sav", "youtube-vis", "davis"):
        made = case.export(tmp_path / name, name)
        target = tmp_path / f"{name}.sam2s"
        import_project(tmp_path / name if name == "davis" else made, name, target, film())
        with Project.open(target, "r") as new:
            assert phases(new) == known, name


@pytest.mark.parametrize(
    ("text", "fps", "expected"),
    [
        # Cholec80: every frame, from 0
        (
            "Frame\tPhase\n" + "".join(f"{t}\t{'Preparation' if t < 30 else 'Clipping'}\n" for t in range(FRAMES)),
            None,
            [("Preparation", 0, 30), ("Clipping", 30, 100)],
        ),
        # its kin, with every 25th frame, and no phase for some
        ("frame,phase\n0,0\n25,\n50,1\n75,1\n", None, [("phase 0", 0, 25), ("phase 1", 50, 100)]),
        # AutoLaparo: a row a second, counted from 1
        ("Frame Phase\n1 1\n2 1\n3 2\n4 1\n", 1, [("phase 1", 0, 50), ("phase 2", 50, 75), ("phase 1", 75, 100)]),
        # without a header, with names of several words
        ("".join(f"{t} knot tying\n" for t in range(FRAMES)), None, [("knot tying", 0, 100)]),
        ("label;start_s;end_s\ncut;0.4;1\nclip;2;\n", None, [("cut", 10, 25), ("clip", 50, None)]),
        ("\ufeffphase,start_frame,last_frame\ncut,10,10.0\n", None, [("cut", 10, 11)]),
    ],
    ids=["cholec80", "every 25th", "autolaparo", "headless", "seconds", "frames"],
)
def test_tables_of_others(case, tmp_path, text, fps, expected):
    path = tmp_path / "table.txt"
    path.write_text(text, encoding="utf-8")
    import_phases(case, path, fps=fps)
    assert phases(case) == expected


def test_rows_behind_the_end_are_told(case, tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("frame\tphase\n" + "".join(f"{t}\ta\n" for t in range(FRAMES + 3)), encoding="utf-8")
    with pytest.warns(UserWarning, match="continues for 3 frames"):
        import_phases(case, path)
    assert phases(case) == [("a", 0, FRAMES)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "a table of phases has `phase`"),
        ("frame\tphase\n" + "".join(f"{t}\t0\n" for t in range(4)), "--fps 1 if it has one row per second"),
        ("frame\tphase\n" + "".join(f"{t}\t0\n" for t in range(2 * FRAMES)), "to another video"),
        ("frame\tphase\n3\ta\n2\tb\n", "frame 2 after frame 3"),
        ("frame\tphase\n3.5\ta\n", "not a whole number"),
        ("phase,start_s\na,nan\n", "not a table of phases"),
        ("phase,start_frame\na,soon\n", "not a table of phases"),
        ("phase,start_frame\n", "has no phase"),
        ("\0\0\0\0PK", "not a table of phases|a table of phases has"),
    ],
)
def test_what_is_no_table_of_phases_is_refused_in_a_sentence(case, tmp_path, text, said):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=said):
        import_phases(case, path)
    assert phases(case) == []


def test_the_command_line_adds_to_a_project_or_makes_one(case, tmp_path, capsys):
    case.close()
    path = tmp_path / "table.csv"
    path.write_text("phase,start_frame,last_frame\ncut,10,19\n", encoding="utf-8")
    assert main(["import", str(path), "--format", "phases", "--out", str(tmp_path / "case.sam2s")]) == 0
    assert ": 1 phase\n" in capsys.readouterr().out
    with Project.open(tmp_path / "case.sam2s", "r") as project:
        assert phases(project) == [("cut", 10, 20)]
    assert main(["import", str(path), "--format", "phases", "--out", str(tmp_path / "none.sam2s")]) == 2
    assert "give --video" in capsys.readouterr().err
    assert not (tmp_path / "none.sam2s").exists()
