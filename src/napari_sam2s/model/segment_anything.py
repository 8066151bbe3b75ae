"""Segment Anything as the head for first prompts of ``nano``: MobileSAM's encoder, with SAM's prompt encoder and decoder.

What a small network learns on two cores tells instruments from tissue, not a cup from a table. MobileSAM (Zhang et al. 2023,
arXiv 2306.14289) was distilled from SAM's largest network, which was trained on eleven million pictures (Kirillov et al. 2023,
arXiv 2304.02643). So it answers clicks and boxes; its answer is then tracked like a mask that the user had given. Tracking is
the same, to the bit, as with any other head.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.mask_decoder import DecoderOutput, MaskDecoder
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.prompt_encoder import BOX_FIRST, PromptEncoder
from napari_sam2s.model.stages import Features
from napari_sam2s.model.tiny_vit import CHANNELS, TinyViT

CONFIG = ModelConfig(name="segment-anything", hidden_dim=CHANNELS)  # the decoder's widths, which are those of SAM 2


class SegmentAnythingHead(nn.Module):
    """Masks of a prompted frame, without memories.

    Parameters
    ----------
    side
        To which squashed frames are brought, a multiple of 16. Those of 448 or 672 have whole windows only: nothing is wasted.
    """

    def __init__(self, side: int = 1024) -> None:
        super().__init__()
        self.side = side
        self.encoder = TinyViT()
        self.prompt_encoder = PromptEncoder(CHANNELS)
        self.mask_decoder = MaskDecoder(CONFIG, scored=False)

    def encode(self, image: Tensor, _trunk: nn.Module | None = None, side: int = 0) -> Features:
        """Encode squashed frames ``(N, 3, S, S)`` in units of ImageNet's spread, at another ``side`` than its own if given."""
        side = side or self.side
        larger = F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)
        blank = image.new_zeros(len(image), 1, 1, 1)  # its decoder sees nothing finer
        return Features(self.encoder(larger), (blank, blank))

    def forward(
        self,
        features: Features,
        points: Tensor,
        labels: Tensor,
        mask: Tensor | None,
        image_size: int,
        *,
        boxed: bool | None = None,
    ) -> DecoderOutput:
        """Decode.

        Parameters
        ----------
        features
            From :meth:`encode`: of one frame for all ``B`` objects, or of one for each.
        points, labels, mask
            As :meth:`SAM2S.decode` takes them.
        image_size
            S. The masks have a quarter of it.
        boxed
            Whether every object has a box; by default the labels are asked, for which a GPU is waited for.
        """
        b, grid, encoder = len(points), features.embedding.shape[-1], self.prompt_encoder
        dense = encoder.dense(mask, points, labels, image_size, grid)
        at = (points + 0.5) * (self.side / image_size) - 0.5
        if boxed is None:
            boxed = bool((labels == BOX_FIRST).any(dim=1).all())
        sparse = encoder.sparse(at, labels, self.side, padded=not boxed)  # beside a box SAM has no token of padding
        out = self.mask_decoder(
            features.embedding.expand(b, -1, -1, -1), encoder.grid_position(grid), sparse, dense, features.skips
        )
        size = (image_size // 4, image_size // 4)
        if out.logits.shape[-2:] != size:
            out.logits = F.interpolate(out.logits.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
        return out
