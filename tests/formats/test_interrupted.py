"""Exports that are interrupted, meet a full disk, or a place that cannot be written: one sentence, nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import FormatError, Sam2sError
from napari_sam2s.formats import FORMATS
from napari_sam2s.formats.ome_zarr import read_ome_zarr
from napari_sam2s.formats.registry import export
from napari_sam2s.masklets import LabelMasklets, Object

SIZE, FRAMES = (32, 40), 60
VIDEO = np.random.default_rng(0).integers(0, 255, (FRAMES, *SIZE, 3), np.uint8)


class Noise:
    """Masks that no compression makes small; the seventh frame is where Ctrl-C comes, if wanted."""

    shape = (FRAMES, *SIZE)
    fps = 10.0
    frames = range(FRAMES)
    objects = (Object(1, "one"), Object(2, "two"))
    interrupted = False

    def masks(self, frame):
        if self.interrupted and frame == 7:
            raise KeyboardInterrupt
        noise = np.random.default_rng(frame).random(SIZE) < 0.5
        noise[0] = frame % 2
        return {1: noise, 2: ~noise}


def target_of(name, folder):
    return folder / f"out{FORMATS[name].file_ending}" if FORMATS[name].file_ending else folder


def write(name, masklets, folder, **options):
    return export(masklets, "case", target_of(name, folder), name, video=VIDEO, **options)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.filterwarnings("ignore:case. YOLO")
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_interrupted_leaves_what_was_there(name, tmp_path):
    stopped = Noise()
    stopped.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        write(name, stopped, tmp_path)
    assert files(tmp_path) == []
    write(name, Noise(), tmp_path)
    before = {path: (tmp_path / path).read_bytes() for path in files(tmp_path)}
    assert before
    with pytest.raises(FormatError, match="exists already: choose another place, or give --overwrite"):  # whatever the format
        write(name, Noise(), tmp_path)
    assert {path: (tmp_path / path).read_bytes() for path in files(tmp_path)} == before
    with pytest.raises(KeyboardInterrupt):
        write(name, stopped, tmp_path, overwrite=True)
    assert {path: (tmp_path / path).read_bytes() for path in files(tmp_path)} == before
    write(name, Noise(), tmp_path, overwrite=True)
    assert files(tmp_path) == sorted(before)


@pytest.mark.filterwarnings("ignore:case. YOLO")
@pytest.mark.parametrize("name", ["geff", "mots", "yolo-seg", "ome-zarr"])
def test_what_is_replaced_keeps_nothing_of_an_earlier_export(name, tmp_path):
    """A chunk or a text file of a frame that is known no more would be read as part of the new export."""
    write(name, Noise(), tmp_path)
    before = set(files(tmp_path))
    made = next(path for path in tmp_path.iterdir() if path.is_dir())
    (made / "stale").write_text("of an earlier export")
    write(name, Noise(), tmp_path, overwrite=True)
    assert set(files(tmp_path)) == before
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


@pytest.mark.filterwarnings("ignore:case. YOLO")
@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if not known.file_ending])
def test_what_failed_leaves_no_folder(name, tmp_path):
    stopped = Noise()
    stopped.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        write(name, stopped, tmp_path / "new" / "out")
    with pytest.raises(Sam2sError):
        export(Noise(), "case", tmp_path / "new" / "out", name, video=VIDEO, no_such_option=1)
    assert not list(tmp_path.iterdir())
    write(name, Noise(), tmp_path / "new" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


@pytest.fixture(scope="module")
def tiny_disk(tmp_path_factory):
    """Return the folder of a disk of 64 kB, where this process may make one."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=60", "tmpfs", str(folder)]
    if os.name == "nt" or not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


@pytest.mark.filterwarnings("ignore:case. YOLO")
@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk(name, tiny_disk):
    try:
        left = 0 if name == "objects" else 4096  # a table of two rows
        (tiny_disk / "filler").write_bytes(bytes(64 * 1024 - left))
        with pytest.raises(Sam2sError, match=r"cannot be written") as caught:
            write(name, Noise(), tiny_disk)
        assert "\n" not in str(caught.value)
        assert files(tiny_disk) == ["filler"]
        if not FORMATS[name].file_ending:
            with pytest.raises(Sam2sError, match=r"new.*cannot be written"):
                write(name, Noise(), tiny_disk / "new" / "out")
            assert [p.name for p in tiny_disk.iterdir()] == ["filler"]
    finally:
        for left in tiny_disk.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@pytest.mark.filterwarnings("ignore:case. YOLO")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_folder_without_rights(name, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    if os.getuid() == 0:  # to whom nothing is closed, but a file is no folder
        locked.rmdir()
        locked.write_bytes(b"")
    else:
        locked.chmod(0o500)
    with pytest.raises(Sam2sError, match=r"cannot be written|no folder") as caught:
        write(name, Noise(), locked)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["locked"]


@pytest.mark.parametrize("name", ["ctc", "mots", "yolo-seg", "ome-zarr", "geff"])
@pytest.mark.filterwarnings("ignore:case. YOLO")
def test_folders_that_are_there_already(name, tmp_path):
    made = write(name, Noise(), tmp_path)
    (made / "mask999.tif").write_bytes(b"notes of mine")
    before = files(made)
    with pytest.raises(FormatError, match=r"exists already|delete the folder"):
        write(name, Noise(), tmp_path)
    assert files(made) == before


def test_floats_are_no_labels(tmp_path):
    import zarr

    with pytest.raises(FormatError, match="Labels are integers of shape"):
        LabelMasklets(np.zeros((2, 3, 4)))
    labels = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=2).create_group("labels")
    labels.attrs["labels"] = ["a"]
    labels.create_group("a").attrs["multiscales"] = [{"datasets": [{"path": "0"}]}]
    labels["a"].create_array("0", shape=(2, 3, 4), dtype="float32")
    with pytest.raises(FormatError, match="the labels a are float32"):
        read_ome_zarr(tmp_path / "x.zarr")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_asked_to_end_a_command_leaves_nothing(tmp_path, monkeypatch, capsys, ctrl_c):
    """As by `kill`, a closed terminal or the scheduler of a cluster; also of a job in the background, which no Ctrl-C ends."""
    from napari_sam2s.masklets import Project

    with Project.create(tmp_path / "case.sam2s", VIDEO) as project:
        project.add_object()
        project.write_masks([(t, 1, np.ones(SIZE, bool), None) for t in range(9)])
    read = Project.export

    def asked(self, *words, progress, **options):
        def tell(done, total):
            progress(done, total)
            if done == 5:
                os.kill(os.getpid(), signal.SIGTERM)

        return read(self, *words, progress=tell, **options)

    monkeypatch.setattr(Project, "export", asked)
    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        assert main(["export", str(tmp_path / "case.sam2s"), str(tmp_path / "out"), "--format", "coco"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith("case.sam2s")] == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_one_sentence_and_exit_code_2(tmp_path, capsys):
    from napari_sam2s.masklets import Project

    with Project.create(tmp_path / "case.sam2s", VIDEO) as project:
        project.add_object()
        project.write_masks([(0, 1, np.ones(SIZE, bool), None)])
    (tmp_path / "file").write_bytes(b"")
    capsys.readouterr()
    for name in FORMATS:
        target = tmp_path / "file" / Path(f"o{FORMATS[name].file_ending}") if FORMATS[name].file_ending else tmp_path / "file"
        assert main(["export", str(tmp_path / "case.sam2s"), str(target), "--format", name]) == 2
        told = capsys.readouterr().err
        assert "Traceback" not in told
        assert told.splitlines()[-1].startswith("napari-sam2s export: ")  # perhaps behind a bar
    with pytest.raises(SystemExit) as caught:
        main(["export", str(tmp_path / "case.sam2s"), str(tmp_path), "--format", "jpeg"])
    assert caught.value.code == 2
