"""Memory banks as bytes, and back, bit for bit."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping

import torch

from napari_sam2s.errors import TrackingError
from napari_sam2s.tracking.memory_bank import MemoryBank
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.wording import counted

SNAPSHOT_VERSION = 1


def write_snapshot(shape: tuple[int, ...], policy: MemoryPolicy, banks: Mapping[int, MemoryBank]) -> bytes:
    """Return the banks of all objects of a video of ``shape`` (T, Y, X)."""
    state = {
        "version": SNAPSHOT_VERSION,
        "shape": shape,
        "policy": vars(policy),
        "banks": {i: bank.state() for i, bank in banks.items()},
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def read_snapshot(
    snapshot: bytes, shape: tuple[int, ...], policy: MemoryPolicy, recent: int, device: torch.device
) -> dict[int, MemoryBank]:
    """Return the banks that :func:`write_snapshot` wrote, on a device; ``recent`` as in :class:`MemoryBank`.

    Raises :class:`TrackingError` if it was made by another version, for a video of another size, or under another memory
    policy.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(snapshot)) as archive:  # torch does not look at the checksums itself
            if archive.testzip() is not None:
                raise ValueError("it is damaged")
        state = torch.load(io.BytesIO(snapshot), map_location=device, weights_only=True)
    except (RuntimeError, EOFError, ValueError, TypeError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise TrackingError(
            f"The snapshot cannot be read ({str(error).splitlines()[0]}); propagate again from a prompt."
        ) from error
    expected = {"version": SNAPSHOT_VERSION, "shape": tuple(shape[1:]), "policy": vars(policy)}
    found = {**state, "shape": tuple(state.get("shape", ())[1:])}  # of any length: a recording may be continued or cut
    for name, value in expected.items():
        if found.get(name) != value:
            raise TrackingError(f"The snapshot has {name} {found.get(name)}, this tracker {value}; propagate again.")
    last = max((m["frame"] for bank in state["banks"].values() for m in bank["conditioning"]), default=-1)
    if last >= shape[0]:
        raise TrackingError(
            f"The snapshot has a prompt on frame {last}, the video only {counted(shape[0], 'frame')}; propagate again."
        )
    return {i: MemoryBank.from_state(policy, bank, recent) for i, bank in state["banks"].items()}
