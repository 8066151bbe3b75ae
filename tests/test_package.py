"""Installation: the list of packages, the manifest, the wheel and the sdist."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from npe2 import PluginManager, PluginManifest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed():
    folders = (ROOT / "src").rglob("__init__.py")
    found = {".".join(path.parent.relative_to(ROOT / "src").parts) for path in folders}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found | {"napari_sam2s_manifest"}


def test_every_dependency_is_pinned():
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    lacking = [line for line in PYPROJECT["project"]["dependencies"] if re.match(r"[\w-]+", line)[0] not in pinned]
    assert not lacking


@pytest.mark.gui  # as it imports the widgets
def test_manifest_is_valid_and_its_python_names_exist():
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    manifest.validate_imports()


@pytest.mark.gui  # as it imports napari
def test_napari_shows_its_menus():
    """A menu that napari does not open to plugins stays away without a word."""
    from napari._app_model.constants import MenuId

    menus = PluginManifest.from_file(ROOT / "napari.yaml").contributions.menus
    layers = {f"napari/layers/{name}" for name in ("segment", "annotate", "track", "measure")}
    assert {*layers, "napari/file/io_utilities"} == set(menus)
    assert set(menus) <= {menu.value for menu in MenuId.contributables()}


def test_installed_plugin_is_discovered():
    manager = PluginManager()
    manager.discover()
    manifest = manager.get_manifest("napari-sam2s")
    assert manifest.display_name == "SAM2S"
    assert (
        manifest.model_dump()["contributions"] == PluginManifest.from_file(ROOT / "napari.yaml").model_dump()["contributions"]
    )


def test_command_line_prints_help_quickly_and_without_torch():
    code = "import sys; from napari_sam2s.cli import build_parser; build_parser().format_help(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "False"


def test_help_says_of_each_command_what_its_module_says():
    from napari_sam2s.cli import build_parser

    assert build_parser("").format_help() == build_parser().format_help()
    assert build_parser("track").format_help() == build_parser().format_help()


def test_help_imports_next_to_nothing():
    """It is the first thing that a stranger tries: `benchmarks/startup.py` has the seconds."""
    code = "import sys; from napari_sam2s.cli import build_parser; build_parser('').format_help(); print(*sys.modules)"
    loaded = set(_output(Path(sys.executable), code).split())
    assert not loaded & {"numpy", "torch", "napari", "PIL", "pandas", "pydantic", "dask"}


def test_unknown_command_exits_with_2():
    result = subprocess.run([sys.executable, "-m", "napari_sam2s.cli", "nonsense"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "nonsense" in result.stderr
    assert "Traceback" not in result.stderr


def _output(python: Path, code: str, cwd: Path | None = None) -> str:
    command = [str(python), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout.strip()


def _names(archive: Path) -> list[str]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.namelist()
    with tarfile.open(archive) as sdist:
        return sdist.getnames()


@pytest.mark.long
@pytest.mark.parametrize("how", ["wheel", "sdist", "editable", "folder"])
def test_each_way_of_installing_gives_a_plugin(how, tmp_path):
    """In a new environment that borrows the dependencies of this one, each way gives the same manifest."""
    pytest.importorskip("build", reason="needs `build`, of the dev group")
    tree = tmp_path / "tree"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tree)], check=True)
    target = {"editable": ["-e", str(tree)], "folder": [str(tree)]}.get(how)
    if target is None:
        dist = tmp_path / "dist"
        command = [sys.executable, "-m", "build", f"--{how}", "--outdir", str(dist), str(tree)]
        subprocess.run(command, check=True, capture_output=True)
        archive = next(dist.iterdir())
        names = _names(archive)
        assert any(name.endswith("napari.yaml") for name in names)
        assert how == "wheel" or any(name.endswith("docs/reference/video.md") for name in names)
        target = [str(archive)]
    # A .pth file lends the dependencies, not the editable copy of this package.
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    )
    lent = [entry for entry in sys.path if entry.endswith("site-packages")]
    Path(site.stdout.strip(), "lent.pth").write_text("".join(f"{entry}\n" for entry in lent))
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--ignore-installed", *target]
    subprocess.run(install, check=True)
    shutil.rmtree(tree) if how == "folder" else None
    here = _output(python, "import napari_sam2s; print(napari_sam2s.__file__)", cwd=tmp_path)
    assert str(tmp_path) in here, "another installation was imported"
    npe2 = [python, "-W", "ignore", "-m", "npe2"]
    listed = subprocess.run([*npe2, "list", "--format", "json"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "napari-sam2s" in [plugin["name"] for plugin in json.loads(listed.stdout)]
    checked = subprocess.run([*npe2, "validate", "--imports", "napari-sam2s"], capture_output=True, text=True, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "valid" in checked.stdout + checked.stderr


@pytest.mark.slow
def test_old_import_paths_give_the_module_at_its_new_path():
    from napari_sam2s.moved_modules import MOVED

    for old, new in MOVED.items():
        sys.modules.pop(f"napari_sam2s.{old}", None)
        with pytest.warns(DeprecationWarning, match=f"is now napari_sam2s.{new}"):
            module = importlib.import_module(f"napari_sam2s.{old}")
        assert module is importlib.import_module(f"napari_sam2s.{new}")
        assert module.__spec__.name == f"napari_sam2s.{new}"
