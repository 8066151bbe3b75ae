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
    """Return what a file has and a network has not, and the other way round."""
    own = network.state_dict()
    return Differences(
        tuple(sorted(set(own) - set(weights))),
        tuple(sorted(set(weights) - set(own))),
        tuple(n for n in own if n in weights and own[n].shape != weights[n].shape),
    )


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
    own = network.state_dict()
    fits = {n: weights[n] for n in own if n in weights and own[n].shape == weights[n].shape}
    if bad := [n for n, w in fits.items() if w.is_floating_point() and not torch.isfinite(w).all()]:
        raise ModelError(f"{path} is damaged: {_tensors(tuple(bad))} not finite numbers ({some(bad)}).")
    if found := compare(network, weights):
        if strict:
            raise CheckpointDiffers(
                f"{path} does not fit {title}: {found}. To go on without them, give strict=False (--ignore-differences).",
                found.missing,
                found.unknown,
                found.shapes,
            )
        untrained = " What is missing is untrained: do not trust the masks." if found.missing or found.shapes else ""
        warnings.warn(f"{path} is used as {title}, though {found}.{untrained}", stacklevel=3)
    network.load_state_dict({n: w.float() if w.is_floating_point() else w for n, w in fits.items()}, strict=False)
    return found
