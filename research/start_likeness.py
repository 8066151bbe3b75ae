"""Let the built-in model compare with what was clicked: from its file to a checkpoint to train from.

    python -m research.start_likeness sam2s-nano OUT.pt

Nothing that it answers changes: the comparison's way into the head is zero to begin with. It compares by the pretrained keys
that matching has.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from research.grow import copy_keys, grow


def start(source: str) -> dict[str, object]:
    """Return the checkpoint."""
    return grow(
        source,
        lambda config: {"prompt_likeness": config.match_pretrained},
        lambda state: copy_keys(state, "interactive.likeness."),
    )


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.save(start(args.model), args.out)


if __name__ == "__main__":
    main()
