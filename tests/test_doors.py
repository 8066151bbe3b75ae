"""Every row of the table of doors in ``docs/explanation/trust.md``: what comes from outside, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import napari_sam2s as sam2s
from napari_sam2s.cli import main
from napari_sam2s.errors import (
    EvaluationError,
    FormatError,
    ModelError,
    ProjectError,
    PromptError,
    Sam2sError,
    TrackingError,
    VideoError,
)
from napari_sam2s.formats import import_phases, write_overlay, write_video
from napari_sam2s.masklets import Project, class_list
from napari_sam2s.masklets.copies import copy_project
from napari_sam2s.masklets.salvage import salvage_project
from napari_sam2s.measurements import write_table
from napari_sam2s.model import downloads
from napari_sam2s.tracking import Engine, Tracker
from tests.fakes import ColourModel, squares

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "trust.md"
TABLE = PAGE.read_text(encoding="utf-8").partition("| function | takes | refuses |\n|---|---|---|\n")[2].partition("\n\n")[0]
ROWS = [re.match(r"\| (`.*?) \|", line)[1] for line in TABLE.splitlines()]
SIZE = (48, 80)


@pytest.fixture
def project(tmp_path):
    """A project of one object on all frames of forty."""
    with Project.create(tmp_path / "case.sam2s", squares()) as made:
        made.add_object("square")
        made.write_masks([(t, 1, square(), None) for t in range(40)])
        yield made


def square():
    mask = np.zeros(SIZE, bool)
    mask[8:20, 4:16] = True
    return mask


def picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def refused(error, *calls):
    """Every call is refused by one sentence, of an error of ours."""
    for n, call in enumerate(calls):
        with pytest.raises(error) as told:
            call()
        assert isinstance(told.value, Sam2sError), n
        sentence = str(told.value)
        assert 10 < len(sentence) < 600, (n, sentence)
        assert "\n" not in sentence, (n, sentence)


def videos(tmp_path, project):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    picture(tmp_path / "two sizes" / "0.png", np.zeros((8, 8), np.uint8))
    picture(tmp_path / "two sizes" / "1.png", np.zeros((8, 9), np.uint8))
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((8, 8), np.uint8))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "one.tif").read_bytes()[:30])
    paths = ("text.mp4", "empty.mp4", "folder", "two sizes", "one.tif", "cut.tif", "not there.mp4")
    refused(VideoError, *(lambda p=p: sam2s.open_video(tmp_path / p) for p in paths))
    arrays = (np.zeros((4, 5)), np.zeros((48, 80, 3), np.uint8), np.zeros((2, 4, 5), complex), np.array(["a"]))
    refused(VideoError, *(lambda a=a: sam2s.open_video(a) for a in arrays))


def prompts(tmp_path, project):
    tracker = Tracker(ColourModel(), sam2s.open_video(squares()))
    bad = square().astype(float)
    soft, labels, nan = 0.9 * bad + 0.05, bad.astype(int) * 3 + np.eye(*SIZE, dtype=int), np.where(bad > 0, np.nan, 0)
    given = [{"mask": m} for m in (soft, labels, nan, bad - 1, bad[:-1], bad * 0)]
    given += [{"points": [(5, 5)], "labels": [0.9]}, {"points": [(5, 5)], "labels": [2]}, {"points": [(5, 500)], "labels": [1]}]
    given += [
        {"points": [(5, 5)], "labels": [1, 1]},
        {"box": (9, 9, 3, 3)},
        {"box": (1, 2, 3)},
        {"points": [("a", 1)], "labels": [1]},
    ]
    refused(PromptError, *(lambda g=g: tracker.prompt(1, frame=0, **g) for g in given))
    refused(PromptError, *(lambda f=f: tracker.prompt(1, frame=f, points=[(9, 9)], labels=[1]) for f in (1.0, -1, 40, "0")))
    path = picture(tmp_path / "soft.png", (255 * np.linspace(0, 1, SIZE[0] * SIZE[1])).reshape(SIZE).astype(np.uint8))
    frames = picture(tmp_path / "video" / "0.png", squares(2)[0]).parent
    picture(frames / "1.png", squares(2)[1])
    for words in (["--point", "0,5"], ["--point", "0,5,5,1,?"], ["--box", "0,9,9,3,3"], ["--mask", f"0,{path},1"]):
        assert exit_code("track", frames, *words, "--out", tmp_path / "o.sam2s") == 2
    assert not (tmp_path / "o.sam2s").exists()


def exit_code(*words):
    """Return with what a command ends; argparse ends the program for what it refuses itself."""
    try:
        return main(list(map(str, words)))
    except SystemExit as end:
        return end.code


def masks(tmp_path, project):
    good = square()
    bad = (
        good * 0.9 + 0.05,
        good.astype(int) - 1,
        np.full(SIZE, np.nan),
        good[1:],
        np.full(SIZE, "a"),
        [[True], [True, False]],
    )
    refused(ProjectError, *(lambda m=m: project.write_masks([(0, 1, m, None)]) for m in bad))
    refused(
        ProjectError,
        *(lambda t=t, i=i: project.write_masks([(t, i, good, None)]) for t, i in ((0, 9), (40, 1), (-1, 1), (1.0, 1))),
    )
    assert project.frames == list(range(40))


def trackers(tmp_path, project):
    model, video = ColourModel(), sam2s.open_video(squares())
    refused(
        TrackingError,
        lambda: Tracker("sam2s-nano", video),
        lambda: Tracker(model, "case.mp4"),
        lambda: Tracker(model, video, "case.sam2s"),
        lambda: Tracker(model, sam2s.open_video(squares(3)), project),
        lambda: sam2s.track(video, ["0,5,5"], model=model),
    )
    tracker = Tracker(model, video)
    tracker.prompt(1, frame=3, mask=square())
    bad = ({"start": -1}, {"stop": 41}, {"start": 1.0}, {"direction": "up"}, {"rate": 0}, {"rate": "5"}, {"objects": [9]})
    refused(TrackingError, *(lambda b=b: tracker.propagate(**b) for b in bad))


def labels(tmp_path, project):
    ids = square().astype(int)
    refused(ProjectError, *(lambda m=m: project.labels.__setitem__(0, m) for m in (ids / 2, -ids, 9 * ids)))
    with pytest.raises(IndexError):
        project.labels[40] = ids


def phases(tmp_path, project):
    (tmp_path / "a.csv").write_bytes(b"SQLite format 3\0\x84")
    refused(
        (ProjectError, FormatError),
        lambda: project.phases.mark(" ", 1),
        lambda: project.phases.mark("a", 40),
        lambda: import_phases(project, tmp_path / "a.csv"),
        lambda: import_phases(project, tmp_path / "not there.csv"),
    )


def names(tmp_path, project):
    refused(ProjectError, *(lambda n=n: project.add_object(n) for n in (" \t", "\x00\x1b", "x" * 100_001, 5)))
    refused(
        ProjectError, *(lambda c=c: project.add_object(colour=c) for c in ("red", (0.5, 0.5, 0.5), (300, 0, 0), (1, 2), np.nan))
    )
    assert project.add_object("a\x1b[31mb\x00\nc").name == "a[31mb c"


def creating(tmp_path, project):
    refused(ProjectError, *(lambda p=p: Project.create(p, squares()) for p in (project.path, tmp_path / "none" / "a.sam2s")))


def opening(tmp_path, project):
    (tmp_path / "text.sam2s").write_text("no project" * 400)
    other, newer = tmp_path / "other.sam2s", tmp_path / "newer.sam2s"
    import sqlite3

    for path, pragma in ((other, "application_id = 1"), (newer, "user_version = 99")):
        copy_project(project.path, path)
        with sqlite3.connect(path) as db:
            db.execute(f"PRAGMA {pragma}")
        db.close()
    refused(
        ProjectError, *(lambda p=p: Project.open(p) for p in (tmp_path / "text.sam2s", other, newer, project.path, tmp_path))
    )
    shutil.copy(project.path, tmp_path / "alone.sam2s")
    with pytest.warns(UserWarning, match="copied while it was open"):
        Project.open(tmp_path / "alone.sam2s", mode="r").close()


def copying(tmp_path, project):
    (tmp_path / "text.sam2s").write_text("no project")
    for copy in (copy_project, salvage_project):
        refused(
            ProjectError,
            lambda copy=copy: copy(tmp_path / "not there.sam2s", tmp_path / "a.sam2s"),
            lambda copy=copy: copy(tmp_path / "text.sam2s", tmp_path / "a.sam2s"),
            lambda copy=copy: copy(project.path, project.path),
        )
    assert not (tmp_path / "a.sam2s").exists()


def exporting(tmp_path, project):
    refused(
        Sam2sError,
        lambda: project.export(tmp_path / "o", "docx"),
        lambda: project.export(tmp_path / "o", "davis", pixel_size=(1, 1)),
        lambda: project.export(tmp_path / "o", "csv", pixel_size=(0, 1)),
        lambda: project.export(tmp_path / "o", "overlay"),
    )
    assert not (tmp_path / "o").exists()


def importing(tmp_path, project):
    coco = project.export(tmp_path / "coco", "coco")
    facts = json.loads(coco.read_text())
    facts["annotations"][0]["segmentation"]["counts"] = "~~~"
    broken = {"half.json": coco.read_text()[:-40], "runs.json": json.dumps(facts), "list.json": "[]"}
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
        assert exit_code("import", tmp_path / name, "--out", tmp_path / "i.sam2s", "--format", "coco") == 2, name
    other = picture(tmp_path / "davis" / "Annotations" / "a" / "00000.png", np.ones((5, 5), np.uint8)).parents[2]
    picture(other / "Annotations" / "a" / "00001.png", np.ones((9, 9), np.uint8))
    assert exit_code("import", other, "--out", tmp_path / "i.sam2s", "--format", "davis") == 2
    assert not (tmp_path / "i.sam2s").exists()


def measuring(tmp_path, project):
    refused(
        FormatError,
        lambda: sam2s.measure("case.sam2s"),
        lambda: sam2s.measure(project, "case.mp4"),
        lambda: sam2s.measure(project, squares(3)),
        lambda: sam2s.measure(project, pixel_size=0),
        lambda: sam2s.measure(project, unit="micrometer"),
        lambda: write_table(sam2s.measure(project), tmp_path / "a.mp4"),
    )


def writing(tmp_path, project):
    frames, path = squares(3), tmp_path / "a.mp4"
    refused(
        FormatError,
        lambda: write_video(frames / 255, path),
        lambda: write_video(frames[..., 0], path),
        lambda: write_video([frames[0], frames[1][:-2]], path),
        lambda: write_video(frames, path, fps=0),
        lambda: write_video(frames, tmp_path / "a.sam2s"),
        lambda: write_overlay(frames, project, tmp_path / "a.sam2s"),
    )
    assert not path.exists()


def classes(tmp_path, project):
    (tmp_path / "blank.txt").write_text("\n \n")
    refused(Sam2sError, lambda: class_list("not there"), lambda: class_list(tmp_path / "blank.txt"))


def checkpoints(tmp_path, project):
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"model": {"some.weight": torch.zeros(3)}}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"model": {"some.weight": torch.arange(1000.0)}}, tmp_path / "flipped.pt")
    content = bytearray((tmp_path / "flipped.pt").read_bytes())
    content[content.index(np.float32(700).tobytes()) + 1] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    with pytest.raises(ModelError, match="has other content than was written"):
        sam2s.load_model(tmp_path / "flipped.pt")
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    found = [tmp_path / f"{name}.pt" for name in ("text", "other", "list", "evil", "not there")]
    refused(ModelError, *(lambda p=p: sam2s.load_model(p) for p in (*found, "no such model")))
    assert not (tmp_path / "run").exists()


class Evil:
    """Runs code when it is unpickled, where that is let."""

    def __reduce__(self):
        return Path.touch, (Path("run"),)


def published(tmp_path, project, monkeypatch):
    (tmp_path / "others.pt").write_bytes(b"others")
    monkeypatch.setattr(downloads, "find_local", lambda entry: tmp_path / "others.pt")
    refused(ModelError, lambda: sam2s.load_model("sam2.1-tiny"))


def downloading(tmp_path, project, monkeypatch):
    """Nothing is downloaded unasked: a model that is not there is a sentence with the command."""
    monkeypatch.setattr(downloads, "find_local", lambda entry: None)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked for"))
    refused(ModelError, lambda: sam2s.load_model("sam2.1-small"))


def engines(tmp_path, project):
    refused(
        TrackingError,
        lambda: Engine("tls://127.0.0.1:1"),
        lambda: Engine("tls://127.0.0.1:1", security=tmp_path),
        lambda: Engine(security=tmp_path),
    )


def resuming(tmp_path, project):
    refused(TrackingError, lambda: sam2s.tracking.resume_run(project, sam2s.open_video(squares())))
    assert main(["resume", str(tmp_path / "not there.sam2s")]) == 2


def scoring(tmp_path, project):
    truth = np.zeros((40, *SIZE), np.uint8)
    truth[:, 8:20, 4:16] = 1
    picture(tmp_path / "soft" / "00000.png", np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "00000.png").write_text("no picture")
    refused(
        (EvaluationError, FormatError),
        lambda: sam2s.evaluate(project, truth[:, :-1]),
        lambda: sam2s.evaluate(truth[:3], truth),
        lambda: sam2s.evaluate(tmp_path / "soft", truth),
        lambda: sam2s.evaluate(tmp_path / "text", truth),
        lambda: sam2s.evaluate(tmp_path / "not there", truth),
        lambda: sam2s.evaluate(truth / 2.5, truth),
    )
    assert main(["convert", "endovis18", str(tmp_path / "text"), str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def working(tmp_path, project):
    (tmp_path / "a.toml").write_text("nonsense = 1\n")
    refused(TrackingError, lambda: sam2s.batch([]), lambda: sam2s.batch(tmp_path / "not there.mp4"))
    for config in ("a.toml", "not there.toml"):
        assert exit_code("train", tmp_path / config, "--out", tmp_path / "out") == 2


TRIES = {
    "`open_video`": videos,
    "`Tracker.prompt`, `track --point --box --mask`": prompts,
    "`Tracker`, `propagate`, `track`": trackers,
    "`Project.write_masks`": masks,
    "`Project.add_object`": names,
    "`Project.labels`": labels,
    "`Project.phases`, `import_phases`": phases,
    "`Project.create`": creating,
    "`Project.open`": opening,
    "`copy`, `copy --salvage`": copying,
    "`Project.export`": exporting,
    "`measure`, `write_table`": measuring,
    "`write_video`, `write_overlay`": writing,
    "`import`": importing,
    "`class_list`": classes,
    "`load_model`": checkpoints,
    "`load_model` of published weights": published,
    "`download`, `models get`": downloading,
    "`Engine`": engines,
    "`resume`": resuming,
    "`evaluate`, `convert`": scoring,
    "`batch`, `train`": working,
}


def test_every_door_of_the_table_is_tried():
    assert list(TRIES) == ROWS


@pytest.mark.parametrize("door", TRIES)
def test_a_door_refuses_what_the_table_says(door, tmp_path, project, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attempt = TRIES[door]
    attempt(tmp_path, project, *([monkeypatch] if "monkeypatch" in attempt.__code__.co_varnames else []))
