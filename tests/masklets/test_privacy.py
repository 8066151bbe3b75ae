"""What a project says about people, and a copy that does not."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

import napari_sam2s as sam2s
from napari_sam2s.cli import main
from napari_sam2s.errors import ProjectError
from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Prompt
from napari_sam2s.masklets.privacy import copy_stripped, private_facts

SECRETS = (b"Doe_John", b"Mr Miller", b"lab_of_smith")


@pytest.fixture
def project(tmp_path):
    """A project of a video whose name is a patient's, with an old name, a removed object and a model's path."""
    folder = tmp_path / "Doe_John"
    folder.mkdir()
    video = sam2s.open_video(write_video(np.zeros((3, 16, 32, 3), np.uint8), folder / "Doe_John_1970.mp4"))
    with sam2s.Project.create(folder / "case.sam2s", video) as project:
        kept, other = project.add_object("Mr Miller's left hand"), project.add_object("Mr Miller himself")
        project.objects.rename(kept.id, "hand")
        project.prompts.add(Prompt(other.id, 0, points=((1.0, 1.0),), labels=(1,)))
        project.write_masks([(t, kept.id, np.ones((16, 32), bool), None) for t in range(3)])
        project.objects.remove(other.id)
        run = project.runs.start(next_frame=1, stop_frame=3, model_source="/home/lab_of_smith/m.pt", napari_sam2s="1")
        project.runs.finish(run)
    return folder / "case.sam2s"


def test_what_is_private_is_told(project, capsys):
    assert main(["show", str(project), "--private", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["video"].endswith("Doe_John_1970.mp4")
    assert facts["names"] == ["hand"]
    assert facts["removed_names"] == ["Mr Miller himself", "Mr Miller's left hand"]
    assert facts["model_files"] == ["/home/lab_of_smith/m.pt"]
    assert facts["steps"] > 0
    assert facts["first"] <= facts["last"]


def test_a_stripped_copy_has_none_of_it_and_all_masks(project, tmp_path, capsys):
    target = tmp_path / "shared.sam2s"
    assert main(["copy", str(project), str(target), "--strip"]) == 0
    data = target.read_bytes()
    assert not [secret for secret in SECRETS if secret in data]
    with sam2s.Project.open(target) as copy:
        facts = private_facts(copy.store)
        assert facts["video"] is None
        assert (facts["names"], facts["removed_names"]) == (["hand"], ["removed"])
        assert (facts["model_files"], facts["steps"], facts["first"]) == ([], 0, None)
        assert [copy.mask(t, 1).sum() for t in range(3)] == [16 * 32] * 3
        assert copy.add_object("new").id == 3  # ids are not given twice
        assert copy.runs[0].provenance["model_source"] == "(name removed)"
        assert copy.runs[0].status == "finished"
        with pytest.raises(ProjectError, match="resume it in the project itself"):
            copy.runs.resume(1)
        assert copy.video.path is None
    capsys.readouterr()
    assert main(["show", str(target), "--private"]) == 0
    said = capsys.readouterr().out
    assert "its path is not in the project" in said
    assert "copy --strip" in said  # the object that was added since is a step of undo
    copy_stripped(target, tmp_path / "again.sam2s")
    assert main(["show", str(tmp_path / "again.sam2s"), "--private"]) == 0
    assert "copy --strip" not in capsys.readouterr().out  # nothing is left to leave out


def test_stripping_leaves_the_project_as_it_is(project, tmp_path):
    before = project.read_bytes()
    copy_stripped(project, tmp_path / "shared.sam2s")
    assert project.read_bytes() == before


def test_strip_and_salvage_are_refused_together(project, tmp_path, capsys):
    assert main(["copy", str(project), str(tmp_path / "x.sam2s"), "--strip", "--salvage"]) == 2
    assert "salvage the project first" in capsys.readouterr().err
    assert not (tmp_path / "x.sam2s").exists()


def test_the_masks_of_an_undone_run_are_not_in_the_stripped_copy(tmp_path):
    with sam2s.Project.create(tmp_path / "case.sam2s", np.zeros((4, 24, 32, 3), np.uint8)) as project:
        project.add_object()
        run = project.runs.start(model="none")
        project.write_masks([(t, 1, np.ones((24, 32), bool), None) for t in range(4)], run=run)
        project.runs.finish(run)
        project.undo()
    with sam2s.Project.open(copy_stripped(tmp_path / "case.sam2s", tmp_path / "shared.sam2s")) as shared:
        assert shared.store.rows("SELECT 1 FROM masks") == []
        assert shared.store.known == "masks"


def test_memory_of_runs_and_files_of_models_are_not_in_the_stripped_copy(tmp_path):
    """A snapshot holds what a network saw in the pictures; a file's name, and a data set's folder, may be a person's."""
    seen = io.BytesIO()
    with zipfile.ZipFile(seen, "w") as archive:
        archive.writestr("archive/data.pkl", "seen pixels")
    with sam2s.Project.create(tmp_path / "case.sam2s", np.zeros((4, 24, 32, 3), np.uint8)) as project:
        one, other = project.add_object(), project.add_object()
        for index, name in enumerate(("miller.pt", "C:\\lab_of_smith\\m.pt", "medsam2")):
            facts = {"model": "sam2s-nano", "model_source": name, "class_names": ["Miller's hook"]}
            run = project.runs.start(next_frame=index, stop_frame=4, direction="forward", snapshot=seen.getvalue(), **facts)
            project.runs.finish(run, "interrupted")
        project.write_masks([(t, i, np.ones((24, 32), bool), None) for t in range(4) for i in (one.id, other.id)])
        project.links.add(other.id, 2, [(one.id, 0.3)], "may be the same", {"list": "review.json", "video": "miller_1970"})
        facts = private_facts(project.store)
    assert facts["model_files"] == ["C:\\lab_of_smith\\m.pt", "miller.pt"]
    assert (facts["models"], facts["model_classes"]) == (["medsam2"], ["Miller's hook"])
    stripped = copy_stripped(tmp_path / "case.sam2s", tmp_path / "shared.sam2s")
    assert not [secret for secret in (b"seen pixels", b"miller", b"lab_of_smith") if secret in stripped.read_bytes()]
    with sam2s.Project.open(stripped) as shared:
        assert [run.provenance["model_source"] for run in shared.runs] == ["(name removed)", "(name removed)", "medsam2"]
        assert [(link.reason, link.source) for link in shared.links] == [("may be the same", {})]
        assert private_facts(shared.store)["model_files"] == []
        with pytest.raises(ProjectError, match="resume it in the project itself"):
            shared.runs.resume(3)
