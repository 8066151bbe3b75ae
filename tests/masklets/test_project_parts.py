"""A project has few members, each of which is one thing."""

from __future__ import annotations

from napari_sam2s.masklets import Project


def test_a_project_has_at_most_thirty_public_members_and_no_base_of_ours(project):
    assert Project.__mro__ == (Project, object)
    members = [name for name in dir(project) if not name.startswith("_")]
    assert len(members) <= 30, members


def test_parts_are_what_the_file_says_now(project):
    objects, runs = project.objects, project.runs
    assert len(objects) == 2
    assert objects == project.objects == tuple(objects)
    project.add_object("third")
    assert [o.name for o in objects[1:]] == ["thing 2", "third"]
    assert objects != [1]
    assert "third" in repr(objects)
    assert runs[-1].status == "finished"
