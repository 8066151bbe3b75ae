"""What several commands say of the model alike."""

from __future__ import annotations

import argparse


def add_strictness(parser: argparse.ArgumentParser) -> None:
    """Add ``--ignore-differences``: ``strict`` is true without it."""
    parser.add_argument(
        "--ignore-differences",
        dest="strict",
        action="store_false",
        help="load a checkpoint without the tensors that do not fit its network",
    )
