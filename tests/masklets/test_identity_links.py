"""Uncertain links: asked about, answered, undone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project

FRAMES = 30


@pytest.fixture
def split(tmp_path, video):
    """One thing under three names, 1 to 3, that takes a pause between them; and another, 4, that is there meanwhile."""
    with Project.create(tmp_path / "split.sam2s", video) as made:
        for name in ("left", "left again", "left at last", "other"):
            made.add_object(name)
        for i, frames in ((1, range(10)), (2, range(12, 18)), (3, range(20, 30)), (4, range(8, 22))):
            made.write_masks([(t, i, square(t, i), None) for t in frames], origin="imported")
        made.links.add(2, 12, [(1, 0.4), (4, 0.1)], "it came back")
        made.links.add(3, 20, [(2, 0.6), (1, 0.3), (4, 0.0)])
        yield made


def square(t, i):
    mask = np.zeros((24, 32), dtype=bool)
    mask[2 * i : 2 * i + 3, t % 20 : t % 20 + 5] = True
    return mask


def shown(project, object_id):
    series = project.masks.series(object_id)
    return series.frames[series.area > 0].tolist()


def test_what_is_asked(split):
    first, second = split.links.questions()
    assert (first.object_id, first.frame, first.candidate, first.seen, first.others) == (2, 12, 1, 9, 0)  # 4 is beside it
    assert (second.object_id, second.candidate, second.seen, second.others) == (3, 2, 17, 1)
    spans = list(split.review())
    assert [s.objects for s in spans] == [(3, 2), (2, 1)]  # the better overlap first
    assert all(s.severity >= 0.9 for s in spans)
    assert spans[1].text == "left again, new here, may be left of frame 9 (overlap 0.40): it came back"
    assert spans[1].reasons[0].kind == "uncertain link"
    assert [s.objects for s in split.review(15)] == [(3, 2)]
    split.write_masks([(t, 4, np.ones((24, 32), bool), None) for t in (9, 10)])
    *links, worst = split.review()
    assert [s.link is not None for s in links] == [True, True]  # first, although the other is more severe
    assert worst.link is None
    assert worst.severity > links[1].severity


def test_the_same_object(split):
    split.review.accept(split.review()[1])
    assert [o.name for o in split.objects] == ["left", "left at last", "other"]
    assert shown(split, 1) == [*range(10), *range(12, 18)]
    np.testing.assert_array_equal(split.mask(13, 1), square(13, 2))
    [question] = split.links.questions()  # the one that may be 2 may now be 1, by either of its candidates
    assert (question.object_id, question.candidate, question.overlap, question.seen) == (3, 1, 0.6, 17)
    assert question.others == 0
    split.links.accept(question.link.id)
    assert shown(split, 1) == [*range(10), *range(12, 18), *range(20, 30)]
    assert not split.review()
    assert [link.same_as for link in split.links] == [1, 2]  # as they were listed: 3 is 2, and 2 is 1


def test_answers_are_undone_and_redone_one_by_one(split):
    before = np.asarray(split.labels)
    split.links.accept(1)
    split.links.refuse(2)
    after = np.asarray(split.labels)
    assert split.undo() == "3 is not 1"
    assert len(split.links.questions()) == 1
    assert split.undo() == "2 is 1"
    assert len(split.links.questions()) == 2
    np.testing.assert_array_equal(np.asarray(split.labels), before)
    split.redo()
    split.redo()
    np.testing.assert_array_equal(np.asarray(split.labels), after)
    assert not split.links.questions()


def test_another_object_once_no_candidate_is_left(split):
    span = split.review()[0]
    split.review.refuse(span)  # 3 is not 2 ...
    question = split.links.question(2)
    assert question.candidate == 1
    split.links.refuse(2)  # ... and not 1: it is itself
    assert split.links.get(2).same_as == 3
    assert split.links.get(2).ruled_out == (2, 1)
    assert shown(split, 3) == list(range(20, 30))
    with pytest.raises(ProjectError, match="already decided, or its objects no longer exist"):
        split.links.refuse(2)
    path = split.path
    split.close()
    with Project.open(path) as again:  # it does not come back
        assert [q.link.id for q in again.links.questions()] == [1]


def test_those_that_have_met_are_not_the_same(split):
    split.write_masks([(25, 1, square(25, 1), None)])  # where 3 is, too
    assert split.links.question(2).candidate == 2
    split.links.refuse(2)
    assert split.links.get(2).same_as == 3
    split.objects.remove(2)
    assert split.links.questions() == []  # whose object is gone asks nothing


def test_known_absence_does_not_take_the_place_of_a_mask(split):
    nothing = np.zeros((24, 32), dtype=bool)
    split.write_masks([(t, 2, nothing, None) for t in range(10)])
    split.write_masks([(t, 1, nothing, None) for t in range(12, 18)])
    split.links.accept(1)
    assert shown(split, 1) == [*range(10), *range(12, 18)]
    split.undo()
    assert shown(split, 1) == list(range(10))
    assert len(split.masks.series(2)) == 16


def test_refused(split):
    with pytest.raises(ProjectError, match="no object 9"):
        split.links.add(2, 12, [(9, 0.5)])
    with pytest.raises(ProjectError, match="two different"):
        split.links.add(2, 12, [(2, 0.5)])
    with pytest.raises(ProjectError, match="not in the video"):
        split.links.add(2, FRAMES, [(1, 0.5)])
    split.objects.set_flags(1, locked=True)
    before = np.asarray(split.labels)
    with pytest.raises(ProjectError, match="left is locked"):
        split.links.accept(1)
    np.testing.assert_array_equal(np.asarray(split.labels), before)
    assert len(split.links.questions()) == 2
    split.write_masks([(t, 4, np.ones((24, 32), bool), None) for t in (5, 6)])
    with pytest.raises(ProjectError, match="Only a link can be refused"):
        split.review.refuse(next(s for s in split.review() if s.link is None))
