"""The commands of pip that mend an installation, as a user types them for this Python."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

MODULES = {"PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}  # those that are named otherwise than their package


def this_python() -> str:
    """Return what a user types to run this Python: an environment that is not activated needs the whole path."""
    name = Path(sys.executable).name
    found = shutil.which(name)
    if found is not None and Path(found).absolute() == Path(sys.executable).absolute():
        return name
    return f'"{sys.executable}"' if " " in sys.executable else sys.executable


PIP = f"{this_python()} -m pip install"


def builds(version: str) -> str:
    """Return the option that gets another torch of the same kind: that of a bare pip may be a CUDA build of gigabytes."""
    kind = version.partition("+")[2]  # 2.13.0+cpu, 2.13.0+cu128
    return f" --index-url https://download.pytorch.org/whl/{kind}" if kind else ""


def again(package: str) -> str:
    """Return the command that installs a package once more, in the version that is there."""
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return f"{PIP} {package}"
    return f'{PIP} --force-reinstall --no-deps "{package}=={version}"' + (builds(version) if package == "torch" else "")


def reinstall(error: Exception) -> str:
    """Return the command that installs the package whose module could not be imported; empty for other errors."""
    if not isinstance(error, ImportError) or not error.name:
        return ""
    return again(package_of(error.name))


def package_of(module: str) -> str:
    """Return the package that a module comes with."""
    name = module.partition(".")[0]
    return MODULES.get(name, name.replace("_", "-"))
