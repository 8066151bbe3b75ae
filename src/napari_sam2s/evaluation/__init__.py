"""Scores: J&F and its relatives, the protocols they are made under, and simulated users."""

from napari_sam2s.evaluation.evaluate import evaluate
from napari_sam2s.evaluation.report import write_report
from napari_sam2s.evaluation.result import Evaluation, merge
from napari_sam2s.evaluation.scores import FrameScore, MeanScore, ObjectScore, Protocol

__all__ = ["Evaluation", "FrameScore", "MeanScore", "ObjectScore", "Protocol", "evaluate", "merge", "write_report"]
