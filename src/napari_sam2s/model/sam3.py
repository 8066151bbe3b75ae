"""SAM 3's tracker: what of SAM 3 follows objects that were clicked (Carion et al., arXiv 2511.16719).

It is SAM 2.1's tracker behind another image encoder (:mod:`napari_sam2s.model.vit`), whose cells are 14 pixels wide. Masks,
which the rest of the network takes 16 to a cell, are brought to that size; frames run from -1 to 1; and of conditioning
frames it reads the four nearest. What finds objects by words, the detector, is not here.
"""

from __future__ import annotations

from dataclasses import replace

from napari_sam2s.model.frames import MINUS_ONE_TO_ONE
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.video_model import ModelFacts

MOST_CONDITIONING = 4


class Sam3Tracker(SAM2S):
    """A :class:`SAM2S` with the encoder, the pixels and the memory of SAM 3."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.spread = MINUS_ONE_TO_ONE

    @property
    def facts(self) -> ModelFacts:
        """What a predictor knows of this network."""
        return replace(super().facts, most_conditioning=MOST_CONDITIONING)
