"""Whether napari finds this plugin and lets it run, and whether other plugins claim the files that it opens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from typing import Any

from napari_sam2s.doctor.findings import Finding
from napari_sam2s.doctor.pip_commands import PIP, this_python

OURS = "napari-sam2s"
OWN_KINDS = ("a.mp4", "a.avi", "a.mov", "a.mkv")
# In a process of its own: only the widgets import napari.
_DISABLED = "import json; from napari.settings import get_settings as s; print(json.dumps([*s().plugins.disabled_plugins]))"
_ENABLE = f"from napari.settings import get_settings as s; s().plugins.disabled_plugins.discard('{OURS}'); s().save()"


def plugins() -> Iterator[Finding]:
    """Whether napari finds and runs this plugin, and whether other plugins claim the files that this one opens."""
    from npe2 import PluginManager

    manager = PluginManager.instance()
    manager.discover()
    readers = {manifest.name for manifest in manager.iter_manifests() if _reads_videos(manifest.contributions.readers or ())}
    disabled = _disabled()
    if OURS not in readers:
        remedy = f"{PIP} --force-reinstall --no-deps {OURS}"
        yield Finding("plugins", "broken", "napari does not find this plugin: its installation is damaged.", remedy)
    elif OURS in disabled:
        remedy = f'Close napari, then: {this_python()} -c "{_ENABLE}"'
        yield Finding("plugins", "broken", "This plugin is disabled in napari's plugin manager.", remedy)
    elif others := readers - disabled - {"napari", OURS}:
        remedy = "Choose SAM2S when napari asks, or set it in File > Preferences > Plugins."
        yield Finding("plugins", "warning", f"{', '.join(sorted(others))} also opens video files.", remedy)
    else:
        yield Finding("plugins", "ok", "no other plugin opens video files")


def _disabled() -> set[str]:
    """Return the plugins that are disabled in napari's settings; none where napari does not start: other checks say why."""
    asked = subprocess.run([sys.executable, "-c", _DISABLED], capture_output=True, text=True, timeout=120, check=False)
    return set(json.loads(asked.stdout.splitlines()[-1])) if asked.returncode == 0 else set()


def _reads_videos(readers: Iterable[Any]) -> bool:
    patterns = {pattern.lower() for reader in readers for pattern in reader.filename_patterns}  # as napari compares them
    return any(fnmatch(video, pattern) for video in OWN_KINDS for pattern in patterns)
