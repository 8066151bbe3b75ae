"""``track`` that was killed between making its project and beginning to track: the same command starts it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.video import open_video


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A video of four frames, and the mask of an object on the first."""
    folder, drawn = tmp_path_factory.mktemp("case"), demo_case(4, size=(120, 160))
    write_video((drawn[t] for t in range(4)), folder / "case.mp4")
    mask = drawn.masks(0)[1]
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "first.png")
    return folder / "case.mp4", folder / "first.png", mask


def track(case, out, *more):
    video, picture, _ = case
    return main([*map(str, ("track", video, "--mask", f"0,{picture},7", "--image-size", 128, "--out", out)), *more])


def leave(case, path, how_far):
    """Leave what a command killed at some moment leaves."""
    with open_video(case[0]) as video, Project.create(path, video) as project:
        if how_far >= 1:
            made = project.add_object("object 7")
        if how_far >= 2:
            project.keep_prompt(Prompt(made.id, 0, mask=case[2]), case[2], None)
        return project


@pytest.mark.slow
@pytest.mark.parametrize("how_far", [0, 1, 2])
def test_the_same_command_starts_it(case, tmp_path, how_far, capsys):
    assert track(case, tmp_path / "whole.sam2s") == 0
    leave(case, tmp_path / "k.sam2s", how_far)
    assert main(["resume", str(tmp_path / "k.sam2s")]) == 2
    assert "give the same `napari-sam2s track` command again" in capsys.readouterr().err
    assert track(case, tmp_path / "k.sam2s") == 0
    with Project.open(tmp_path / "whole.sam2s", "r") as whole, Project.open(tmp_path / "k.sam2s", "r") as again:
        assert again.frames == whole.frames == [0, 1, 2, 3]
        assert [o.name for o in again.objects] == ["object 7"]
        for t in range(4):
            np.testing.assert_array_equal(again.mask(t, 1), whole.mask(t, 1))


def rename(project, case):
    project.objects.rename(1, "grasper")


def prompt_more(project, case):
    project.keep_prompt(Prompt(1, 2, mask=case[2]), case[2], None)


def paint(project, case):
    project.write_masks([(1, 1, case[2], None)], origin="painted")


def confirm(project, case):
    project.confirm(0)


def begin(project, case):
    project.runs.start(next_frame=0, stop_frame=4)


@pytest.mark.parametrize("work", [rename, prompt_more, paint, confirm, begin])
def test_what_somebody_worked_on_is_kept(case, tmp_path, work, capsys):
    path = tmp_path / "k.sam2s"
    leave(case, path, 2)
    with Project.open(path) as project:
        work(project, case)
    before = path.read_bytes()
    assert track(case, path) == 2
    assert "exists already" in capsys.readouterr().err
    with Project.open(path, "r") as project:
        assert len(project.objects) == 1
        assert len(project.prompts()) == 1 + (work is prompt_more)
    assert len(before) == path.stat().st_size
