"""Words of a command line that mean nothing: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.cli.terminal import Harmless
from napari_sam2s.masklets import Project, Scores
from napari_sam2s.video import open_video

SQUARE = np.zeros((32, 48), bool)
SQUARE[4:12, 5:15] = True
PROJECT, TRACK = "case.sam2s", ["track", "video.tif", "--out", "new.sam2s"]
BATCH = ["batch", "video.tif", "--out", "new"]

POINT = [*TRACK, "--point", "0,8,8"]
MEASURE = ["measure", PROJECT, "--out", "new.csv"]
EVALUATE = ["evaluate", PROJECT, PROJECT]

# A command, an option, and what it cannot be.
OPTIONS = [
    (["verify", "video.tif"], "--samples", "0 -1 nan 1.5 x 0x10 1e3"),
    (["verify", "video.tif"], "--seed", "-1 -999999999999"),
    (["verify", "video.tif"], "--report", "video.tif folder no/new.md"),
    (["info", "video.tif"], "--stream", "-1 1 99999999999999999999"),
    (EVALUATE, "--processes", "0 -1"),
    (EVALUATE, "--nsd", "nan inf -1 1e999 1,5"),
    (EVALUATE, "--spacing", "nan,1 inf,1 0,0 -1,1 1 1,2,3 x,y"),
    (EVALUATE, "--csv", f"video.tif {PROJECT} folder no/new.csv"),
    (MEASURE, "--objects", "-1 0 99999999999999999999 x"),
    (MEASURE, "--idle-speed", "nan inf -1 1e999"),
    (MEASURE, "--pixel-size", "nan 0 -1 1,2,3 x inf"),
    (["measure", PROJECT], "--out", f"video.tif {PROJECT}"),
    (BATCH, "--workers", "0 -1 100000 99999999999999999999"),
    (BATCH, "--gpus", "-1"),
    (BATCH, "--retries", "-1 99999999999999999999"),
    (BATCH, "--summary", f"video.tif {PROJECT} folder"),
    (["demo"], "--frames", "0 -1"),
    (["train", "empty.txt", "--out", "new"], "--minutes", "nan -1"),
    (POINT, "--fps", "nan inf -1 0 x"),
    (POINT, "--rate", "nan inf -1 0 x"),
    (POINT, "--device", "meta cuda:99 x"),
    (POINT, "--model", "video.tif folder no"),
    (TRACK, "--point", "0 a,b,c -1,0,0 4,0,0 0,-1,0 0,32,0 0,nan,0 0,1e400,0 0,0,0,0 0.5,0,0 0,0,0,1e20"),
    (TRACK, "--box", "0,9,9,1,1 0,-9,-9,-1,-1 0,0,0,nan,9 0,99,99,200,200 0,0,0,9 9,0,0,9,9"),
    (TRACK, "--mask", "0, 0,no.png 0,folder 0,empty.txt -1,mask.png 99,mask.png 0,video.tif"),
    (["export", PROJECT, "new"], "--format", "x DAVIS"),
]
PLACES = ("no", "folder", "x" * 300, "a\nb")
TABLE = [
    *([*words, f"{option}={value}"] for words, option, values in OPTIONS for value in values.split()),
    *([command, place] for command in ("info", "show", "doctor", "resume", "methods") for place in PLACES),
    *(["copy", place, "new.sam2s"] for place in PLACES),
    ["export", PROJECT, "video.tif"],
    ["export", PROJECT, "/proc/x/y"],
    ["copy", PROJECT, "video.tif"],
    ["import", "folder", "--format", "davis", "--video", "video.tif", "--out", "new.sam2s"],
    ["export", PROJECT, ""],
    [*MEASURE, "--video="],
    ["info", " "],
    ["info", "video\0.tif"],
    ["copy", PROJECT, "new\0.sam2s"],
    ["info", "video.tif", "too", "much"],
    ["--json"],
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (4, *SQUARE.shape), np.uint8)
    tifffile.imwrite("video.tif", noise, photometric="minisblack", metadata={"axes": "TYX"})
    Image.fromarray(np.uint8(255 * SQUARE)).save("mask.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").touch()
    with open_video("video.tif") as video, Project.create(PROJECT, video) as project:
        project.add_object("a")
        project.write_masks([(t, 1, SQUARE, Scores(0.9, 5.0)) for t in range(4)])
    return tmp_path


def contents(folder):
    """Every file by its content, but for the notes of SQLite on who reads."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith(("-shm", "-wal"))
    }


def test_words_that_mean_nothing(folder, capsys):
    before = contents(folder)
    for words in TABLE:
        try:
            code = main(words)
        except SystemExit as end:  # of argparse
            code = end.code
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("napari-sam2s")]
        assert code == 2, words
        assert told, words
        assert contents(folder) == before, words


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_file_names_command_no_terminal(tmp_path, capsys):
    """A name may hold what colours a terminal, or bytes that are not UTF-8: printing these failed, and obeyed those."""
    folder = tmp_path / "a\x1b[31mred"
    folder.mkdir()
    for n in range(2):
        Image.new("RGB", (80, 48)).save(folder / f"{n}.png")
    assert main(["info", str(folder)]) == 0
    assert main(["info", f"{folder}/gone\x1b[2J"]) == 2
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "a\\x1b[31mred" in said.out
    plain = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    print("v\udce9\x07", file=Harmless(plain))
    plain.seek(0)
    assert plain.read() == "v\\udce9\\x07\n"
