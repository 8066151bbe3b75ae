"""Files with damaged pages and masks: what is said of them, what is read, what is saved."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project, Scores, page_check, rle, row_check
from napari_sam2s.masklets.damage import find_damage
from napari_sam2s.masklets.salvage import salvage_project
from napari_sam2s.masklets.schema import PAGE_BYTES

FRAMES = 400
NOISE = np.random.default_rng(0).random((FRAMES, 24, 32)) < 0.5


@pytest.fixture
def path(tmp_path):
    """A project whose masks fill several pages."""
    with Project.create(tmp_path / "case.sam2s", np.zeros((FRAMES, 24, 32, 3), np.uint8)) as project:
        project.add_object("left grasper", class_name="grasper")
        project.write_masks([(t, 1, NOISE[t], None) for t in range(FRAMES)])
        project.confirm(3)
    return tmp_path / "case.sam2s"


def zero_page_of(path, frame):
    """Overwrite the page that holds the mask of a frame."""
    content = bytearray(path.read_bytes())
    start = content.index(rle.encode(NOISE[frame]).counts) // PAGE_BYTES * PAGE_BYTES
    content[start : start + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)


def test_a_whole_project(path, capsys):
    damage = find_damage(path)
    assert damage.whole
    assert damage.masks == FRAMES
    assert main(["doctor", str(path)]) == 0
    assert "The project is whole." in capsys.readouterr().out


def test_a_damaged_page_is_refused_named_and_saved_around(path, tmp_path, capsys):
    zero_page_of(path, 200)
    with pytest.raises(ProjectError, match=r"is damaged \(.*\): `napari-sam2s doctor case.sam2s`"):
        Project.open(path)
    damage = find_damage(path)
    lost = damage.lost[1]
    assert 200 in lost
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert 10 < len(lost) < 200
    assert damage.masks + len(lost) == FRAMES

    assert main(["doctor", str(path)]) == 1
    told = capsys.readouterr().out
    assert f"left grasper: frames {lost[0]} to {lost[-1]}" in told
    assert "copy --salvage" in told
    assert main(["copy", "--salvage", str(path), str(tmp_path / "saved.sam2s")]) == 0
    assert f"{damage.masks} masks of 1 object were saved" in capsys.readouterr().out
    assert find_damage(tmp_path / "saved.sam2s").whole
    with Project.open(tmp_path / "saved.sam2s") as saved:
        assert [o.class_name for o in saved.objects] == ["grasper"]
        assert saved.frames == [t for t in range(FRAMES) if t not in lost]
        assert saved.masks.confirmed_frames(1) == [3]
        for t in saved.frames:
            np.testing.assert_array_equal(saved.mask(t, 1), NOISE[t])


@pytest.mark.parametrize("read", ["export", "measure", "evaluate"])
def test_a_page_of_yesterday_in_a_large_file_is_told_by_who_reads_all_masks(path, tmp_path, monkeypatch, capsys, read):
    """As a disk leaves it that loses a write: each page is sound, and masks are gone without a word."""
    content = bytearray(path.read_bytes())
    one, other = (content.index(rle.encode(NOISE[t]).counts) // PAGE_BYTES * PAGE_BYTES for t in (100, 300))
    content[one : one + PAGE_BYTES] = content[other : other + PAGE_BYTES]
    path.write_bytes(content)
    monkeypatch.setattr(page_check, "SMALL_BYTES", 0)
    monkeypatch.setattr(row_check, "QUICK_BYTES", 0)
    Project.open(path, mode="r").close()
    out = str(tmp_path / "out.csv")
    words = {"export": [out, "--format", "csv"], "measure": ["--no-video", "--out", out], "evaluate": [str(path)]}[read]
    assert main([read, str(path), *words]) == 2
    assert "case.sam2s is damaged (" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--strip"]])
@pytest.mark.parametrize("kind", ["page", "mask", "object", "index"])
def test_damage_is_not_copied(path, tmp_path, capsys, kind, options):
    said = {
        "page": r"left grasper: frames \d+ to \d+\)",
        "mask": r"left grasper: frame 4\)",
        "object": r"objects? .*do not exist",
    }
    if kind == "page":
        zero_page_of(path, 200)
    elif kind == "index":
        content = path.read_bytes()
        with closing(sqlite3.connect(path)) as db:
            [page] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'masks_of_object'").fetchone()
        path.write_bytes(content[: (page - 1) * PAGE_BYTES] + bytes(PAGE_BYTES) + content[page * PAGE_BYTES :])
    else:
        change = "counts = x'01' WHERE frame = 4" if kind == "mask" else "object_id = 9 WHERE frame = 4"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"UPDATE masks SET {change}")
    assert main(["copy", str(path), str(tmp_path / "copy.sam2s"), *options]) == 2
    told = capsys.readouterr().err
    assert re.search(rf"case.sam2s is damaged, so the copy would be damaged too: .*{said.get(kind, 'malformed')}", told), told
    assert "`napari-sam2s copy --salvage case.sam2s saved.sam2s`" in told
    assert not list(tmp_path.glob("copy*"))
    assert main(["copy", "--salvage", str(path), str(tmp_path / "saved.sam2s")]) == 0
    assert main(["copy", str(tmp_path / "saved.sam2s"), str(tmp_path / "copy.sam2s"), *options]) == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("counts = substr(counts, 1, 40)", "damaged"),
        ("counts = x'0102'", "damaged"),
        ("counts = zeroblob(0)", "damaged"),
        ("area = area - 1", "damaged"),
        ("height = 2000000000", "beyond the frame"),
        ("y0 = 24", "beyond the frame"),
        ("y0 = 'x'", "beyond the frame"),
    ],
)
def test_a_damaged_mask_is_one_sentence_and_the_others_are_read(path, tmp_path, change, word):
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE masks SET {change} WHERE frame = 4")
    db.close()
    with Project.open(path) as project:
        with pytest.raises(ProjectError, match=rf"A mask of the project is damaged.*{word if word != 'damaged' else ''}"):
            project.mask(4, 1)
        assert project.mask(5, 1).any()
    damage = find_damage(path)
    assert (damage.lost, damage.masks) == ({1: [4]}, FRAMES - 1)
    made, _ = salvage_project(path, tmp_path / "saved.sam2s")
    assert find_damage(made).whole


def test_a_mask_that_has_moved_is_damaged_and_one_of_an_older_version_is_read(path):
    square = np.zeros((24, 32), bool)
    square[5:10, 5:15] = True
    mask = rle.encode(square)
    older = rle.Mask(mask.y0, mask.x0, mask.height, mask.width, mask.counts[:-4], mask.area)
    np.testing.assert_array_equal(rle.decode(older, (24, 32)), square)
    with pytest.raises(ProjectError, match="its place is not the one"):
        rle.decode(rle.Mask(mask.y0 + 1, mask.x0, mask.height, mask.width, mask.counts, mask.area), (24, 32))


def test_without_its_objects_masks_get_new_ones(path, tmp_path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("UPDATE objects SET name = x'ff00'")
    db.close()
    made, damage = salvage_project(path, tmp_path / "saved.sam2s")
    assert "objects" in damage.parts
    with Project.open(made) as saved:
        assert [o.name for o in saved.objects] == ["object 1"]
        assert len(saved.frames) == FRAMES


def test_a_schema_that_is_no_text(path, capsys):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(step INTEGER NOT", b"(step INTEGER @\x82T", 1))
    for words in (["show", path], ["doctor", path], ["copy", "--salvage", path, path.with_name("b.sam2s")]):
        assert main(list(map(str, words)))
        assert "is damaged (malformed database schema)" in "".join(capsys.readouterr())


@pytest.mark.parametrize("change", ["DELETE FROM class_lists", "UPDATE masks SET class_scores = x'010000'"])
def test_class_scores_that_are_damaged_are_one_sentence(path, change):
    with Project.open(path) as project:
        project.write_masks([(0, 1, NOISE[0], Scores(0.9, 5.0, {"grasper": 0.5}))])
        assert project.scores(0)[1].class_scores == {"grasper": 0.5}
        with project.store.transaction() as db:
            db.execute(change)
    with Project.open(path) as project, pytest.raises(ProjectError, match=r"case\.sam2s is damaged \(probabilities of classes"):
        project.scores(0)


def test_what_is_no_project(tmp_path):
    (tmp_path / "a.sam2s").write_bytes(b"x" * 5000)
    assert main(["doctor", str(tmp_path / "a.sam2s")]) == 1
    assert main(["copy", "--salvage", str(tmp_path / "a.sam2s"), str(tmp_path / "b.sam2s")]) == 2
    assert not (tmp_path / "b.sam2s").exists()


@pytest.mark.parametrize("broken", [False, True])
def test_an_undone_run_is_saved_undone(path, tmp_path, broken):
    with Project.open(path) as project:
        two = project.add_object().id
        run = project.runs.start(model="none")
        project.write_masks([(t, two, NOISE[t], None) for t in range(9)], run=run)
        project.runs.finish(run)
        project.undo()
    if broken:
        with sqlite3.connect(path) as db:
            db.execute("UPDATE masks_changes SET present = 1, counts = 'x' WHERE frame = 3")
        db.close()
    made, damage = salvage_project(path, tmp_path / "saved.sam2s")
    assert ("history" in damage.parts) == broken
    with Project.open(made) as saved:
        assert saved.mask(3, two) is None
        assert saved.redo() == (None if broken else "track")
        assert (saved.mask(3, two) is None) == broken


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE masks SET frame = 999 WHERE frame = 3", "masks of frame 999 in a video of 400"),
        ("UPDATE masks SET frame = -1 WHERE frame = 3", "masks of frame -1"),
        ("UPDATE meta SET value = '[1, 2]' WHERE key = 'shape'", "does not say which video"),
        ("UPDATE meta SET value = '[8, -4, 6]' WHERE key = 'shape'", "does not say which video"),
        ("UPDATE meta SET value = '[8, 4800000, 6400000]' WHERE key = 'shape'", "does not say which video"),
        ("UPDATE objects SET name = x'ff00'", "objects, row 1: name is b"),
        ("PRAGMA user_version = 0", "does not say its format"),
    ],
)
def test_rows_that_no_project_has_are_one_sentence(path, change, words):
    with closing(sqlite3.connect(path)) as db:
        db.executescript(change)
    with pytest.raises(ProjectError, match=words), Project.open(path) as project:
        project.objects.read()
