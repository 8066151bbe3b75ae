"""Putting the weights of a file into a network, and telling what does not fit, by name and count."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_sam2s.errors import CheckpointDiffers, ModelError
from napari_sam2s.model.checkpoint_file import some
from napari_sam2s.model.edgetam import EdgeTAM
from napari_sam2s.model.edgetam_weights import folded, is_folded, official, unfolded
from napari_sam2s.model.sam3 import Sam3Tracker
from napari_sam2s.model.sam3_weights import is_own, own_weights
from napari_sam2s.wording import counted


@dataclass(frozen=True)
class Differences:
    """Between the tensors of a file and those of a network: names."""

    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()  # in both, but of another shape

    def __bool__(self) -> bool:
        return bool(self.missing or self.unknown or self.shapes)

    def __str__(self) -> str:
        found = ((self.missing, "missing"), (self.shapes, "of another shape"), (self.unknown, "unknown"))
        return ", ".join(f"{_tensors(names)} {what} ({some(names)})" for names, what in found if names)


def _tensors(names: tuple[str, ...]) -> str:
    return counted(len(names), "tensor is", "tensors are")


@dataclass(frozen=True)
class _Layout:
    """What a file of a network is expected to hold, and how its weights become the network's."""

    expected: Mapping[str, torch.Size]
    weights: Mapping[str, Tensor]
    folds: bool = False  # of EdgeTAM's own files: batch norms and branches become convolutions


def _layout(network: nn.Module, weights: Mapping[str, Tensor]) -> _Layout:
    own = {name: weight.shape for name, weight in network.state_dict().items()}
    if isinstance(network, EdgeTAM | Sam3Tracker):  # none of theirs is a single number, which could be neither cut nor joined
        weights = {name: torch.atleast_1d(weight) for name, weight in weights.items()}
    if isinstance(network, EdgeTAM) and not is_folded(weights):
        return _Layout(unfolded(own), official(weights), folds=True)
    if isinstance(network, Sam3Tracker) and not is_own(weights):
        return _Layout(own, own_weights(weights, network.config.trunk.num_heads))
    return _Layout(own, weights)


def _differences(layout: _Layout) -> Differences:
    own, weights = layout.expected, layout.weights
    return Differences(
        tuple(sorted(set(own) - set(weights))),
        tuple(sorted(set(weights) - set(own))),
        tuple(n for n in own if n in weights and own[n] != weights[n].shape),
    )


def compare(network: nn.Module, weights: Mapping[str, Tensor]) -> Differences:
    """Return what a file has and a network has not, and the other way round."""
    return _differences(_layout(network, weights))


def put_in(network: nn.Module, title: str, weights: Mapping[str, Tensor], path: Path, *, strict: bool = True) -> Differences:
    """Give a network its weights.

    Parameters
    ----------
    title
        What the network is called.
    strict
        Refuse a file that does not hold just the network's tensors. Otherwise it is warned of: what is unknown is left out,
        and what is missing or of another shape keeps what the network was made with, which nobody has trained.

    Raises
    ------
    CheckpointDiffers
        If the file holds other tensors than the network; also without ``strict`` if a part that is folded lacks some.
    ModelError
        If some of its numbers are not finite.
    """
    layout = _layout(network, weights)
    own, shapes = network.state_dict(), layout.expected
    fits = {n: w for n, w in layout.weights.items() if n in shapes and shapes[n] == w.shape}
    check_finite(fits, path)
    if bare := tuple(n for n, w in fits.items() if w.is_complex()):
        raise ModelError(f"{path} has complex numbers for weights ({some(bare)}): save them as float32.")
    if bare := tuple(n for n, w in fits.items() if not w.is_floating_point() and w.numel() > 1):
        raise ModelError(
            f"{path} has whole numbers for weights, without their scales ({some(bare)}): use the file with its scales."
        )
    if found := _differences(layout):
        whole = all(n in own for n in (*found.missing, *found.shapes))  # else there is nothing to put in its place
        if strict or not whole:
            then = " To load the rest, give strict=False (--ignore-differences)." if whole else ""
            raise CheckpointDiffers(f"{path} does not fit {title}: {found}.{then}", found.missing, found.unknown, found.shapes)
        untrained = " The missing parts are untrained: do not trust the masks." if found.missing or found.shapes else ""
        warnings.warn(f"{path} is used as {title}, though {found}.{untrained}", stacklevel=3)
    if layout.folds:
        lacking = {n: own[n] for n in (*found.missing, *found.shapes)}
        fits = folded(fits | lacking, own)
        check_finite(fits, path)  # a norm may have a variance below 0
    network.load_state_dict({n: w.float() if w.is_floating_point() else w for n, w in fits.items()}, strict=False)
    return found


def check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are infinite or no numbers, as a training that went wrong leaves them."""
    # In the numbers that the network has: those of 64 bits may be too large for it.
    if bad := tuple(n for n, w in weights.items() if w.is_floating_point() and not torch.isfinite(w.float()).all()):
        have = counted(len(bad), "tensor has", "tensors have")
        raise ModelError(f"{path} is damaged: {have} numbers that are not finite ({some(bad)}).")
