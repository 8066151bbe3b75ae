"""Give the built-in model a pretrained trunk: from its file and the converted weights to a checkpoint to train from.

    python -m research.start_pretrained sam2s-nano LITE.pt OUT.pt --material MATERIAL/train.npz --nuclei REAL/nuclei
        [--keys 32] [--weight 20] [--cut 16]

What the model has learned stays as it is. New are the pretrained trunk, its maps' way into the coarse ones (nothing, to begin
with), and its matching keys: maps of strides 8 and 16, each of variance one, centred, and reduced by PCA on training material.
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
from PIL import Image
from torch import Tensor

from napari_sam2s.model.checkpoints import find_weights, read_checkpoint
from napari_sam2s.model.efficientnet_lite import EfficientNetLite
from napari_sam2s.model.frames import normalise, resize_frame
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import NANO_LITE

WEIGHT = 20.0  # of the cosine of pretrained keys, beside the 21 of the learned ones, to begin with
FRAMES, NUCLEI, CELLS = 6, 40, 150  # of every video; pictures; cells of every picture


def pictures(material: Path, nuclei: Path | None) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures to train on, ``(Y, X, 3)``: frames of videos, photographs, nuclei."""
    with np.load(material) as archive:
        for name in sorted(archive.files):
            if name.startswith("video"):
                video = archive[name]
                yield from video[np.linspace(0, len(video) - 1, FRAMES).astype(int)]
            elif name.startswith("picture"):
                yield archive[name]
    if nuclei is not None:
        chosen = [path for path in sorted(nuclei.glob("*.jpg")) if not path.stem.endswith("9")]  # those are held out
        for path in chosen[:: max(len(chosen) // NUCLEI, 1)]:
            with Image.open(path) as picture:
                yield np.asarray(picture.convert("RGB"))


@torch.inference_mode()
def principal(
    lite: EfficientNetLite, images: Iterator[NDArray[np.uint8]], size: int, channels: int
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return kernels ``(channels, 40)`` and ``(channels, 112)`` for the maps, the bias, and the variance that is kept."""
    rng, found = np.random.default_rng(0), []
    for image in images:
        fine, coarse = lite(normalise(resize_frame(image, size)[None], torch.device("cpu")))[1:3]
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        cells = torch.cat((fine, coarse), dim=1)[0].flatten(1).T
        found.append(cells[torch.from_numpy(rng.choice(len(cells), CELLS, replace=False))])
    samples = torch.cat(found).double()
    fine_part = torch.arange(samples.shape[1]) < fine.shape[1]
    mean = samples.mean(dim=0)
    centred = samples - mean
    spread = torch.where(fine_part, *(centred[:, part].square().sum(1).mean().sqrt() for part in (fine_part, ~fine_part)))
    values, vectors = torch.linalg.eigh(torch.cov((centred / spread).T))
    kernel = vectors.flip(1)[:, :channels].T / spread
    kept = float(values.flip(0)[:channels].sum() / values.sum())
    return kernel[:, fine_part].float(), kernel[:, ~fine_part].float(), (-kernel @ mean).float(), kept


def start(
    source: str, lite: Path, material: Path, nuclei: Path | None, keys: int, cut: int, weight: float = WEIGHT
) -> tuple[dict[str, object], float]:
    """Return the checkpoint, and the share of the variance that its keys keep."""
    weights, config, metadata = read_checkpoint(find_weights(source))
    assert config is not None
    pretrained, _, origin = read_checkpoint(lite)
    new = replace(config, trunk=replace(NANO_LITE.trunk, cut=cut), match_pretrained=keys)
    model = SAM2S(new)
    state = model.state_dict()
    state.update({name: w for name, w in weights.items() if state[name].shape == w.shape})
    state.update({f"image_encoder.trunk.lite.{name}": w for name, w in pretrained.items()})
    earlier = weights["matching.mix.0.weight"]  # two readings of 5 channels; each has a likeness more now
    wide = torch.zeros_like(state["matching.mix.0.weight"])
    half, had = wide.shape[1] // 2, earlier.shape[1] // 2
    wide[:, :had], wide[:, half : half + had] = earlier[:, :had], earlier[:, had:]
    state["matching.mix.0.weight"] = wide
    model.load_state_dict(state)
    trunk = model.image_encoder.trunk.lite
    fine, coarse, bias, kept = principal(trunk.eval(), pictures(material, nuclei), config.image_size, keys)
    made = model.matching.pretrained
    with torch.no_grad():
        made.fine.weight.copy_(fine[..., None, None])
        made.coarse.weight.copy_(coarse[..., None, None])
        made.fine.bias.zero_()
        made.coarse.bias.copy_(bias)
        made.log_weight.bias.fill_(0.5 * (math.log(weight) - float(model.matching.log_scale)))
    metadata["pretrained"] = origin["provenance"]
    return {"model": model.state_dict(), "config": new.to_dict(), "sam2s": metadata}, kept


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("lite", type=Path, help="of research/convert_efficientnet_lite.py")
    parser.add_argument("out", type=Path)
    parser.add_argument("--material", type=Path, required=True, help="train.npz")
    parser.add_argument("--nuclei", type=Path)
    parser.add_argument("--keys", type=int, default=NANO_LITE.match_pretrained, help="channels of the pretrained matching keys")
    parser.add_argument("--weight", type=float, default=WEIGHT, help="of their cosine in the logits of matching")
    parser.add_argument("--cut", type=int, choices=(16, 32), default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    checkpoint, kept = start(args.model, args.lite, args.material, args.nuclei, args.keys, args.cut, args.weight)
    torch.save(checkpoint, args.out)
    told = f"its {args.keys} keys keep {100 * kept:.0f} % of the variance of the pretrained maps"
    sys.stdout.write(f"{args.out}: {told}\n")


if __name__ == "__main__":
    main()
