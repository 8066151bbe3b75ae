"""What several commands say of the model alike."""

from __future__ import annotations

import argparse


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--memory``, ``--image-size`` and ``--device``."""
    parser.add_argument(
        "--model",
        default="sam2s-nano",
        help="a name that `napari-sam2s models` lists, or a checkpoint file (default: sam2s-nano)",
    )
    parser.add_argument("--memory", default="divemem", choices=("divemem", "vanilla"), help="memory policy (default: divemem)")
    parser.add_argument(
        "--image-size", type=int, help="side of the network's input in pixels, a multiple of 32 (default: that of the model)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")


def add_strictness(parser: argparse.ArgumentParser) -> None:
    """Add ``--ignore-differences``: ``strict`` is true without it."""
    parser.add_argument(
        "--ignore-differences",
        dest="strict",
        action="store_false",
        help="load a checkpoint without the tensors that do not fit its network",
    )
