"""A project has few members, each of which is one thing; what scripts called before still works, with a word."""

from __future__ import annotations

import warnings
from operator import attrgetter

import pytest

import napari_sam2s.masklets as masklets
from napari_sam2s.masklets import Project, TrackEdit
from napari_sam2s.masklets.moved_names import MOVED


def test_a_project_has_at_most_thirty_public_members_and_no_base_of_ours(project):
    assert Project.__mro__ == (Project, object)
    members = [name for name in dir(project) if not name.startswith("_")]
    assert len(members) <= 30, members
    assert not set(members) & set(MOVED)


@pytest.mark.parametrize("name", sorted(MOVED))
def test_an_old_name_is_the_new_place_with_one_warning(project, name):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = getattr(project, name)
    assert [str(w.message) for w in told] == [f"Project.{name} is project.{MOVED[name]} now."]
    assert told[0].category is DeprecationWarning
    assert told[0].filename == __file__
    assert found == attrgetter(MOVED[name])(project)


def test_old_names_do_what_they_did(project):
    with pytest.warns(DeprecationWarning, match=r"Project\.swap is project\.tracks\.swap now"):
        project.swap(1, 2, 10)
    assert project.history.steps[-1] == ("swap 1 and 2", False)


def test_a_name_that_never_was_is_refused(project):
    with pytest.raises(AttributeError, match="'Project' object has no attribute 'swop'"):
        _ = project.swop
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = masklets.Nothing


def test_an_operation_is_a_track_edit_now():
    with pytest.warns(DeprecationWarning, match="Operation is TrackEdit now"):
        assert masklets.Operation is TrackEdit


def test_parts_are_what_the_file_says_now(project):
    objects, runs = project.objects, project.runs
    assert len(objects) == 2
    assert objects == project.objects == tuple(objects)
    project.add_object("third")
    assert [o.name for o in objects[1:]] == ["thing 2", "third"]
    assert objects != [1]
    assert "third" in repr(objects)
    assert runs[-1].status == "finished"
