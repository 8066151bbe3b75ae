"""What is remembered between sessions: napari's plugin settings, declared in ``napari.yaml`` under ``configurations``."""

from __future__ import annotations

from enum import Enum
from typing import Any

PLUGIN = "napari-sam2s"
VIDEO_KEY = "napari_sam2s_video"  # of a layer's metadata: the Video behind it


def section(name: str) -> Any | None:
    """Return a section of our settings, such as ``"model"``; ``None`` in a source tree that napari does not know."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN), name, None)
    except KeyError:
        return None


def remembered(name: str, key: str, default: Any) -> Any:
    """Return a setting, or ``default`` where there is none.

    One of several words comes back from napari's file as a member of an enumeration, which is not its word.
    """
    value = getattr(section(name), key, default)
    return value.value if isinstance(value, Enum) else value


def remember(name: str, /, **values: Any) -> None:
    """Keep settings; napari writes them to its folder at once."""
    known = section(name)
    for key, value in values.items():
        if known is not None and getattr(known, key, None) != value:
            setattr(known, key, value)
