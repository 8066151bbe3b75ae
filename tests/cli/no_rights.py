"""Every door of the command line as a user who may not read or write something; see ``test_no_rights.py``.

``python no_rights.py FOLDER`` prints a JSON line for each command: the words, the exit code, and what was said. As root it
first does everything that is allowed, so that all is imported, and then becomes ``nobody``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

import napari_sam2s
from napari_sam2s.cli import main
from napari_sam2s.formats.registry import FORMATS
from napari_sam2s.masklets import Project

NOBODY = 65534
READ = {  # format: what its export is called in its folder
    **{"davis": ".", "coco": ".", "sav": ".", "youtube-vis": ".", "mots": ".", "cvat": ".", "ctc": "case_RES"},
    **{"ome-zarr": "case.ome.zarr", "tiff": "case_labels.tif"},
}


def make(base: Path) -> None:
    """Make a video, its project, and an export in each format."""
    for t in range(4):
        (base / "case").mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 40, 3), 60 * t, np.uint8)).save(base / "case" / f"{t:05d}.png")
    napari_sam2s.formats.write_video((np.full((32, 40, 3), 60 * t, np.uint8) for t in range(4)), base / "film.mp4")
    mask = np.zeros((32, 40), bool)
    mask[4:12, 6:20] = True
    with Project.create(base / "case.sam2s", napari_sam2s.open_video(base / "case")) as project:
        project.add_object("cell", "nucleus")
        project.write_masks([(t, 1, mask, None) for t in range(4)])
    Image.fromarray(mask.astype(np.uint8)).save(base / "mask.png")


def commands(base: Path, out: Path, source: Path) -> list[list[str]]:
    """Return all commands that read ``source`` (a folder like ``base``) and write into ``out``."""
    project, film = str(source / "case.sam2s"), str(source / "film.mp4")
    found = [["export", project, str(out / f"e_{name}{FORMATS[name].file_ending}"), "--format", name] for name in FORMATS]
    for name, inside in READ.items():
        masks, video = str(source / f"e_{name}" / inside), str(source.parent / "source" / "case")
        found.append(["import", masks, "--format", name, "--out", str(out / f"i_{name}.sam2s"), "--video", video])
    tables = (".csv", ".parquet") if importlib.util.find_spec("pyarrow") else (".csv",)
    found += [["measure", project, "--out", str(out / f"m{kind}")] for kind in tables]
    found += [["methods", project, "--out", str(out / "methods")], ["methods", project]]
    found += [["verify", film, "--samples", "4", "--report", str(out / "report.md")], ["show", project], ["info", film]]
    found += [["copy", project, str(out / "copy.sam2s")], ["copy", project, str(out / "bare.sam2s"), "--strip"]]
    found += [["doctor", project]]
    track = ["--mask", f"0,{source / 'mask.png'}", "--image-size", "256", "--out", str(out / "t.sam2s")]
    return [*found, ["track", film, *track], ["batch", film, "--prompts", "masks", "--out", str(out)]]


def say(words: list[str]) -> dict[str, object]:
    """Run a command and return what became of it."""
    told, out = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
        except BaseException as error:  # noqa: BLE001  # a fault, which the test names
            code = f"{type(error).__name__}: {error}"
    return {"words": words, "code": code, "err": told.getvalue(), "out": out.getvalue()}


def tree(folder: Path) -> list[str]:
    """Return all names below a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def run(base: Path) -> None:
    """Make all, try all, take away all rights, and try again."""
    source, free, closed, secret = (base / name for name in ("source", "free", "closed", "secret"))
    for folder in (source, free, closed):
        folder.mkdir()
    make(source)
    shutil.copy(source / "mask.png", source / "film_frame0.png")
    for words in commands(base, free, source):
        if words[0] == "import":
            words[1] = words[1].replace(str(source), str(free))
        print(json.dumps({"kind": "allowed", **say(words)}), flush=True)
    for made in free.iterdir():
        if made.name.startswith("e_"):
            made.rename(source / made.name)
    shutil.copytree(source, secret)
    for path in [p for p in secret.rglob("*") if p.is_file()]:
        path.chmod(0)
    closed.chmod(0o555)
    mine = base / "mine"
    mine.mkdir()
    mine.chmod(0o777)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    for kind, out, read in (("closed", closed, source), ("secret", free, secret)):
        for words in commands(base, out, read):
            if words[0] == "batch" and not os.access(sys.executable, os.X_OK):
                continue  # its workers are processes of this Python, which root has for itself
            words = [w.replace(str(free), str(base / "mine")) for w in words]
            before = tree(base)
            told = say(words)
            print(json.dumps({"kind": kind, **told, "left": sorted(set(tree(base)) - set(before))}), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
