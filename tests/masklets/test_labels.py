"""The label view: an array like any other."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import ProjectError


def dense(project):
    """Return what is to be seen, mask by mask from the top of the object table down."""
    frames = np.zeros((30, 24, 32), project.labels.dtype)
    for t in range(30):
        for known in project.objects:
            if known.visible and known.id in (masks := project.masks(t)):
                frames[t][masks[known.id]] = known.id
    return frames


KEYS = [
    5,
    -1,
    slice(3, 9),
    slice(0, 30, 7),
    (4, slice(2, 9), slice(0, 8)),
    (4, 3, 5),
    (slice(2, 6), slice(0, 5), slice(3, 7)),
    Ellipsis,
    (Ellipsis, 3),
    (np.array([1, 1, 2]), np.array([3, 4, 5]), np.array([6, 7, 8])),
    (7, np.array([3, 4, 5]), np.array([6, 7, 8])),
    (np.array([-1, 2]), np.array([3, 4]), np.array([6, 7])),
    np.random.default_rng(0).random((30, 24, 32)) < 0.01,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reads_like_an_array(project, key):
    np.testing.assert_array_equal(project.labels[key], dense(project)[key])


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_writes_like_an_array(project, key):
    expected = dense(project)
    expected[key] = 2
    project.labels[key] = 2
    np.testing.assert_array_equal(dense(project), expected)
    project.labels[key] = 0
    expected[key] = 0
    np.testing.assert_array_equal(dense(project), expected)


@pytest.mark.parametrize(
    "key",
    [np.array([0, 30]), (np.array([-31]), np.array([0]), np.array([0])), np.array([0.5]), np.zeros((30, 24), bool), ["0"]],
    ids=str,
)
def test_frames_that_are_none_are_refused_as_numpy_does(project, key):
    """Frames behind the end were empty, and 0.5 was 0."""
    with pytest.raises(IndexError):
        project.labels[key]


def test_a_truth_value_a_frame_chooses_frames(project):
    chosen = np.arange(30) % 7 == 0
    np.testing.assert_array_equal(project.labels[chosen], dense(project)[chosen])


def test_what_is_not_there_cannot_be_confirmed(project):
    with pytest.raises(ProjectError, match="Frame 30 is not in the project's video"):
        project.confirm(30)
    with pytest.raises(ProjectError, match="The project has no object 99"):
        project.confirm(0, 99)


def test_looks_like_an_array(project):
    labels = project.labels
    assert labels.shape == (30, 24, 32)
    assert labels.ndim == 3
    assert labels.size == 30 * 24 * 32
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(labels), dense(project))
    with pytest.raises(IndexError):
        labels[30]


def test_overlaps_stay_whole_and_order_decides_what_is_seen(project):
    project.write_masks([(0, i, np.ones((24, 32), bool), None) for i in (1, 2)])
    assert (project.labels[0] == 2).all()
    project.objects.reorder([2, 1])
    assert (project.labels[0] == 1).all()
    project.objects.set_flags(1, visible=False)
    assert (project.labels[0] == 2).all()
    project.labels[0, :4] = 0  # only what is seen is erased
    assert project.mask(0, 1).all()
    assert not project.mask(0, 2)[:4].any()


@pytest.mark.slow
def test_the_type_grows_with_the_objects(project):
    for _ in range(260):
        project.add_object()
    assert project.labels.dtype == np.uint16
