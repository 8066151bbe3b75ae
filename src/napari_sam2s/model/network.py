"""The SAM2S network: one frame from pixels to masks.

``prepare`` -> ``encode`` -> ``attend`` (to memories) -> ``decode`` (under prompts) -> ``memorize``. All but ``encode`` work on
a batch of ``B`` objects that share one frame. The network keeps nothing between frames: which memories are given to ``attend``
is decided in :mod:`napari_sam2s.tracking`. Parameters carry the names of the official SAM 2 checkpoints; what SAM2S adds is in
``long_tpos_enc`` and ``semantic``.

Throughout: S the input's side, g = S / 16 (S / 14 in SAM 3), C ``hidden_dim``, D ``memory_dim``; ``(x, y)`` are pixels of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sam2s.model.cuda_graphs import Graphs
from napari_sam2s.model.edges import with_edges
from napari_sam2s.model.frames import IMAGENET, normalise, resize_frame, scale, tensor_of, upload
from napari_sam2s.model.image_encoder import ImageEncoder
from napari_sam2s.model.interactive import head_for
from napari_sam2s.model.layers import MLP
from napari_sam2s.model.mask_decoder import MaskDecoder, choose_mask
from napari_sam2s.model.matching import PLACE, MaskMatching
from napari_sam2s.model.memory_attention import MemoryAttention
from napari_sam2s.model.memory_encoder import MemoryEncoder, remembered_mask
from napari_sam2s.model.memory_tokens import lay_out, padding_mask
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.outlines import for_outlines, with_outlines
from napari_sam2s.model.position import sine_1d, sine_2d
from napari_sam2s.model.prompt_encoder import PADDING, PromptEncoder
from napari_sam2s.model.recalled_memories import batch_memories
from napari_sam2s.model.semantic import SemanticPath
from napari_sam2s.model.speed import EXACT, Speed, in_own_arithmetic
from napari_sam2s.model.stages import MASK_SCALE, MASK_SHIFT, MEMORY_DTYPE, Attended, Decoded, Features, Memories
from napari_sam2s.model.video_model import ModelFacts, PointPrompt, Recall

T = TypeVar("T")


class SAM2S(nn.Module):
    """SAM 2 with the parts of SAM2S that ``config`` asks for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.metadata: dict[str, Any] = {}  # what the checkpoint says of itself: policy, provenance, classes
        self.spread = IMAGENET  # of the pixels that it was trained on
        self.speed: Speed = EXACT  # changed by `apply_speed`
        self.arithmetic: torch.dtype | None = None  # of mixed precision; ``None`` for that of the weights
        self.graphs: Graphs | None = None  # with which a tracker replays what it repeats, on CUDA
        c, d = config.hidden_dim, config.memory_dim
        self.image_encoder = ImageEncoder(config)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(c, d)
        self.sam_prompt_encoder = PromptEncoder(c, dense_prompts=config.dense_prompts)
        self.sam_mask_decoder = MaskDecoder(config)
        self.obj_ptr_proj = MLP((c, c, c, c))
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.maskmem_tpos_enc = nn.Parameter(torch.empty(config.num_maskmem, 1, 1, d))
        self.no_mem_embed = nn.Parameter(torch.empty(1, 1, c))
        self.no_mem_pos_enc = nn.Parameter(torch.empty(1, 1, c))  # in every checkpoint, read by nothing
        self.no_obj_ptr = nn.Parameter(torch.empty(1, c))
        self.no_obj_embed_spatial = nn.Parameter(torch.empty(1, d)) if config.no_object_memory else None
        self.obj_ptr_tpos_proj = nn.Linear(c, d) if config.pointer_time else None
        drawn = (self.maskmem_tpos_enc, self.no_mem_embed, self.no_mem_pos_enc, self.no_obj_ptr, self.no_obj_embed_spatial)
        for parameter in (p for p in drawn if p is not None):
            nn.init.trunc_normal_(parameter, std=0.02)
        # One vector for all long-term memories: training shows two of them, inference up to four.
        self.long_tpos_enc = nn.Parameter(self.maskmem_tpos_enc[-1:].detach().clone()) if config.long_term else None
        self.semantic = SemanticPath(config) if config.semantic else None
        self.matching = MaskMatching(config) if config.match_dim else None
        self.interactive = head_for(config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.no_mem_embed.device

    @property
    def image_size(self) -> int:
        """Side S of the square that frames are squashed into."""
        return self.config.image_size

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that TSL scores; empty for a checkpoint without it."""
        return self.semantic.class_names if self.semantic is not None else ()

    def prepare(self, frame: NDArray[np.uint8]) -> Tensor:
        """Turn a frame ``(Y, X, 3)`` uint8 RGB into the network's input ``(1, 3, S, S)``."""
        return normalise(resize_frame(frame, self.image_size)[None], self.device, self.spread)

    @in_own_arithmetic
    def encode(self, image: Tensor) -> Features:
        """Encode frames ``(N, 3, S, S)``."""
        fine, maps = self._trunk(image)
        neck, decoder = self.image_encoder.neck, self.sam_mask_decoder
        skips = neck.skip(maps[0], 0, decoder.conv_s0), neck.skip(maps[1], 1, decoder.conv_s1)
        embedding = neck.embedding(maps)
        return Features(embedding, skips, None if self.matching is None else self.matching.keys(fine, embedding))

    def _trunk(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the trunk's maps that are computed first, and those at strides 4, 8, 16, 32."""
        trunk, low = self.image_encoder.trunk, self.speed.trunk == "bf16"
        fine = trunk.fine(image.bfloat16() if low else image)
        coarse = trunk.coarse(fine)
        return ([m.float() for m in fine], [m.float() for m in coarse]) if low else (fine, coarse)

    @in_own_arithmetic
    def attend(self, features: Features, memories: Memories | None, batch: int = 1, *, pooled: bool | None = None) -> Attended:
        """Let ``B`` objects read their memories.

        Parameters
        ----------
        features
            Of the frame.
        memories
            Of the objects; ``None`` for objects that have none yet (or a prompted first frame), ``batch`` of them.
        pooled
            Overrides ``speed.pooled_memory``.
        """
        if memories is None:
            pix = features.embedding + self.no_mem_embed.view(1, -1, 1, 1)
            return Attended(pix.expand(batch, -1, -1, -1), features.skips, self._blank_token(batch))
        memory, place = self._memory_tokens(memories)
        mask = padding_mask(memories, memory)
        dtype = torch.bfloat16 if self.speed.attention == "bf16" else features.embedding.dtype
        pix = self.memory_attention(
            features.embedding.to(dtype),
            self._position(self.config.hidden_dim).to(dtype),
            memory.to(dtype),
            place.to(dtype),
            pointer_tokens=memories.pointers.shape[1] * (self.config.hidden_dim // self.config.memory_dim),
            pooled=self.speed.pooled_memory if pooled is None else pooled,
            mask=None if mask is None else mask.to(dtype),
        ).to(features.embedding.dtype)
        token = self.semantic.read(memory + place, memory, len(memory), mask) if self.semantic is not None else None
        return self._match(features, memories, Attended(pix, features.skips, token))

    def _match(self, features: Features, memories: Memories, attended: Attended) -> Attended:
        if self.matching is None or features.keys is None or memories.keys is None or memories.patches is None:
            return attended
        order = memories.order if memories.order is not None else memories.slots[0].tolist()
        pix, fine, coarse = self.matching(features.keys, memories.keys, memories.patches, order, memories.alike)
        skips = attended.skips[0] + fine, attended.skips[1] + coarse
        return Attended(attended.embedding + pix, skips, attended.token)

    def _blank_token(self, batch: int) -> Tensor | None:
        return self.semantic.read(None, None, batch) if self.semantic is not None else None

    def _position(self, channels: int) -> Tensor:
        return sine_2d(channels, self.config.grid, self.config.grid, self.device)

    def _memory_tokens(self, memories: Memories) -> tuple[Tensor, Tensor]:
        """Lay maps and pointers out as tokens ``(B, N, D)``, with the position of each."""
        long_term = self.long_tpos_enc if self.long_tpos_enc is not None else self.maskmem_tpos_enc[-1:]
        times = torch.cat((self.maskmem_tpos_enc, long_term))[:, 0, 0]  # the last one is that of slot LONG_TERM = -1
        project, distances = self.obj_ptr_tpos_proj, sine_1d(memories.distances, self.config.hidden_dim)
        return lay_out(memories, times, self._memory_place(), None if project is None else project(distances))

    def _memory_place(self) -> Tensor:
        """Return the position of each token of a memory, ``(g * g, D)``."""
        return self._position(self.config.memory_dim)[0].flatten(1).T

    @in_own_arithmetic
    def decode(
        self,
        attended: Attended,
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        multimask: bool = True,
    ) -> Decoded:
        """Find the masks of ``B`` objects.

        Parameters
        ----------
        attended
            What :meth:`attend` gave.
        points, labels
            Clicks ``(B, N, 2)`` as ``(x, y)`` and labels ``(B, N)``: 0 negative, 1 positive, 2 and 3 the first and second
            corner of a box, -1 padding. ``None`` when tracking.
        mask
            Logits ``(B, 1, 4g, 4g)`` of an earlier answer that the clicks correct.
        multimask
            Give three masks and choose the one with the highest predicted IoU: for tracking and for a single click.
            Otherwise one mask; in evaluation an unstable one is replaced by the best of the three.
        """
        pix, token = attended.embedding, attended.token
        b, size, grid = len(pix), self.image_size, self.config.grid
        if points is None or labels is None:
            points, labels = pix.new_zeros(b, 1, 2), pix.new_full((b, 1), PADDING, dtype=torch.long)
        encoder = self.sam_prompt_encoder
        dense = encoder.dense(mask, points, labels, size, grid)
        out = self.sam_mask_decoder(
            pix, encoder.grid_position(grid), encoder.sparse(points, labels, size), dense, attended.skips, token
        )
        chosen, token = choose_mask(out, multimask=multimask, replace_unstable=not self.training)
        return Decoded(
            **chosen,
            pointer=torch.where(out.object_score > 0, self.obj_ptr_proj(token), self.no_obj_ptr),
            class_embedding=self.semantic.embed(out.extra_tokens[:, 0]) if self.semantic is not None else None,
        )

    @in_own_arithmetic
    def encode_interactive(self, image: Tensor, side: int = 0) -> Features | None:
        """Encode frames ``(N, 3, S, S)`` as the interactive head does, at ``side`` if that is given; ``None`` without one."""
        # The stages that it shares run once more, rather than being kept with every frame that is tracked.
        return None if self.interactive is None else self.interactive.encode(image, self.image_encoder.trunk, side)

    def segment(
        self,
        features: Features | None,
        interactive: Features | None,
        *,
        points: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        multimask: bool = True,
    ) -> Decoded:
        """Find the masks of ``B`` objects that are prompted on a frame and remember nothing.

        A network with an interactive head answers with that; what is remembered of its answer is what would be remembered
        of the same mask if the user had given it. Others attend to nothing and decode, as SAM 2 does.

        Parameters
        ----------
        features, interactive
            What :meth:`encode` and :meth:`encode_interactive` gave for the frame: one for all objects, or one for each. Without
            ``features`` the answer cannot be remembered, and has neither a class nor a pointer but that of no object.
        points, labels, mask, multimask
            As :meth:`decode` takes them.
        """
        if interactive is None:
            assert features is not None
            attended = self.attend(features, None, len(points))
            return self.decode(attended, points=points, labels=labels, mask=mask, multimask=multimask)
        chosen = self._decode_interactive(interactive, points, labels, mask, multimask)
        if features is None:
            return Decoded(**chosen, pointer=self.no_obj_ptr.expand(len(points), -1), class_embedding=None)
        whole = F.interpolate(chosen["logits"].detach(), size=2 * (self.image_size,), mode="bilinear", align_corners=False)
        given = self.decode_mask(features, (whole > 0).float())
        return Decoded(**chosen, pointer=given.pointer, class_embedding=given.class_embedding)

    @in_own_arithmetic
    def _decode_interactive(
        self, features: Features, points: Tensor, labels: Tensor, mask: Tensor | None, multimask: bool
    ) -> dict[str, Tensor]:
        assert self.interactive is not None
        out = self.interactive(features, points, labels, mask, self.image_size)
        return choose_mask(out, multimask=multimask, replace_unstable=not self.training)[0]

    @in_own_arithmetic
    def decode_mask(self, features: Features, mask: Tensor) -> Decoded:
        """Take masks ``(B, 1, 16g, 16g)`` of 0 and 1 as the answer, as SAM 2 does with mask prompts.

        The decoder still runs, for the object pointer and the class.
        """
        b, wide = len(mask), mask * MASK_SCALE + MASK_SHIFT
        small = F.interpolate(wide, scale_factor=0.25, mode="bilinear", align_corners=False, antialias=True)
        attended = Attended(features.embedding.expand(b, -1, -1, -1), features.skips, self._blank_token(b))
        own = self.decode(attended, mask=self.mask_downsample(mask), multimask=False)
        present = mask.flatten(1).gt(0).any(dim=1)
        there = present.to(mask.dtype)
        return Decoded(
            logits=small,
            iou=torch.ones_like(there),
            object_score=there * MASK_SCALE + MASK_SHIFT,
            pointer=torch.where(present[:, None], own.pointer, self.no_obj_ptr),
            class_embedding=own.class_embedding,
            all_logits=small,
            all_iou=torch.ones_like(there)[:, None],
        )

    @in_own_arithmetic
    def memorize(self, features: Features, logits: Tensor, object_score: Tensor, *, prompted: Tensor | bool = False) -> Tensor:
        """Encode masks as memories ``(B, D, g, g)``.

        Parameters
        ----------
        features
            Of the frame.
        logits
            ``(B, 1, h, w)`` of any size; brought to ``S x S``.
        object_score
            ``(B,)``; objects that are not there add ``no_obj_embed_spatial`` (SAM 2.1).
        prompted
            Whether the user gave the mask (for all, or ``(B,)`` bool): then it is cut at 0 first.
        """
        mask = remembered_mask(logits, self.image_size, prompted, self.config.mask_size)
        memory = self.memory_encoder(features.embedding, mask * MASK_SCALE + MASK_SHIFT)
        if self.no_obj_embed_spatial is not None:
            absent = (object_score <= 0).to(memory.dtype)[:, None, None, None]
            memory = memory + absent * self.no_obj_embed_spatial[..., None, None]
        return memory

    def patches(self, logits: Tensor) -> Tensor | None:
        """Return the masks ``(B, 1, 4g, 4g)`` of logits as matching carries them, or ``None`` without it."""
        return None if self.matching is None else self.matching.patches(logits)

    @in_own_arithmetic
    def class_scores(self, decoded: Decoded) -> Tensor | None:
        """Return the probability of each of ``class_names``, ``(B, K)``, or ``None`` without TSL."""
        if self.semantic is None or decoded.class_embedding is None or not self.class_names:
            return None
        return self.semantic.class_logits(decoded.class_embedding).softmax(dim=-1)

    # What a predictor asks, see VideoModel; the rest of it stands above.
    @property
    def facts(self) -> ModelFacts:
        """What a predictor knows of this network."""
        config = self.config
        matching = config.match_dim and max(config.match_dim + config.match_pretrained + PLACE, 64)
        return ModelFacts(
            image_size=config.image_size,
            mask_size=config.mask_size,
            logits_size=4 * config.grid,
            class_names=self.class_names,
            recent_memories=config.num_maskmem - 1,
            most_memories=self.speed.memories,
            # The map's tokens as keys and values, their rotation, and what the matching reads at stride 8.
            bytes_per_memory=4 * config.grid**2 * (5 * config.hidden_dim + 4 * 4 * matching),
            encodes_prompted=self.interactive is not None,
            head_corrects=config.prompt_side > 0,
        )

    def describe(self) -> dict[str, Any]:
        """Return what results depend on, for a project's provenance."""
        return {
            "model": self.config.name,
            "model_source": self.metadata.get("source", ""),
            "model_hash": self.metadata.get("sha256", ""),
            "mode": self.metadata.get("mode", "exact"),
            "precision": "float32" if self.arithmetic is None else str(self.arithmetic).removeprefix("torch."),
            "speed": dict(vars(self.speed)),
        }

    def encode_frame(self, pixels: NDArray[np.uint8], *, outlined: bool = False) -> Features:
        """Encode a frame ``(S, S, 3)``, ``outlined`` for the outlines of objects as well."""
        image = upload(tensor_of(pixels[None]), self.device)
        features = self._replay("encode", lambda image: self.encode(scale(image, self.spread)), image)
        return for_outlines(self, self._with_image(features, image), wanted=outlined)

    def encode_prompted(self, pixels: NDArray[np.uint8]) -> Features | None:
        """Encode a frame ``(S, S, 3)`` for the interactive head."""
        features = self.encode_interactive(normalise(pixels[None], self.device, self.spread))
        return None if features is None else self._with_image(features, upload(tensor_of(pixels[None]), self.device))

    def _with_image(self, features: Features, image: Tensor) -> Features:
        return replace(features, image=image.clone()) if self.config.edge_radius else features

    def answer(
        self, features: Features | None, prompted: Features | None, given: PointPrompt, recall: Recall | None
    ) -> Decoded:
        """Answer the points and the box of one object; see :class:`VideoModel`."""
        multimask = given.ambiguous or given.labels.shape[1] == 1  # one click is ambiguous: take the best of three masks
        said: dict[str, Any] = {"points": given.points, "labels": given.labels, "mask": given.earlier, "multimask": multimask}
        if recall is None or features is None:
            seen, decoded = prompted or features, self.segment(features, prompted, **said)
        else:
            seen, decoded = features, self.decode(self.attend(features, self.recalled([recall])), **said)
        return with_edges(seen, decoded, self.config.edge_radius, every=given.ambiguous)

    def recalled(self, recalls: Sequence[Recall]) -> Memories:
        """Return what objects remember, as :meth:`attend` reads it."""
        return batch_memories(recalls, self.config.hidden_dim, self.device, all_or_none=self.graphs is not None)

    def track(self, features: Features, recalls: Sequence[Recall]) -> tuple[Decoded, Tensor, Tensor | None]:
        """Find objects by what they remember; see :class:`VideoModel`."""
        return self._replay("follow", self._track, features, self.recalled(recalls))

    def _track(self, features: Features, memories: Memories) -> tuple[Decoded, Tensor, Tensor | None]:
        decoded = self.decode(self.attend(features, memories), multimask=True)
        return with_outlines(self, features, decoded), *self.remember(features, decoded)

    def remember(self, features: Features, decoded: Decoded, *, prompted: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return maps ``(B, D, g, g)`` and patches ``(B, 4, 2g, 2g)`` of the memories."""
        maps = self.memorize(features, decoded.logits, decoded.object_score, prompted=prompted).to(MEMORY_DTYPE)
        patches = self.patches(decoded.logits)
        return maps, None if patches is None else patches.half()

    def _replay(self, name: str, function: Callable[..., T], *arguments: Any) -> T:
        if self.graphs is None:
            return function(*arguments)
        weight = self.no_mem_embed
        version = weight.data_ptr(), 0 if weight.is_inference() else weight._version
        return self.graphs(name, (self.device, self.arithmetic, self.speed, self.config, version), function, *arguments)
