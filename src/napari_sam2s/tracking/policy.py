"""What is remembered, as data: SAM 2's memory and SAM2S's DiveMem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from napari_sam2s.errors import TrackingError
from napari_sam2s.wording import counted


@dataclass(frozen=True)
class MemoryPolicy:
    """How a memory bank chooses what to keep. The defaults are the paper's DiveMem (arXiv 2511.16618).

    Parameters
    ----------
    short_term
        Most recent frames kept as memories (N_s); at most 6 with the networks of today, which tell no more of them apart.
    pointers
        Most recent frames whose object pointers are kept, beside those of the conditioning frames.
    long_term
        Long-term memories kept beyond the conditioning frames (N_l); the oldest leaves first. 0 is SAM 2.
    candidates
        Confident frames collected before one of them becomes a long-term memory (Delta).
    iou_threshold
        Predicted IoU above which a frame is confident (gamma_iou). The paper's value is for its own weights; a
        checkpoint may carry another.
    require_consecutive
        Whether the candidates must follow each other without a gap, as the paper says; its predecessor did not ask it.
    compare
        What is compared to find the most different candidate: the image encoder's features (Eq. 2), or the memory's.
    """

    name: str = "divemem"
    short_term: int = 6
    pointers: int = 15
    long_term: int = 4
    candidates: int = 5
    iou_threshold: float = 0.95
    require_consecutive: bool = True
    compare: Literal["image", "memory"] = "image"

    def __post_init__(self) -> None:
        if self.short_term < 1 or self.pointers < 0 or self.long_term < 0 or self.candidates < 1:
            raise TrackingError(
                f"The memory policy {self.name!r} keeps {counted(self.short_term, 'recent frame')},"
                f" {counted(self.pointers, 'pointer')}, {self.long_term} long-term memories of {self.candidates} candidates."
                " The first and the last must be at least 1, the others at least 0."
            )

    def with_parameters(self, parameters: Mapping[str, Any]) -> MemoryPolicy:
        """Return this policy with a checkpoint's own parameters.

        Raises
        ------
        TrackingError
            If one of them is not a parameter of a policy.
        """
        unknown = set(parameters) - {field.name for field in fields(self)}
        if unknown:
            raise TrackingError(f"The checkpoint's memory policy has unknown parameters {sorted(unknown)}.")
        return replace(self, **parameters)


DIVEMEM = MemoryPolicy()
VANILLA = MemoryPolicy(name="vanilla", long_term=0)
POLICIES = {policy.name: policy for policy in (DIVEMEM, VANILLA)}


def find_policy(memory: str | MemoryPolicy, metadata: Mapping[str, Any], most_recent: int = 6) -> MemoryPolicy:
    """Return the policy of a name, with the parameters that a checkpoint's metadata holds for it under ``"policy"``.

    Raises
    ------
    TrackingError
        If there is none of that name, or it keeps more recent frames than the ``most_recent`` that the network tells apart.
    """
    if isinstance(memory, MemoryPolicy):
        policy = memory
    elif memory in POLICIES:
        policy = POLICIES[memory].with_parameters(metadata.get("policy", {}).get(memory, {}))
    else:
        raise TrackingError(f"There is no memory policy {memory!r}; choose one of {sorted(POLICIES)}.")
    if policy.short_term > most_recent:
        raise TrackingError(
            f"The memory policy {policy.name!r} keeps {counted(policy.short_term, 'recent frame')}, but the "
            f"network can tell only "
            f"{most_recent} apart: take a short_term of 1 to {most_recent}."
        )
    return policy
