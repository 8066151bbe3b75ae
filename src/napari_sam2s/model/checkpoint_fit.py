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
    return "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def compare(network: nn.Module, weights: Mapping[str, Tensor]) -> Differences:
    """Return what a file has and a network has not, and the other way round, by the names of the file."""
    expected, weights, _ = _as_stored(network, weights)
    return _compared(expected, weights)


def _compared(expected: Mapping[str, torch.Size], weights: Mapping[str, Tensor]) -> Differences:
    return Differences(
        tuple(sorted(set(expected) - set(weights))),
        tuple(sorted(set(weights) - set(expected))),
        tuple(n for n in expected if n in weights and expected[n] != weights[n].shape),
    )


def _as_stored(
    network: nn.Module, weights: Mapping[str, Tensor]
) -> tuple[Mapping[str, torch.Size], Mapping[str, Tensor], bool]:
    """Return names and shapes that a file of a network has, its weights by these names, and whether they are yet to be folded."""
    own = {name: weight.shape for name, weight in network.state_dict().items()}
    if isinstance(network, EdgeTAM) and not is_folded(weights):
        return unfolded(own), official(weights), True
    return own, weights, False


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
        If the file holds other tensors than the network.
    ModelError
        If some of its numbers are not finite.
    """
    expected, weights, to_fold = _as_stored(network, weights)
    found = _compared(expected, weights)
    fits = {n: weights[n] for n in expected if n in weights and n not in found.shapes}
    _check_finite(fits, path)
    whole = not (found.missing or found.shapes)
    if found and (strict or (to_fold and not whole)):
        remedy = "To go on without them, give strict=False (--ignore-differences)."
        raise CheckpointDiffers(
            f"{path} does not fit {title}: {found}. {remedy if whole or not to_fold else 'Take a whole file.'}",
            found.missing,
            found.unknown,
            found.shapes,
        )
    if found:
        untrained = "" if whole else " What is missing is untrained: do not trust the masks."
        warnings.warn(f"{path} is used as {title}, though {found}.{untrained}", stacklevel=3)
    if to_fold:
        fits = folded(fits, network.state_dict())
        _check_finite(fits, path)  # a norm may have a variance below 0
    network.load_state_dict({n: w.float() if w.is_floating_point() else w for n, w in fits.items()}, strict=False)
    return found


def _check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    if bad := [n for n, w in weights.items() if w.is_floating_point() and not torch.isfinite(w).all()]:
        count = "1 tensor holds" if len(bad) == 1 else f"{len(bad)} tensors hold"
        raise ModelError(f"{path} is damaged: {count} numbers that are not finite ({some(bad)}).")
