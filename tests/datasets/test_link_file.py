"""The uncertain links of a conversion in a project: taken up, answered, written back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sam2s import Project, open_video
from napari_sam2s.datasets import apply_review, find_review_list
from napari_sam2s.errors import DatasetError
from napari_sam2s.formats import read_davis


@pytest.fixture
def subset(tmp_path, trees):
    return trees.uncertain_subset(tmp_path)


@pytest.fixture
def project(subset, tmp_path):
    with Project.create(tmp_path / "seq1.sam2s", open_video(subset / "JPEGImages" / "seq1")) as made:
        made.add_object()
        yield made


def entry(subset):
    [link] = json.loads((subset / "review.json").read_text())["links"]
    return link


def test_found_beside_the_pictures(subset, tmp_path):
    found = find_review_list(subset / "JPEGImages" / "seq1")
    assert (found.root, found.video, found.undecided()) == (subset, "seq1", 1)
    assert find_review_list(None) is None
    assert find_review_list(subset / "Annotations" / "seq1") is None
    assert find_review_list(subset / "JPEGImages" / "seq2") is None
    (subset / "review.json").unlink()
    assert find_review_list(subset / "JPEGImages" / "seq1") is None


def test_taken_up_answered_and_applied(subset, project):
    found = find_review_list(subset / "JPEGImages" / "seq1")
    told = []
    assert found.take_up(project, lambda *how_far: told.append(how_far)) == 1
    assert told[-1] == (4, 4)
    assert found.taken_up(project)
    truth = read_davis(subset)["seq1"]
    assert [(o.id, o.name, o.class_name) for o in project.objects] == [(o.id, o.name, o.class_name) for o in truth.objects]
    for place, number in enumerate(truth.frames):
        assert sorted(project.masks(place)) == sorted(truth.masks(number))
        for i, mask in truth.masks(number).items():
            np.testing.assert_array_equal(project.mask(place, i), mask)

    [span] = project.review()
    question = span.link
    assert (question.frame, question.object_id) == (3, 3)
    best = max(entry(subset)["candidates"], key=lambda c: c["overlap"])
    assert question.candidate == best["object"]
    if question.candidate != 1:
        project.review.refuse(span)
        [span] = project.review()
    project.review.accept(span)
    assert found.store(project) == 1
    assert entry(subset)["same_as"] == 1
    assert found.store(project) == 0

    project.undo()
    assert found.store(project) == 1
    assert entry(subset)["same_as"] is None
    project.redo()
    found.store(project)
    assert apply_review(subset) == (1, 0)
    assert [sorted(read_davis(subset)["seq1"].masks(t)) for t in truth.frames] == [[1], [1, 2], [2], [1]]
    assert [sorted(project.masks(t)) for t in range(4)] == [[1], [1, 2], [2], [1]]
    assert found.store(project) == 0  # what is applied is no longer in the list


def test_refused_it_is_another_one(subset, project):
    found = find_review_list(subset / "JPEGImages" / "seq1")
    found.take_up(project)
    while queue := project.review():
        project.review.refuse(queue[0])
    found.store(project)
    assert entry(subset)["same_as"] == 3
    assert found.undecided() == 0
    assert apply_review(subset) == (0, 0)


def test_what_was_decided_by_hand_is_decided(subset, project):
    review = json.loads((subset / "review.json").read_text())
    review["links"][0]["same_as"] = 1
    (subset / "review.json").write_text(json.dumps(review))
    found = find_review_list(subset / "JPEGImages" / "seq1")
    found.take_up(project)
    assert not project.review()
    assert [sorted(project.masks(t)) for t in range(4)] == [[1], [1, 2], [2], [1]]
    project.undo()  # one step for all of it
    assert [o.name for o in project.objects] == ["object 1"]
    assert not project.frames
    assert not project.links


def test_objects_that_are_there_stay(subset, project):
    project.write_masks([(0, 1, np.ones(project.shape[1:], bool), None)])
    project.objects.rename(1, "mine")
    find_review_list(subset / "JPEGImages" / "seq1").take_up(project)
    assert [o.name for o in project.objects] == ["mine", "polyp", "polyp 2", "polyp 3"]
    [question] = project.links.questions()
    assert question.object_id == 4
    project.links.accept(question.link.id)
    found = find_review_list(subset / "JPEGImages" / "seq1")
    found.store(project)
    assert entry(subset)["same_as"] == question.candidate - 1  # by the conversion's numbers


def test_refusals(subset, project, tmp_path):
    found = find_review_list(subset / "JPEGImages" / "seq1")
    other = open_video(np.zeros((7, *project.shape[1:], 3), np.uint8))
    with Project.create(tmp_path / "other.sam2s", other) as wrong, pytest.raises(DatasetError, match="has 4"):
        found.take_up(wrong)
    review = (subset / "review.json").read_text()
    (subset / "review.json").write_text(review.replace('"frame": 13', '"frame": 14'))
    with pytest.raises(DatasetError, match="names a frame or an object that is not there"):
        found.take_up(project)
    (subset / "review.json").write_text("[]")
    with pytest.raises(DatasetError, match="not a list of links"):
        found.undecided()
    (subset / "review.json").write_text(review)
    found.take_up(project)
    with pytest.raises(DatasetError, match="already"):
        found.take_up(project)
