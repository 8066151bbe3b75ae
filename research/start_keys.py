"""Give the built-in model longer pretrained matching keys: from its file to a checkpoint that tracks by them.

    python -m research.start_keys sam2s-nano OUT.pt --material MATERIAL/train.npz --nuclei REAL/nuclei
        [--keys 64] [--weight 25] [--learned 10] [--learned-keys 12] [--whitening 0.5]

The pretrained maps of strides 8 and 16 are brought to unit length cell by cell. PCA on training material reduces them, half
whitened. The learned keys are reduced to the directions that matter most, so that matching costs what it did. Nothing is
trained. What the network reads of a match is scaled to what it was used to.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.model.checkpoints import find_weights, read_checkpoint
from napari_sam2s.model.frames import normalise, resize_frame
from napari_sam2s.model.matching import PATCH
from napari_sam2s.model.network import SAM2S
from research.start_pretrained import CELLS, pictures

KEYS, WEIGHT, LEARNED_KEYS, LEARNED, WHITENING = 64, 25.0, 12, 10.0, 0.5
COARSE = 1.4  # how much longer the map of stride 16 is than that of stride 8


@torch.inference_mode()
def survey(model: SAM2S, images: Iterator[NDArray[np.uint8]]) -> tuple[Tensor, Tensor, float]:
    """Look at cells of pictures.

    Returns
    -------
    The pretrained maps ``(N, 152)``, of lengths 1 and ``COARSE``; the learned keys ``(N, K)``; and the mean square length of
    the pretrained keys so far.
    """
    rng, found, learned, lengths = np.random.default_rng(0), [], [], []
    matching = model.matching
    for image in images:
        fine, maps = model._trunk(normalise(resize_frame(image, model.image_size)[None], torch.device("cpu")))
        coarse = F.interpolate(F.normalize(fine[3], dim=1), scale_factor=2.0, mode="bilinear", align_corners=False)
        seen = torch.cat((F.normalize(fine[2], dim=1), COARSE * coarse), dim=1)
        own, pretrained = matching.keys(fine, model.image_encoder.neck.embedding(maps)).split(matching._parts, dim=1)
        chosen = torch.from_numpy(rng.choice(seen[0, 0].numel(), CELLS, replace=False))
        found.append(seen[0].flatten(1).T[chosen])
        learned.append(own[0].flatten(1).T[chosen])
        lengths.append(float(pretrained.square().sum(1).mean()))
    return torch.cat(found).double(), torch.cat(learned).double(), float(np.mean(lengths))


def half_white(cells: Tensor, channels: int, whitening: float) -> tuple[Tensor, Tensor]:
    """Return the kernel ``(channels, K)`` of a PCA, whose directions are divided by their variance to half this power; bias."""
    mean = cells.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov((cells - mean).T))
    values, vectors = values.flip(0)[:channels].clamp(min=1e-6), vectors.flip(1)[:, :channels]
    kernel = (vectors * values ** (-whitening / 2)).T
    return kernel.float(), (-kernel @ mean).float()


def largest(cells: Tensor, channels: int) -> Tensor:
    """Return the directions ``(channels, K)`` that keep most of the scalar products of cells ``(N, K)``."""
    return torch.linalg.eigh(cells.T @ cells)[1].flip(1)[:, :channels].T.float()


def start(
    source: str,
    images: Iterator[NDArray[np.uint8]],
    keys: int = KEYS,
    weight: float = WEIGHT,
    learned_keys: int = LEARNED_KEYS,
    learned: float = LEARNED,
    whitening: float = WHITENING,
) -> dict[str, object]:
    """Return the checkpoint; ``weight`` and ``learned`` are what the two cosines count in the logits of matching."""
    weights, config, metadata = read_checkpoint(find_weights(source))
    assert config is not None
    earlier = SAM2S(config)
    earlier.load_state_dict(weights)
    cells, own, length = survey(earlier.eval(), images)
    kernel, bias = half_white(cells, keys, whitening)
    turn = largest(own, learned_keys)
    config = replace(config, match_dim=learned_keys, match_pretrained=keys, match_unit=True)
    state = {name: w for name, w in weights.items() if not name.startswith("matching.pretrained.")}
    for part in ("fine", "coarse"):
        for name in ("weight", "bias"):
            state[f"matching.{part}.{name}"] = torch.tensordot(turn, weights[f"matching.{part}.{name}"].float(), dims=1)
    model = SAM2S(config)
    model.load_state_dict({**model.state_dict(), **state})
    made, fine = model.matching.pretrained, model.matching.pretrained.fine.in_channels
    with torch.no_grad():
        made.fine.weight.copy_(kernel[:, :fine, None, None])
        made.coarse.weight.copy_(COARSE * kernel[:, fine:, None, None])
        made.fine.bias.zero_()
        made.coarse.bias.copy_(bias)
        made.log_weight.weight.zero_()
        made.log_weight.bias.fill_(0.5 * math.log(weight / learned))
        model.matching.log_scale.fill_(math.log(learned))
        mix = model.matching.mix[0].weight
        mix[:, PATCH + 1 :: PATCH + 2] *= length * learned / weight
    said = {"weight": weight, "learned": learned, "whitening": whitening, "coarse": COARSE}
    return {"model": model.state_dict(), "config": config.to_dict(), "sam2s": {**metadata, "matching_keys": said}}


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--material", type=Path, required=True, help="train.npz")
    parser.add_argument("--nuclei", type=Path)
    parser.add_argument("--keys", type=int, default=KEYS, help="channels of the pretrained matching keys")
    parser.add_argument("--weight", type=float, default=WEIGHT, help="of their cosine in the logits of matching")
    parser.add_argument("--learned-keys", type=int, default=LEARNED_KEYS, help="channels that the learned keys keep")
    parser.add_argument("--learned", type=float, default=LEARNED, help="of the learned keys' cosine")
    parser.add_argument("--whitening", type=float, default=WHITENING, help="0 keeps the PCA's variances, 1 makes them equal")
    args = parser.parse_args()
    torch.manual_seed(0)
    images = pictures(args.material, args.nuclei)
    torch.save(start(args.model, images, args.keys, args.weight, args.learned_keys, args.learned, args.whitening), args.out)
    sys.stdout.write(f"{args.out}: {args.keys} pretrained keys of weight {args.weight:g}, learned ones of {args.learned:g}\n")


if __name__ == "__main__":
    main()
