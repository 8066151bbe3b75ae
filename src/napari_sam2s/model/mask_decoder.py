"""The mask decoder: tokens and the feature map look at each other twice, then tokens become masks and scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2s.model.layers import MLP, LayerNorm2d, linear
from napari_sam2s.model.network_config import ModelConfig

NO_OBJECT_LOGIT = -1024.0  # of every pixel of an object that is not there
THERE = 10.0  # object score of a decoder that knows of no absence
STABILITY_DELTA = 0.05
STABILITY_THRESHOLD = 0.98
NUM_MASKS = 4  # one for an unambiguous prompt, three for an ambiguous one


class Attention(nn.Module):
    """Attention with several heads, over an inner width that may be smaller than the tokens'."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries ``(B, N, C)`` over keys and values ``(B, M, C)`` to ``(B, N, C)``."""
        q, k, v = linear(self.q_proj, q), linear(self.k_proj, k), linear(self.v_proj, v)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        return linear(self.out_proj, F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class TwoWayBlock(nn.Module):
    """Tokens to tokens, tokens to map, map to tokens."""

    def __init__(self, config: ModelConfig, *, first: bool) -> None:
        super().__init__()
        dim, heads = config.hidden_dim, config.decoder_heads
        self.first = first
        self.self_attn = Attention(dim, heads, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, heads, dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP((dim, config.decoder_feedforward, dim))
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, heads, dim // 2)

    def forward(self, tokens: Tensor, image: Tensor, token_place: Tensor, image_place: Tensor) -> tuple[Tensor, Tensor]:
        """Update tokens ``(B, N, C)`` and the map ``(B, g * g, C)``."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_place
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        image_key = image + image_place
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_place, image_key, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image_key, tokens + token_place, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """The blocks, and a last look of the tokens at the map."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.layers = nn.ModuleList(TwoWayBlock(config, first=index == 0) for index in range(config.decoder_layers))
        self.final_attn_token_to_image = Attention(dim, config.decoder_heads, dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, image_place: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens ``(B, N, C)`` and the map ``(B, g * g, C)`` after all blocks."""
        token_place = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_place, image_place)
        attended = self.final_attn_token_to_image(tokens + token_place, image + image_place, image)
        return self.norm_final_attn(tokens + attended), image


@dataclass
class DecoderOutput:
    """Everything the decoder says of ``B`` objects on one frame."""

    logits: Tensor  # (B, 4, 4g, 4g): mask 0 for unambiguous prompts, 1 to 3 for ambiguous ones
    iou: Tensor  # (B, 4) predicted IoU of each
    object_score: Tensor  # (B, 1) logit
    mask_tokens: Tensor  # (B, 4, C)
    extra_tokens: Tensor  # (B, E, C): what became of the tokens that were appended last


class MaskDecoder(nn.Module):
    """Decode masks of a feature map under prompts.

    Parameters
    ----------
    config
        Its widths.
    scored
        Whether it says if the object is there, and keeps predicted IoU between 0 and 1, as SAM 2 does. SAM knows neither: its
        objects are there.
    """

    def __init__(self, config: ModelConfig, *, scored: bool = True) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(NUM_MASKS, dim)
        self.obj_score_token = nn.Embedding(1, dim) if scored else None
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.conv_s0 = nn.Conv2d(dim, dim // 8, 1) if config.fine_maps and scored else None
        self.conv_s1 = nn.Conv2d(dim, dim // 4, 1) if config.fine_maps and scored else None
        self.output_hypernetworks_mlps = nn.ModuleList(MLP((dim, dim, dim, dim // 8)) for _ in range(NUM_MASKS))
        self.iou_prediction_head = MLP((dim, dim, dim, NUM_MASKS), sigmoid=scored)
        self.pred_obj_score_head = MLP((dim, dim, dim, 1)) if scored else None

    def forward(
        self,
        pix: Tensor,
        place: Tensor,
        sparse: Tensor,
        dense: Tensor,
        skips: tuple[Tensor, Tensor],
        extra: Tensor | None = None,
    ) -> DecoderOutput:
        """Decode.

        Parameters
        ----------
        pix
            Feature map with memories read, ``(B, C, g, g)``.
        place
            Position of its cells, ``(1, C, g, g)``.
        sparse, dense
            Prompts: tokens ``(B, N, C)`` and a map ``(B, C, g, g)``.
        skips
            Finer features of the frame: ``(1 or B, C / 8, 4g, 4g)`` and ``(1 or B, C / 4, 2g, 2g)``; zeros ``(1, 1, 1, 1)``
            in EfficientTAM and SAM, which have none.
        extra
            Further tokens ``(B, E, C)``, appended last so that the others keep their places.
        """
        grid = pix.shape[-2:]
        first = () if self.obj_score_token is None else (self.obj_score_token.weight,)
        own = torch.cat((*first, self.iou_token.weight, self.mask_tokens.weight))
        tokens = [own.expand(len(pix), -1, -1), sparse]
        if extra is not None:
            tokens.append(extra)
        image, places = (t.flatten(2).transpose(1, 2).contiguous() for t in (pix + dense, place))
        out, image = self.transformer(image, places, torch.cat(tokens, dim=1))
        upscaled = self._upscale(image.transpose(1, 2).unflatten(2, grid), skips)
        before = len(first) + 1
        mask_tokens = out[:, before : before + NUM_MASKS]
        kernels = torch.stack([mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        logits = (kernels @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        head = self.pred_obj_score_head
        score = out.new_full((len(out), 1), THERE) if head is None else head(out[:, 0])
        return DecoderOutput(
            logits=logits,
            iou=self.iou_prediction_head(out[:, before - 1]),
            object_score=score,
            mask_tokens=mask_tokens,
            extra_tokens=out[:, out.shape[1] - (0 if extra is None else extra.shape[1]) :],
        )

    def _upscale(self, image: Tensor, skips: tuple[Tensor, Tensor]) -> Tensor:
        first, norm, activation, second, last_activation = self.output_upscaling
        image = activation(norm(first(image) + skips[1]))
        return last_activation(second(image) + skips[0])


def stability(logits: Tensor) -> Tensor:
    """Return how little a mask changes with its threshold: the IoU of it cut at +delta and at -delta, ``(B, M)``."""
    flat = logits.flatten(2)
    inner = (flat > STABILITY_DELTA).sum(-1).float()
    outer = (flat > -STABILITY_DELTA).sum(-1).float()
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)


def choose_mask(out: DecoderOutput, *, multimask: bool, replace_unstable: bool) -> tuple[dict[str, Tensor], Tensor]:
    """Return what is believed of the decoder's masks, and the token ``(B, C)`` that becomes the pointer.

    Parameters
    ----------
    out
        What the decoder said.
    multimask
        Choose the one of masks 1 to 3 with the highest predicted IoU; otherwise mask 0.
    replace_unstable
        Let an unstable mask 0 give way to the best of the three. Its token stays the pointer, as in SAM 2.

    Returns
    -------
    Fields of :class:`~napari_sam2s.model.stages.Decoded`, all but pointer and class; the token.
    """
    rows = torch.arange(len(out.iou), device=out.iou.device)
    best = out.iou[:, 1:].argmax(dim=1) + 1
    logits, iou = out.logits[rows, best], out.iou[rows, best]
    if not multimask:
        stable = stability(out.logits[:, :1])[:, 0] >= STABILITY_THRESHOLD
        stable = stable if replace_unstable else torch.ones_like(stable)
        logits = torch.where(stable[:, None, None], out.logits[:, 0], logits)
        iou = torch.where(stable, out.iou[:, 0], iou)
        best = torch.zeros_like(best)
    score = out.object_score[:, 0]
    shown = slice(1, None) if multimask else slice(0, 1)
    fields = {
        "logits": logits.masked_fill((score <= 0)[:, None, None], NO_OBJECT_LOGIT)[:, None].float(),
        "iou": iou.clamp(0, 1),  # SAM's has no such bounds
        "object_score": score,
        "all_logits": out.logits[:, shown],
        "all_iou": out.iou[:, shown],
    }
    return fields, out.mask_tokens[rows, best]
