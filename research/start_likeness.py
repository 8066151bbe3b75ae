"""Let the built-in model compare with what was clicked: from its file to a checkpoint to train from.

    python -m research.start_likeness sam2s-nano OUT.pt

Nothing that it answers changes: the comparison's way into the head is zero to begin with. It compares by the pretrained keys
that matching has.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from napari_sam2s.model.checkpoints import find_weights, read_checkpoint
from napari_sam2s.model.network import SAM2S


def start(source: str) -> dict[str, object]:
    """Return the checkpoint."""
    weights, config, metadata = read_checkpoint(find_weights(source))
    assert config is not None
    config = replace(config, prompt_likeness=config.match_pretrained)
    model = SAM2S(config)
    state = {**model.state_dict(), **weights}
    for part in ("fine", "coarse"):
        for name in ("weight", "bias"):
            state[f"interactive.likeness.{part}.{name}"] = weights[f"matching.pretrained.{part}.{name}"]
    model.load_state_dict(state)
    return {"model": model.state_dict(), "config": config.to_dict(), "sam2s": metadata}


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
