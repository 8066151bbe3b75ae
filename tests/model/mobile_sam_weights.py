"""Weights by the names of MobileSAM's own code, drawn anew wherever they are wanted."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import torch

GOLDEN = Path(__file__).parent / "golden"


def shapes():
    """Return the shape of each of MobileSAM's tensors, but for its classifier."""
    lines = gzip.decompress((GOLDEN / "mobile_sam.txt.gz").read_bytes()).decode().splitlines()
    return {name: [int(n) for n in sizes] for name, *sizes in (line.split() for line in lines)}


def weights_of(shapes):
    """Draw weights, each from its own name; variances are positive, and activations stay of one size."""
    found = {}
    for name, shape in shapes.items():
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        norm = ".bn." in name or "norm" in name or "neck.1" in name or "neck.3" in name or "output_upscaling.1" in name
        if name.endswith("running_var"):
            found[name] = 0.5 + drawn.abs()
        elif name.endswith("weight") and norm:
            found[name] = 1 + 0.1 * drawn
        elif len(shape) > 1 and "embed" not in name and "token" not in name:
            found[name] = drawn / (drawn[0].numel() ** 0.5)
        else:
            found[name] = 0.1 * drawn if "gaussian" not in name else drawn
    return found
