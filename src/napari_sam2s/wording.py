"""How numbers are written in sentences that users read."""

from __future__ import annotations


def counted(number: float, one: str, many: str = "") -> str:
    """Return a number and its noun, "1 frame" or "3 frames"; `many` is for what does not take an s ("frames are", "boxes")."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"
