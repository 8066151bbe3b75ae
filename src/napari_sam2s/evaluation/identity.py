"""Identity over time by TrackEval (an optional extra): IDF1 (Ristani et al. 2016) and HOTA (Luiten et al. 2021)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.masklet_sources import aligned, closed, find_videos, name_alike
from napari_sam2s.evaluation.score_tables import table
from napari_sam2s.masklets.overlaps import iou
from napari_sam2s.masklets.protocol import Masklets


@dataclass(frozen=True)
class IdentityScore:
    """How well identities are kept; ids are matched by TrackEval, so whatever the prediction calls an object is free.

    Shares in [0, 1]; HOTA and its parts are means over TrackEval's 19 IoU thresholds.
    """

    idf1: float
    hota: float
    detection: float  # DetA
    association: float  # AssA
    localisation: float  # LocA
    id_switches: int  # CLEAR MOT's, at IoU 0.5


def score_identity(
    prediction: Any, truth: Any, *, void: int | None = 255, offset: int | None = None
) -> dict[str, IdentityScore]:
    """Return IDF1 and HOTA of each video, by its name.

    Parameters
    ----------
    prediction, truth
        As in :func:`evaluate`. The annotated frames of the ground truth count; unlike there, objects that are predicted
        beyond those of the ground truth do cost.
    void
        Value of ground-truth pictures whose pixels count nowhere.
    offset
        Added to the prediction's frame numbers; see :class:`Protocol`.

    Raises
    ------
    EvaluationError
        If TrackEval is not installed, or a video is missing.
    """
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError as error:
        raise EvaluationError(
            f'IDF1 and HOTA are computed by TrackEval, which is not installed ({error}): pip install "napari-sam2s[eval]".'
        ) from error
    truths = find_videos(truth, void)
    predictions = name_alike(find_videos(prediction, None), truths)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its settings
        hota, clear, identity = HOTA(), CLEAR(), Identity()
    scores = {}
    for name, true in truths.items():
        with closed(true), closed(predictions[name]):
            data = _as_trackeval(aligned(name, predictions[name], true, offset), true)
        h = hota.eval_sequence(data)
        whole, detection, association, location = (float(np.mean(h[key])) for key in ("HOTA", "DetA", "AssA", "LocA"))
        scores[name] = IdentityScore(
            float(identity.eval_sequence(data)["IDF1"]),
            whole,
            detection,
            association,
            location,
            int(clear.eval_sequence(data)["IDSW"]),
        )
    return scores


def identity_table(scores: Mapping[str, IdentityScore]) -> str:
    """Return a Markdown table with a row for each video, shares in percent."""
    heads = ["video", "IDF1", "HOTA", "DetA", "AssA", "LocA", "id switches"]
    shares = {name: (s.idf1, s.hota, s.detection, s.association, s.localisation) for name, s in scores.items()}
    return table(heads, [[n, *(f"{100 * v:.1f}" for v in row), str(scores[n].id_switches)] for n, row in shares.items()])


def _as_trackeval(prediction: Masklets, truth: Masklets) -> dict[str, Any]:
    """Return what TrackEval's metrics take: ids from 0 on, and the IoU of every pair, frame by frame."""
    places: tuple[dict[int, int], dict[int, int]] = {}, {}
    ids: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = [], []
    similarities = []
    predicted = set(prediction.frames)
    ignored = getattr(truth, "ignored", lambda _: None)
    for t in truth.frames:
        void = ignored(t)
        both = [_shown(truth.masks(t), void), _shown(prediction.masks(t) if t in predicted else {}, void)]
        for side in (0, 1):
            known = places[side]
            ids[side].append(np.array([known.setdefault(i, len(known)) for i in both[side]], dtype=np.int64))
        pairs = [[iou(ours, true) for ours in both[1].values()] for true in both[0].values()]
        similarities.append(np.array(pairs, dtype=float).reshape(len(both[0]), len(both[1])))
    return {
        "num_timesteps": len(similarities),
        "num_gt_ids": len(places[0]),
        "num_tracker_ids": len(places[1]),
        "num_gt_dets": sum(map(len, ids[0])),
        "num_tracker_dets": sum(map(len, ids[1])),
        "gt_ids": ids[0],
        "tracker_ids": ids[1],
        "similarity_scores": similarities,
    }


def _shown(masks: Mapping[int, NDArray[np.bool_]], void: NDArray[np.bool_] | None) -> dict[int, NDArray[np.bool_]]:
    kept = {i: m if void is None else m & ~void for i, m in masks.items()}
    return {i: m for i, m in sorted(kept.items()) if m.any()}
