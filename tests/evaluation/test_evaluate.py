"""Whole evaluations: sequences, protocols, sources, bad input."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from vos_benchmark.evaluator import Evaluator

from napari_sam2s.errors import EvaluationError, FormatError
from napari_sam2s.evaluation import Evaluation, evaluate, merge
from napari_sam2s.formats import write_davis
from napari_sam2s.masklets import LabelMasklets, Project
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.video import open_video

A, B = np.s_[5:15, 5:15], np.s_[20:30, 20:30]


def sequence(frames, **objects):
    """Return labels ``(T, 40, 40)``; an object is ``{id: frames it is on}``, A on the left and B on the right."""
    labels = np.zeros((frames, 40, 40), dtype=np.uint8)
    for name, (value, where) in objects.items():
        for t in where:
            labels[(t, *(A if name == "a" else B))] = value
    return labels


def test_skipping():
    truth = sequence(5, a=(1, range(5)))
    wrong_at_the_ends = sequence(5, a=(1, range(1, 4)))
    assert evaluate(wrong_at_the_ends, truth).overall.jf == 1
    assert evaluate(wrong_at_the_ends, truth, skip="none").overall.jf == pytest.approx(0.6)
    assert evaluate(wrong_at_the_ends, truth, skip="prompt").overall.jf == pytest.approx(0.75)


def test_a_late_object_counts_from_when_it_is_seen():
    truth = sequence(6, a=(1, range(6)), b=(2, range(3, 6)))
    missed = sequence(6, a=(1, range(6)))
    scores = evaluate(missed, truth)
    assert (scores.object("video", 1).j, scores.object("video", 2).j) == (1, 0)
    assert scores.object("video", 2).frames == 2
    assert scores.overall.jf == 0.5
    assert evaluate(missed, truth, late="all").object("video", 2).frames == 4


def test_an_object_that_left_but_is_predicted_on():
    truth = sequence(6, a=(1, range(6)), b=(2, range(3)))
    scores = evaluate(sequence(6, a=(1, range(6)), b=(2, range(6))), truth)
    b = scores.object("video", 2)
    assert b.j == 0.5
    assert (b.absent_frames, b.false_presence) == (2, 2)


def test_ids_are_those_of_the_truth():
    truth = sequence(5, a=(1, range(5)), b=(5, range(5)))
    assert evaluate(sequence(5, a=(1, range(5))), truth).overall.j == 0.5
    assert evaluate(sequence(5, a=(5, range(5)), b=(1, range(5))), truth).overall.j == 0  # swapped
    assert evaluate(sequence(5, a=(1, range(5)), b=(9, range(5))), sequence(5, a=(1, range(5)))).overall.j == 1


def test_sparse_truth_scores_its_own_frames_only(tmp_path):
    truth = sequence(9, a=(1, range(9)))

    class Sparse(LabelMasklets):
        frames = (0, 4, 8)

    assert evaluate(truth, Sparse(truth)).object("video", 1).frames == 1


def test_void_counts_nowhere_unless_it_is_an_object(tmp_path):
    truth = sequence(5, a=(1, range(5)), b=(255, range(5)))
    for t, labels in enumerate(truth):
        Image.fromarray(labels).save(tmp_path / f"{t:05d}.png")
    ours = sequence(5, a=(1, range(5)))
    assert evaluate(ours, tmp_path).overall.objects == 1
    assert evaluate(ours, tmp_path, void=None).overall.objects == 2
    ours[:, 20:30, 20:30] = 1  # a mask over void, as davis2017 has it, is neither right nor wrong
    assert evaluate(ours, tmp_path).overall.jf == 1
    assert evaluate(ours, tmp_path, void=None).objects[0].j == 0.5


def test_unlabelled_pixels_count_nowhere(tmp_path):
    truth = sequence(5, a=(1, range(5)))
    write_davis(LabelMasklets(truth), tmp_path, "v")
    (tmp_path / "Ignore" / "v").mkdir(parents=True)
    for t in range(5):
        Image.fromarray(sequence(1, b=(1, [0]))[0]).save(tmp_path / "Ignore" / "v" / f"{t:05d}.png")
    assert evaluate(sequence(5, a=(1, range(5))) | sequence(5, b=(1, range(5))), tmp_path).overall.jf == 1


def test_a_late_object_may_be_a_clip_of_its_own():
    truth = sequence(8, a=(1, range(8)), b=(2, range(3, 8)))
    ours = sequence(8, a=(1, range(8)), b=(2, range(4, 8)))  # wrong on the frame on which it would be prompted
    scores = evaluate(ours, truth, late="own-clip")
    assert [(o.frames, o.jf) for o in scores.objects] == [(6, 1), (3, 1)]
    assert [o.frames for o in evaluate(ours, truth, late="own-clip", skip="prompt").objects] == [7, 4]
    assert [o.frames for o in evaluate(ours, truth, late="own-clip", skip="none").objects] == [8, 5]
    early = sequence(8, a=(1, range(8)), b=(2, range(8)))  # a mask before the object comes is not held against its clip
    assert evaluate(early, truth, late="own-clip").object("video", 2).frames == 3


def test_surface_distances_in_pixels_and_millimetres():
    truth = sequence(6, a=(1, range(5)))
    ours = np.roll(truth, 2, axis=2)
    ours[3] = 0
    score = evaluate(ours, truth, surface=1).object("video", 1)
    assert (score.hd95, score.hd95_undefined) == (2, 1)
    assert math.isnan(evaluate(ours, truth).object("video", 1).hd95)
    fine = evaluate(ours, truth, surface=1, spacing=(0.5, 0.5))
    assert fine.object("video", 1).hd95 == 1
    assert fine.object("video", 1).nsd == pytest.approx(3 / 4)  # all within a millimetre, but for the empty frame
    assert "HD95 (mm) | NSD at 1 mm" in str(fine)
    assert "NSD within 1 mm, spacing 0.5 x 0.5 mm" in str(fine)


def test_lost_and_found():
    truth = sequence(12, a=(1, [0, 1, 2, 7, 8, 9, 10, 11]))
    ours = sequence(12, a=(1, [0, 1, 2, 9, 10, 11]))
    score = evaluate(ours, truth, skip="none").object("video", 1)
    assert score.longest_lost == 2
    assert score.reidentified_after == 2
    assert math.isnan(evaluate(truth[:3], truth[:3], skip="none").object("video", 1).reidentified_after)


def test_an_absence_ends_the_search():
    truth = sequence(10, a=(1, [0, 1, 4, 5, 8, 9]))
    score = evaluate(sequence(10, a=(1, [0, 1, 9])), truth, skip="none").object("video", 1)
    assert (score.returns, score.reidentified, score.reidentified_after) == (2, 1, 1.5)
    assert (score.visibility_switches, score.predicted_switches) == (4, 2)


def test_identity_switches():
    truth = sequence(8, a=(1, range(8)), b=(2, range(8)))
    ours = sequence(8, a=(1, range(4)), b=(2, range(4)))
    ours[5:] = sequence(3, a=(2, range(3)), b=(7, range(3)))  # lost on frame 4, then others
    scores = evaluate(ours, truth, skip="none")
    assert [o.id_switches for o in scores.objects] == [1, 1]
    assert [o.id_switches for o in evaluate(truth, truth).objects] == [0, 0]


def test_the_same_as_vos_benchmark_on_a_tracked_case():
    rng = np.random.default_rng(0)
    case = demo_case(14, size=(120, 160))
    truth = np.stack([sum(i * m for i, m in case.masks(t).items()) for t in range(14)]).astype(np.uint8)
    ours = np.stack([np.roll(f, rng.integers(-3, 4, 2), (0, 1)) for f in truth])
    ours[5:8][ours[5:8] == 2] = 0
    evaluator = Evaluator()
    for t in range(1, 13):
        evaluator.feed_frame(ours[t], truth[t])
    js, fs = evaluator.conclude()
    scores = evaluate(ours, truth)
    assert scores.overall.objects == len(js)
    for i in js:
        assert 100 * scores.object("video", i).j == pytest.approx(js[i], abs=1e-10)
        assert 100 * scores.object("video", i).f == pytest.approx(fs[i], abs=1e-10)


def test_folders_projects_clips_and_arrays_agree(tmp_path):
    case = demo_case(8, size=(90, 120))
    labels = np.stack([np.max([i * m for i, m in case.masks(t).items()], axis=0) for t in range(8)]).astype(np.uint8)
    ours = np.roll(labels, 2, axis=2)
    folder = write_davis(LabelMasklets(ours), tmp_path / "ours", "case")
    truth = write_davis(LabelMasklets(labels), tmp_path / "truth", "case")
    video = open_video(np.zeros((8, 90, 120, 3), np.uint8))
    with Project.create(tmp_path / "case.sam2s", video) as project:
        for _ in case.objects:
            project.add_object()
        project.write_masks([(t, i, ours[t] == i, None) for t in range(8) for i in range(1, len(case.objects) + 1)])
        results = [
            evaluate(ours, labels),
            evaluate(folder, truth),
            evaluate(tmp_path / "ours", tmp_path / "truth"),
            evaluate(project, labels),
            evaluate({"case": project}, {"case": case}),
        ]
    results.append(evaluate(tmp_path / "case.sam2s", truth))
    assert len({round(r.overall.jf, 12) for r in results}) == 1


@pytest.mark.parametrize("late", ["first-seen", "all", "own-clip"])
def test_what_nobody_looked_for_in_a_project_is_not_absent(tmp_path, late):
    labels = np.zeros((10, 40, 40), np.uint8)
    labels[:, 5:15, 5:15], labels[:, 20:30, 20:30] = 1, 2
    with Project.create(tmp_path / "case.sam2s", open_video(np.zeros((10, 40, 40, 3), np.uint8))) as project:
        for seen in (range(10), range(4, 8)):
            i = project.add_object().id
            project.write_masks([(t, i, labels[t] == i, None) for t in seen])
        scores = evaluate(labels, project, late=late, skip="none")
    assert [(o.frames, o.jf, o.false_presence) for o in scores.objects] == [(10, 1, 0), (4, 1, 0)]


@pytest.mark.slow
def test_several_videos_in_processes(tmp_path):
    for n in range(3):
        truth = sequence(6, a=(1, range(6)))
        write_davis(LabelMasklets(truth), tmp_path / "truth", f"v{n}")
        write_davis(LabelMasklets(np.roll(truth, n, axis=1)), tmp_path / "ours", f"v{n}")
    one, many = (evaluate(tmp_path / "ours", tmp_path / "truth", processes=n) for n in (1, 2))
    assert [(o.video, o.j, o.f) for o in one.objects] == [(o.video, o.j, o.f) for o in many.objects]
    assert one.videos == ("v0", "v1", "v2")
    assert one.video("v0").jf == 1 > one.video("v2").j


@pytest.mark.slow
def test_projects_in_processes(tmp_path):
    video = open_video(np.zeros((6, 40, 40, 3), np.uint8))
    truth = sequence(6, a=(1, range(6)))
    projects = {}
    for name in ("v", "w"):
        projects[name] = Project.create(tmp_path / f"{name}.sam2s", video)
        projects[name].add_object()
        projects[name].write_masks([(t, 1, truth[t] == 1, None) for t in range(6)])
    seen = []
    scores = evaluate(projects, {"v": truth, "w": truth}, processes=2, progress=lambda *n: seen.append(n))
    assert scores.overall.jf == 1
    assert seen == [(1, 2), (2, 2)]
    for project in projects.values():
        project.close()


def test_subsets_and_merging():
    truth = sequence(6, a=(1, range(6)))
    parts = [
        evaluate({n: np.roll(truth, k, axis=2)}, {n: truth}, subset_of={n: s})
        for k, (n, s) in enumerate([("a", "one"), ("b", "one"), ("c", "two")])
    ]
    whole = merge(parts)
    assert whole.subsets == ("one", "two")
    assert whole.subset("one").jf == pytest.approx((whole.video("a").jf + whole.video("b").jf) / 2)
    again = Evaluation.from_dict(json.loads(whole.to_json(frames=True)))
    assert again.frames == whole.frames
    assert str(again) == str(whole)
    with pytest.raises(EvaluationError, match="twice"):
        merge([parts[0], parts[0]])
    with pytest.raises(EvaluationError, match="2 protocols"):
        merge([parts[0], evaluate({"d": truth}, {"d": truth}, skip="none")])


def test_reports(tmp_path):
    scores = evaluate(sequence(5, a=(1, range(5))), sequence(5, a=(1, range(5))), skip="prompt")
    assert "| **all** | 1 | 100.0 | 100.0 |" in str(scores)
    assert "skip prompt" in str(scores)
    data = json.loads(scores.to_json())
    assert data["overall"]["jf"] == 1
    assert data["objects"][0]["reidentified_after"] is None
    scores.write_csv(tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda d: evaluate(d / "none", d), FormatError, "no folder"),
        (lambda d: evaluate(sequence(3, a=(1, [0])), d), FormatError, "no folders of PNGs"),
        (lambda d: evaluate(np.zeros((5, 4, 4), int), np.zeros((5, 4, 4), int)), EvaluationError, "Nothing is left"),
        (lambda d: evaluate(sequence(4, a=(1, [1])), sequence(6, a=(1, range(6)))), EvaluationError, "frame 4 has no pred"),
        (lambda d: evaluate(np.ones((5, 4, 4), int), np.ones((5, 8, 4), int)), EvaluationError, "sizes"),
        (lambda d: evaluate(np.ones((5, 4, 4), int), np.ones((5, 4, 4), int), skip="some"), EvaluationError, "'some'"),
        (lambda d: evaluate(3, 4), EvaluationError, "int cannot be scored"),
        (lambda d: evaluate(np.ones((5, 4, 4)), np.ones((5, 4, 4), int)), EvaluationError, "Labels are integers"),
        (lambda d: evaluate(np.ones((5, 4, 4), int), np.ones((5, 4, 4), int), spacing=(0, 1)), EvaluationError, "spacing"),
        (lambda d: evaluate(np.ones((5, 4, 4), int), np.ones((5, 4, 4), int), processes=0), EvaluationError, "at least one"),
        (
            lambda d: evaluate({"a": np.ones((3, 4, 4), int)}, {"b": np.ones((3, 4, 4), int), "c": np.ones((3, 4, 4), int)}),
            EvaluationError,
            "no video 'b'",
        ),
    ],
)
def test_bad_input(tmp_path, act, error, words):
    with pytest.raises(error, match=words):
        act(tmp_path)


def test_missing_frames_may_be_empty():
    ours, truth = sequence(4, a=(1, range(4))), sequence(6, a=(1, range(6)))
    assert evaluate(ours, truth, missing="empty", skip="none").overall.j == pytest.approx(4 / 6)


def test_other_ids_than_those_of_the_truth_are_told():
    """All was 0, without a word."""
    truth = np.zeros((4, 12, 16), np.uint8)
    truth[:, 3:8, 4:10] = 1
    with pytest.warns(UserWarning, match=r"has the ids \[7\], the ground truth \[1\]: objects are scored by their ids"):
        assert evaluate(truth * 7, truth).overall.jf == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda truth: truth.transpose(0, 2, 1), r"have the sizes \(16, 12\) and \(12, 16\)"),
        (lambda truth: np.ma.array(truth, mask=truth > 0), "are masked"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_also_where_no_mask_shows_it(change, words):
    truth = np.zeros((4, 12, 16), np.uint8)
    truth[:, 3:8, 13:] = 1
    with pytest.raises(EvaluationError, match=words):
        evaluate(change(truth) * (0 if "16" in words else 1), truth)


def test_tensors_are_scored():
    truth = np.zeros((4, 12, 16), np.uint8)
    truth[:, 3:8, 4:10] = 1
    assert evaluate(torch.tensor(truth), torch.tensor(truth)).overall.jf == 1
