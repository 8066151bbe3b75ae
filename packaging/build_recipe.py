"""Build the conda recipe and run its tests, without conda-forge: on a channel made of what pip installed.

    pip install build py-rattler-build py-rattler setuptools setuptools-scm
    python -m build
    python packaging/build_recipe.py dist/napari_sam2s-0.1.0.tar.gz --channel /tmp/channel --out /tmp/recipe

Run it with a Python that has the package and the names above installed. Every distribution that the package needs
becomes a conda package with its files, its version and its requirements; so does this Python. The recipe is then built
from the sdist by rattler-build, and its tests run in new environments. It shows that the recipe is complete, and that
its names, bounds and tests hold. It does not show that conda-forge has these names and versions.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import rattler.index
import rattler_build
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONDA_NAMES = {"torch": "pytorch", "dask": "dask-core"}
BUILDS_WITH = ("pip", "setuptools", "setuptools-scm")
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def needed(installed: dict[str, Distribution]) -> dict[str, set[str]]:
    """Return what the package needs, directly or not: name -> names of its own requirements."""
    found: dict[str, set[str]] = {}
    extras: dict[str, set[str]] = {}
    waiting = [Requirement(name) for name in ("napari-sam2s", *BUILDS_WITH)]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found and requirement.extras <= extras[name]:
            continue
        extras.setdefault(name, set()).update(requirement.extras)
        wanted = [
            each
            for each in map(Requirement, installed[name].requires or [])
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in {"", *extras[name]})
        ]
        found[name] = {canonicalize_name(each.name) for each in wanted}
        waiting += wanted
    del found["napari-sam2s"]
    return found


def entries(distribution: Distribution) -> list[rattler_build.FileEntry]:
    """Return the files of a distribution. Its scripts are left out: they name another Python."""
    root = os.path.normpath(distribution.locate_file(""))
    files = []
    for file in distribution.files or []:
        source = os.path.normpath(distribution.locate_file(file))
        place = os.path.normpath(f"{SITE}/{os.path.relpath(source, root)}")
        if Path(source).exists() and "__pycache__" not in place and not place.startswith(("bin/", "..")):
            files.append(rattler_build.FileEntry.from_paths(source, place))
    return files


def interpreter() -> list[rattler_build.FileEntry]:
    """Return the files of this Python, without its tests and site-packages."""
    root = Path(sys.base_prefix)
    left_out = (SITE, f"{Path(SITE).parent.as_posix()}/test")
    places = [(path, path.relative_to(root).as_posix()) for path in root.rglob("*") if not path.is_dir()]
    return [
        rattler_build.FileEntry.from_paths(str(path), place)
        for path, place in places
        if not place.startswith(left_out) and "__pycache__" not in place and (place[:4] != "bin/" or place[:10] == "bin/python")
    ]


def make_channel(channel: Path, platform: str) -> int:
    """Write a channel with all that the package needs, and return the number of its packages."""
    installed = {canonicalize_name(each.metadata["Name"]): each for each in distributions()}
    python = f"python {sys.version_info[0]}.{sys.version_info[1]}.*"
    (channel / "noarch").mkdir(parents=True)
    (channel / platform).mkdir()

    def pack(name: str, version: str, files: list[rattler_build.FileEntry], depends: list[str]) -> None:
        rattler_build.assemble_package(
            *(name, re.sub(r"[+-]", "_", version), platform, "0", channel / platform),
            **{"files": files, "depends": depends, "compression_level": 1, "detect_prefix": False},
        )

    packages = needed(installed)
    for name, requires in packages.items():
        depends = [python, *sorted(CONDA_NAMES.get(each, each) for each in requires)]
        pack(CONDA_NAMES.get(name, name), installed[name].version, entries(installed[name]), depends)
    pack("python", ".".join(map(str, sys.version_info[:3])), interpreter(), [])
    asyncio.run(rattler.index.index_fs(channel))
    return len(packages) + 1


def recipe_of(sdist: Path, folder: Path) -> Path:
    """Write the recipe with a local sdist in place of the one on PyPI."""
    text = (Path(__file__).parent / "recipe.yaml").read_text(encoding="utf-8")
    text = re.sub(r"url: https.*", f"url: {sdist.resolve().as_uri()}", text)
    text = re.sub(r'sha256: "0+".*', f'sha256: "{hashlib.sha256(sdist.read_bytes()).hexdigest()}"', text)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return folder / "recipe.yaml"


def main() -> int:
    """Make the channel, build the recipe, run its tests; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--channel", type=Path, required=True, help="new folder for the channel")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the recipe and the package")
    parser.add_argument("--platform", default="linux-64", help="conda's name of this system")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    print(f"{make_channel(args.channel, args.platform)} packages in {args.channel}")
    channel = args.channel.resolve().as_uri()
    recipe = rattler_build.Stage0Recipe.from_file(recipe_of(args.sdist, args.out))
    tools = rattler_build.ToolConfiguration(channel_priority="disabled")
    (variant,) = recipe.render()
    (built,) = variant.run_build(tools, output_dir=args.out, channels=[channel]).packages
    package = rattler_build.Package.from_file(built)
    results = [package.run_test(at, channel=[channel], channel_priority="disabled") for at in range(len(package.tests))]
    for at, result in enumerate(results):
        print(f"test {at + 1} of {len(results)}: {'passed' if result.success else 'FAILED'}")
        print("" if result.success else "\n".join(result.output))
    print(built)
    return 0 if results and all(result.success for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
