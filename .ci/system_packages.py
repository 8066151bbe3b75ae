"""Install what Qt and a virtual screen need on Debian and Ubuntu, or name the exact line that does.

Other systems bring these themselves, so nothing happens there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

# Found by adding one package at a time to a bare system until napari opened a window.
PACKAGES = (
    *("xvfb", "xauth", "libgl1", "libegl1", "libfontconfig1", "libdbus-1-3", "libglib2.0-0"),
    *("libxkbcommon-x11-0", "libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libxcb-shape0"),
)
HAND = ("openbox", "xdotool")  # without them the walks of tests/hands are skipped
LIBRARIES = (
    *("libGL.so.1", "libEGL.so.1", "libfontconfig.so.1", "libdbus-1.so.3", "libglib-2.0.so.0"),
    *("libxkbcommon-x11.so.0", "libxcb-cursor.so.0", "libxcb-icccm.so.4", "libxcb-keysyms.so.1", "libxcb-shape.so.0"),
)


def missing() -> list[str]:
    """Return the programs and shared libraries that are not there."""
    absent = [program for program in ("Xvfb", "xauth") if shutil.which(program) is None]
    for library in LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            absent.append(library)
    return absent


def main() -> int:
    """Return 0 when all is there at the end."""
    if not sys.platform.startswith("linux") or not (missing() or any(shutil.which(program) is None for program in HAND)):
        return 0
    install = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES, *HAND]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], env=environment, check=False)
        subprocess.run(install, env=environment, check=False)
    if absent := missing():
        print(f"These are missing for Qt and its virtual screen: {', '.join(absent)}. On Debian or Ubuntu install them with")
        print("  sudo " + " ".join(install))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
