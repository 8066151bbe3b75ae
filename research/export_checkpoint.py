"""From a run's checkpoint to the file that ships: half precision, with where it came from and how good it is.

    python -m research.export_checkpoint RUN/model.pt OUT.pt --scores scores.json
        --config research/recipes/nano-3-more.toml --hours 1.6 --iou-threshold 0.8

``scores.json`` is what ``benchmarks/model.py --json`` writes. ``load_model(OUT).metadata["provenance"]`` shows all of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_sam2s import __version__
from napari_sam2s.errors import ModelError, TrainingError
from napari_sam2s.model.checkpoints import load_model, read_checkpoint
from napari_sam2s.model.network_config import check_image_size
from napari_sam2s.tracking.policy import POLICIES
from napari_sam2s.training.checkpoint import hardware, save_atomically

# Most matrices and kernels are in 8 bits, so that what ships stays below 16 MB; what is smaller than this many numbers stays in
# half precision, as it is exact where that matters (positions) and costs nothing.
# Depthwise kernels, of few numbers a channel, lose more than others do and weigh little: half precision, too.
EIGHT_BITS = ("interactive.", "image_encoder.", "memory_attention.", "memory_encoder.", "sam_mask_decoder.")
SMALL, FEW = 4096, 64
SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"


def commit() -> str:
    """Return the commit of the source tree this file is in, with ``+`` where it was changed; "" outside of one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "")


def pack(
    source: Path,
    out: Path,
    *,
    scores: Mapping[str, Any] | None = None,
    configs: Sequence[Path] = (),
    hours: float | None = None,
    iou_threshold: float | None = None,
    object_score_shift: float = 0.0,
    image_size: int | None = None,
    pretrained: Path | None = None,
    average_with: Path | None = None,
    edge_radius: int | None = None,
    outline_side: int | None = None,
    memories: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Write a checkpoint in half precision, with its provenance; return the provenance.

    Parameters
    ----------
    source, out
        What a run wrote (``model.pt``), and the file to ship.
    scores
        Any plain data.
    configs
        Of all runs that led here, the first one first; their text is kept.
    hours
        That training took in all; by default what the run counted itself.
    iou_threshold
        DiveMem's, if calibration found a better one than the paper's.
    object_score_shift
        The object score (a logit) from which on an object counts as visible, if calibration found another one than 0: it is
        taken off the score head's bias, so that 0 is the border again. A network that saw few absences doubts too little.
    image_size
        Side of the network's input, if it is better with another one than it was trained with.
    pretrained
        The weights of a pretrained trunk that it began with (``research/convert_efficientnet_lite.py``): where these come from,
        and their licence, is kept.
    average_with
        Another checkpoint of the same network, such as the one that training began with: what ships is the mean of both.
    edge_radius
        Of the windows by which edges are drawn (:mod:`napari_sam2s.model.edges`), 0 for none; by default as it is.
    outline_side
        At which tracked masks are outlined (:mod:`napari_sam2s.model.outlines`); by default as it is.
    memories
        How many recent and long-term memories DiveMem reads; the last-six memory then reads as many recent ones.

    Raises
    ------
    TrainingError
        If a weight is not finite, or does not fit half precision.
    ModelError
        If ``image_size`` is not a multiple of 32.
    """
    weights, config, metadata = read_checkpoint(source)
    if config is None:
        raise TrainingError(f"{source} has no configuration of its network: pack what a run wrote (model.pt).")
    if average_with is not None:
        others = read_checkpoint(average_with)[0]
        if {n: w.shape for n, w in others.items()} != {n: w.shape for n, w in weights.items()}:
            raise TrainingError(f"{average_with} is not of the same network as {source}: average checkpoints of one network.")
        weights = {n: (w.float() + others[n].float()) / 2 for n, w in weights.items()}
    if image_size is not None:
        check_image_size(image_size)
        config = replace(config, image_size=image_size)
    if edge_radius is not None:
        config = replace(config, edge_radius=edge_radius)
    if outline_side is not None:
        config = replace(config, outline_side=outline_side)
    if object_score_shift:
        weights = {**weights, SCORE_BIAS: weights[SCORE_BIAS] - object_score_shift}
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value.half()).all():
            raise TrainingError(f"{name} of {source} is not finite in half precision: the run went wrong, take an earlier one.")
    earlier = dict(metadata.get("provenance", {}))
    run = earlier.get("config", {})
    provenance = {
        **earlier,
        "configs": {path.name: path.read_text(encoding="utf-8") for path in configs},
        "data_seed": run.get("seed"),
        "commit": commit(),
        "hardware": earlier.get("hardware") or hardware(),
        "hours": round(earlier["seconds"] / 3600, 2) if hours is None and "seconds" in earlier else hours,
        "napari_sam2s": __version__,
        "torch": torch.__version__,
        "scores": dict(scores or {}),
        "object_score_shift": float(object_score_shift),
        "image_size": config.image_size,
        "averaged_with_the_start": average_with is not None,
    }
    # Only plain data goes into a file that is read with `weights_only`.
    metadata = {**metadata, "provenance": json.loads(json.dumps(provenance))}
    if pretrained is not None:
        metadata["pretrained"] = read_checkpoint(pretrained)[2]["provenance"]
    metadata["policy"] = _policies(metadata.get("policy", {}), iou_threshold, memories)
    stored, scales = _stored(weights)
    save_atomically({"model": stored, "scales": scales, "config": config.to_dict(), "sam2s": metadata}, out)
    load_model(out, device="cpu")  # what ships can be read
    return provenance


def _policies(
    earlier: Mapping[str, Mapping[str, Any]], iou_threshold: float | None, memories: tuple[int, int] | None
) -> dict[str, dict[str, Any]]:
    """Return the parameters of memory policies that a checkpoint carries, with those that are given."""
    policies = {name: dict(parameters) for name, parameters in earlier.items()}
    if iou_threshold is not None:
        policies.setdefault("divemem", {})["iou_threshold"] = float(iou_threshold)
    if memories is not None:
        recent, long_term = memories
        policies.setdefault("divemem", {}).update(short_term=recent, long_term=long_term)
        policies.setdefault("vanilla", {})["short_term"] = recent + long_term
    for name, parameters in policies.items():
        POLICIES[name].with_parameters(parameters)  # tells of a parameter that there is not
    return policies


def _stored(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights in half precision, some in 8 bits, and the scales of these."""
    stored: dict[str, Tensor] = {}
    scales: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.startswith(EIGHT_BITS) and value.ndim >= 2 and value.numel() >= SMALL and value[0].numel() >= FEW:
            stored[name], scales[name] = in_8_bits(value)
        else:
            stored[name] = value.half() if value.is_floating_point() else value
    return stored, scales


def in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a matrix or kernel to 8 bits, with one scale for each of its rows.

    Returns
    -------
    The rounded weight, int8, and the scales it is to be multiplied with, float32, of shape ``(rows, 1, ...)``:
    what :func:`read_checkpoint` puts together again where a file has them under ``"scales"``.
    """
    scale = weight.abs().flatten(1).amax(dim=1).clamp(min=1e-12) / 127
    scale = scale.view(-1, *[1] * (weight.ndim - 1)).float()
    return (weight.float() / scale).round().to(torch.int8), scale


def main() -> None:
    """Pack, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scores", type=Path, help="JSON")
    parser.add_argument("--config", type=Path, action="append", default=[], help="of the runs that led here (repeat)")
    parser.add_argument("--hours", type=float, help="of training in all")
    parser.add_argument("--iou-threshold", type=float, help="of DiveMem")
    parser.add_argument("--object-score-shift", type=float, default=0.0, help="the score from which on an object is visible")
    parser.add_argument("--image-size", type=int, help="side of the network's input, if not the one it was trained with")
    parser.add_argument("--average-with", type=Path, help="another checkpoint of the network; the mean of both ships")
    parser.add_argument("--edge-radius", type=int, help="of the windows by which edges are drawn, in 2 pixels of the input")
    parser.add_argument("--outline-side", type=int, help="at which tracked masks are outlined")
    parser.add_argument("--memories", type=int, nargs=2, metavar=("RECENT", "LONG"), help="that DiveMem reads")
    parser.add_argument("--pretrained", type=Path, help="weights of the pretrained trunk that it began with")
    args = parser.parse_args()
    try:
        scores = json.loads(args.scores.read_text(encoding="utf-8")) if args.scores else None
        provenance = pack(
            args.source,
            args.out,
            scores=scores,
            configs=args.config,
            hours=args.hours,
            iou_threshold=args.iou_threshold,
            object_score_shift=args.object_score_shift,
            image_size=args.image_size,
            pretrained=args.pretrained,
            average_with=args.average_with,
            edge_radius=args.edge_radius,
            outline_side=args.outline_side,
            memories=args.memories and tuple(args.memories),
        )
    except (ModelError, TrainingError, OSError, json.JSONDecodeError) as error:
        parser.exit(2, f"{error}\n")
    parameters = sum(p.numel() for p in load_model(args.out, device="cpu").parameters())
    shown = {name: value for name, value in provenance.items() if name not in ("config", "configs")}
    size = f"{args.out.stat().st_size / 1e6:.2f} MB, {parameters / 1e6:.2f} M parameters"
    sys.stdout.write(f"{args.out}: {size}\n{json.dumps(shown, indent=1)}\n")


if __name__ == "__main__":
    main()
