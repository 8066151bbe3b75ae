"""A head of its own for frames that are prompted before anything is remembered (only ``nano`` has one).

SAM 2 has one encoder and one decoder for first prompts and for tracking. In a small network the two are at odds: a click alone
leaves open how far the thing under it reaches, which asks for knowing what things look like, while tracking asks for telling
places apart. What is learned of one is lost of the other. So first prompts have the coarse half of an image encoder, a prompt
encoder and a mask decoder of their own; the fine half is shared. Tracking is the same, to the bit, as without the head; a
first prompt takes somewhat longer (``docs/explanation/built-in-model-figures.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from napari_sam2s.model.conv_trunk import SHARED, ConvTrunk, deepen
from napari_sam2s.model.efficientnet_lite import LiteTrunk
from napari_sam2s.model.image_encoder import TRUNKS, FpnNeck
from napari_sam2s.model.mask_decoder import DecoderOutput, MaskDecoder
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.prompt_encoder import PromptEncoder
from napari_sam2s.model.prompt_likeness import PromptLikeness
from napari_sam2s.model.segment_anything import SegmentAnythingHead
from napari_sam2s.model.stages import Features

_NAMES = {  # the head's parts, and what they are called in a whole network
    "joins.": "image_encoder.trunk.joins.",
    "neck.": "image_encoder.neck.",
    "no_mem_embed": "no_mem_embed",
    "prompt_encoder.": "sam_prompt_encoder.",
    "mask_decoder.": "sam_mask_decoder.",
}
_OWN = ("likeness.", "deep.")  # which a whole network has not


class InteractiveHead(nn.Module):
    """Masks of a prompted frame, without memories."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        trunk = TRUNKS[config.trunk.kind](replace(config.trunk, cut=32) if config.prompt_deep else config.trunk)
        assert isinstance(trunk, ConvTrunk)  # the configuration refuses others
        self.stages, self.joins = trunk.stages[SHARED:], trunk.joins
        # What the pretrained trunk knows of whole things is at its stride 32, which tracking does not need, nor pay for.
        self.deep = trunk.lite.stages[-1] if config.prompt_deep and isinstance(trunk, LiteTrunk) else None
        self.neck = FpnNeck(config.trunk.channels, config.hidden_dim)
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, config.hidden_dim))
        self.prompt_encoder = PromptEncoder(config.hidden_dim, dense_prompts=config.dense_prompts)
        self.mask_decoder = MaskDecoder(config)
        self.likeness = PromptLikeness(config) if config.prompt_likeness else None

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the parts of a whole network, by the names of its weights, to learn on from there."""
        names = {**_NAMES, **{f"stages.{k}.": f"image_encoder.trunk.stages.{k + SHARED}." for k in range(len(self.stages))}}
        own = self.state_dict()
        missing = _OWN if self.deep is None else (*_OWN, "joins.1.")  # the network's trunk is cut above it
        for name in (name for name in own if not name.startswith(missing)):
            part = next(part for part in names if name.startswith(part))
            own[name] = weights[names[part] + name.removeprefix(part)]
        self.load_state_dict(own)

    def encode(self, image: Tensor, trunk: nn.Module, _side: int = 0) -> Features:
        """Encode frames ``(N, 3, S, S)`` as objects that remember nothing see them; the ``trunk`` has the shared part."""
        assert isinstance(trunk, ConvTrunk)
        fine: Sequence[Tensor] = trunk.fine(image)
        maps = deepen(fine if self.deep is None else [*fine, self.deep(fine[-1])], self.stages, self.joins)
        skips = (
            self.neck.skip(maps[0], 0, self.mask_decoder.conv_s0),
            self.neck.skip(maps[1], 1, self.mask_decoder.conv_s1),
        )
        keys = None if self.likeness is None else self.likeness.keys(fine)
        return Features(self.neck.embedding(maps) + self.no_mem_embed.view(1, -1, 1, 1), skips, keys)

    def forward(
        self, features: Features, points: Tensor, labels: Tensor, mask: Tensor | None, image_size: int
    ) -> DecoderOutput:
        """Decode.

        Parameters
        ----------
        features
            From :meth:`encode`: of one frame for all ``B`` objects, or of one for each.
        points, labels, mask
            As :meth:`SAM2S.decode` takes them.
        image_size
            S.
        """
        b, grid, encoder = len(points), features.embedding.shape[-1], self.prompt_encoder
        dense = encoder.dense(mask, points, labels, image_size, grid)
        skips = features.skips
        if self.likeness is not None and features.keys is not None:
            more, coarse = self.likeness(features.keys, points, labels, image_size)
            dense, skips = dense + more, (skips[0], skips[1] + coarse)
        pix = features.embedding.expand(b, -1, -1, -1)
        sparse = encoder.sparse(points, labels, image_size)
        return self.mask_decoder(pix, encoder.grid_position(grid), sparse, dense, skips)


def head_for(config: ModelConfig) -> InteractiveHead | SegmentAnythingHead | None:
    """Return the head for first prompts that a configuration names, if any."""
    if config.prompt_side:
        return SegmentAnythingHead(config.prompt_side)
    return InteractiveHead(config) if config.interactive else None
