"""Exports to where nothing can be written, or where something else is already."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from napari_sam2s.errors import FormatError
from napari_sam2s.formats import FORMATS, read_ctc, read_davis, write_ctc, write_davis, write_overlay
from napari_sam2s.formats.atomic_write import whole_folder
from napari_sam2s.masklets import LabelMasklets, Project
from tests.apart import run_apart

INTO_FOLDERS = [name for name, known in FORMATS.items() if not known.file_ending]


@pytest.fixture
def tracked(tmp_path):
    """A project whose object is known on all six frames."""
    square = np.zeros((24, 30), bool)
    square[5:10, 5:15] = True
    with Project.create(tmp_path / "case.sam2s", np.zeros((6, 24, 30, 3), np.uint8)) as project:
        project.add_object("left")
        project.write_masks([(t, 1, square, None) for t in range(6)])
        yield project


@pytest.fixture
def frozen(tmp_path):
    """A folder that not even root can write."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if not mounted or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", INTO_FOLDERS)
def test_a_file_in_place_of_the_folder(tmp_path, tracked, name):
    (tmp_path / "out").write_text("mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "further"):
        with pytest.raises(FormatError, match=r"cannot be written because .*out.* is a file: choose another folder"):
            tracked.export(folder, name)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("name", INTO_FOLDERS)
def test_a_folder_that_cannot_be_written(frozen, tracked, name):
    for folder in (frozen, frozen / "further"):
        with pytest.raises(FormatError, match=r"cannot be written \(.*[Rr]ead-only"):
            tracked.export(folder, name)
    with pytest.raises(FormatError, match=r"o\.mp4 cannot be written \(.*Read-only"):
        write_overlay(np.zeros((6, 24, 30, 3), np.uint8), tracked, frozen / "o.mp4")


@pytest.mark.parametrize("name", ["ctc", "davis"])
def test_a_disk_that_is_full(frozen, tracked, name):
    subprocess.run(["mount", "-o", "remount,rw,size=8k", str(frozen)], check=True)
    (frozen / "ballast").write_bytes(bytes(8192))
    with pytest.raises(FormatError, match=r"cannot be written \(No space left.*room"):
        tracked.export(frozen / "out", name)


@pytest.mark.parametrize(
    ("write", "read", "left"),
    [
        (write_davis, read_davis, "00003.png to 00005.png"),
        (write_ctc, lambda p: read_ctc(p / "case_RES"), "mask003.tif to mask005.tif"),
    ],
)
def test_frames_of_an_earlier_export_are_not_taken_for_this_one(tmp_path, write, read, left):
    labels = np.zeros((6, 24, 30), np.uint8)
    labels[:, 5:10, 5:15] = 1
    made = write(LabelMasklets(labels), tmp_path, "case")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()}
    labels[:] = 2
    with pytest.raises(FormatError, match=rf"read with it \({left}\): delete the folder, or export elsewhere"):
        write(LabelMasklets(labels[:3]), tmp_path, "case")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()} == before
    write(LabelMasklets(labels), tmp_path, "case")  # the same frames are written anew
    assert read(tmp_path)["case"].masks(5)[2].all()
    shutil.rmtree(made)
    write(LabelMasklets(labels[:3]), tmp_path, "case")
    assert read(tmp_path)["case"].frames == [0, 1, 2]


@pytest.mark.parametrize("beside", ["Annotations_objects/case/001", "Ignore/case"])
def test_pictures_of_objects_and_of_unlabelled_pixels_are_not_those_of_an_export(tmp_path, tracked, beside):
    folder = tmp_path / "out" / beside
    folder.mkdir(parents=True)
    (folder / "00002.png").write_bytes(b"of a conversion")
    with pytest.raises(FormatError, match=r"read with it \(00002\.png\)"):
        tracked.export(tmp_path / "out", "davis")
    assert not (tmp_path / "out" / "Annotations").exists()


@pytest.mark.parametrize("content", ["{}", "[]", '{"videos": []}', "not JSON"])
def test_a_meta_json_of_something_else(tmp_path, tracked, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "meta.json").write_text(content)
    with pytest.raises(FormatError, match=r"not a YouTube-VOS meta\.json .*move it away, or export elsewhere"):
        tracked.export(tmp_path / "out", "davis")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["meta.json"]
    assert (tmp_path / "out" / "meta.json").read_text() == content


def test_what_is_not_known_on_every_frame_is_no_challenge(tmp_path, tracked):
    tracked.tracks.delete(1, 3, 6)
    with pytest.raises(FormatError, match="frame 3 of case is not known"):
        tracked.export(tmp_path / "out", "ctc")
    tracked.tracks.delete(1)
    for name in INTO_FOLDERS:
        with pytest.raises(FormatError, match=r"annotated|not known"):
            tracked.export(tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:case. YOLO loses")
@pytest.mark.parametrize("name", INTO_FOLDERS)
def test_removed_objects_are_in_no_export(tmp_path, tracked, name):
    other = tracked.add_object("other").id
    tracked.write_masks([(t, other, np.ones((24, 30), bool), None) for t in range(6)])
    tracked.objects.remove(1)
    made = tracked.export(tmp_path / "out", name)  # a warning of overlaps would fail the test
    readers = {"davis": lambda: read_davis(tmp_path / "out")["case"], "ctc": lambda: read_ctc(made)["case"]}
    if name in readers:
        [mask] = readers[name]().masks(3).values()
        assert mask.all()


DIES = """
import os, sys
import numpy as np
from napari_sam2s.masklets import Project
folder, name = sys.argv[1:]
with Project.open(f"{folder}/case.sam2s", mode="r") as project:
    whole = project.masks
    class Dying:
        objects, frames, shape, fps = project.objects, project.frames, project.shape, project.fps
        class masks:
            def __call__(self, frame):
                return whole(frame) if frame < 4 else os._exit(9)
            def entries(self, frame):
                return whole.entries(frame) if frame < 4 else os._exit(9)
        masks = masks()
    from napari_sam2s.formats.registry import FORMATS, export
    options = {"video": np.zeros((6, 24, 30, 3), np.uint8)} if FORMATS[name].needs_video else {}
    export(Dying(), "case", f"{folder}/out/masks{FORMATS[name].file_ending}" if options else f"{folder}/out", name, **options)
"""


@pytest.mark.filterwarnings("ignore:case. YOLO loses")
@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_is_killed_leaves_nothing_under_its_name_and_is_made_anew(tmp_path, tracked, name):
    out = tmp_path / "out"
    if FORMATS[name].file_ending:  # a file, for which the user names a folder that is there
        out.mkdir()
    assert run_apart(DIES, str(tmp_path), name, folder=tmp_path) == (9, "")
    assert out.exists() == bool(FORMATS[name].file_ending)
    assert not [p for p in out.rglob("*") if ".part" not in p.name]
    options = {"video": np.zeros((6, 24, 30, 3), np.uint8)} if FORMATS[name].needs_video else {}
    made = tracked.export(out / f"masks{FORMATS[name].file_ending}" if options else out, name, **options)
    assert options or not [p for p in tmp_path.iterdir() if ".part" in p.name]  # which the next one wrote over
    read = FORMATS[name].read
    if read is not None:
        [masks] = read(out if name == "davis" else made).values()
        assert list(masks.frames) == list(range(6))
        assert masks.masks(5)[1].sum() == 50


def test_an_export_in_the_place_of_another_keeps_what_else_is_there(tmp_path, tracked):
    made = write_ctc(tracked, tmp_path, "case")
    (made / "notes.txt").write_text("mine")
    tracked.tracks.mark_absent(1, 3, 6)
    with pytest.raises(TypeError), whole_folder(made) as part:
        (part / "mask000.tif").write_text(None)
    assert len(read_ctc(made)["case"].frames) == 6
    write_ctc(tracked, tmp_path, "case")
    assert (made / "notes.txt").read_text() == "mine"
    assert read_ctc(made)["case"].masks(3) == {}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_folder_killed_while_it_is_replaced_is_put_back(tmp_path, tracked):
    made = write_ctc(tracked, tmp_path, "case")
    made.rename(made.with_name(".case_RES.old"))  # a kill between the two moves
    with pytest.raises(ZeroDivisionError), whole_folder(made):
        _ = 1 / 0
    assert len(read_ctc(made)["case"].frames) == 6
