"""Every part is broken on purpose."""

import importlib
import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_sam2s.doctor import checks, examine
from napari_sam2s.doctor.pip_commands import this_python
from napari_sam2s.model import load_model
from napari_sam2s.model.own_models import add_model


def one(check):
    (finding,) = check()
    return finding


@pytest.mark.gui  # as it imports napari, like all the others
def test_what_is_installed_is_enough():
    assert one(checks.packages).verdict == "ok"
    assert "numpy" in one(checks.packages).found


def test_a_package_is_missing_and_another_too_old(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=99", "no-such-package>=1", 'torch>=99; extra == "x"'])
    old, missing = checks.packages()
    assert (old.verdict, missing.verdict) == ("broken", "broken")
    assert metadata.version("numpy") in old.found
    assert old.remedy.endswith('-m pip install "numpy>=99"')
    assert missing.remedy.endswith('-m pip install "no-such-package>=1"')


def test_a_package_is_damaged(monkeypatch, tmp_path):
    (tmp_path / "safetensors.py").write_text("raise ImportError('no libtensor.so')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "safetensors", raising=False)
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=2", "safetensors>=0.4"])
    finding = one(checks.packages)
    version = metadata.version("safetensors")
    assert finding.found == f"safetensors {version} cannot be imported (ImportError: no libtensor.so)."
    assert finding.remedy.endswith(f'--force-reinstall --no-deps "safetensors=={version}"')


def test_no_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    finding = one(checks.window)
    assert finding.verdict == "warning"
    assert "no screen" in finding.found


def test_qt_cannot_open_a_window(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("QT_QPA_PLATFORM", "nonsense")
    finding = one(checks.window)
    assert finding.verdict == "broken"
    assert "nonsense" in finding.found
    assert finding.remedy == "QT_QPA_PLATFORM is set to nonsense. Unset it."


@pytest.mark.parametrize(("script", "verdict"), [("raise ImportError('No module named PyQt6')", "warning"), ("", "broken")])
def test_no_binding_and_no_opengl(monkeypatch, script, verdict):
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    if script:
        monkeypatch.setattr(metadata, "version", lambda name: (_ for _ in ()).throw(metadata.PackageNotFoundError(name)))
    monkeypatch.setattr(checks, "_WINDOW", script or 'print(\'["PyQt6", "6", "xcb", ""]\')')
    assert one(checks.window).verdict == verdict


@pytest.mark.parametrize(
    ("verdict", "variable", "value", "remedy"),
    [
        ("warning", "QT_QPA_PLATFORM", "offscreen", "QT_QPA_PLATFORM is set to offscreen. Unset it."),
        ("broken", "QT_API", "qt9", "QT_API is set to qt9. Unset it."),
        ("broken", "DISPLAY", ":987", "DISPLAY is set to :987, where no screen answers. Log in again, or connect with ssh -X."),
    ],
)
def test_a_variable_of_the_environment_is_wrong(monkeypatch, verdict, variable, value, remedy):
    for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv(variable, value)
    finding = one(checks.window)
    assert (finding.verdict, finding.remedy) == (verdict, remedy)
    assert "Traceback" not in finding.found


def test_what_napari_draws_with_is_missing(monkeypatch):
    """Qt is there, so to install it changes nothing."""
    monkeypatch.setattr(
        checks, "_WINDOW", "import sys; sys.modules['vispy'] = None; raise ModuleNotFoundError(\"No module named 'vispy'\")"
    )
    finding = one(checks.window)
    assert (finding.verdict, finding.found) == ("broken", "vispy, which napari draws with, is missing.")
    assert finding.remedy.endswith(f'--force-reinstall --no-deps "vispy=={metadata.version("vispy")}"')


def test_a_binding_whose_files_are_lost(monkeypatch):
    """Pip would say that it is there already."""
    monkeypatch.setattr(checks, "_WINDOW", "raise ModuleNotFoundError(\"No module named 'PySide6'\")")
    monkeypatch.setattr(metadata, "version", lambda name: "6.11.3")
    monkeypatch.setattr(
        metadata, "requires", lambda name: ["shiboken6==6.11.3", "PySide6_Essentials==6.11.3", "tomli; python_version < '3.11'"]
    )
    finding = one(checks.window)
    assert (finding.verdict, finding.found) == ("broken", "PySide6 6.11.3 is damaged: only the command line works.")
    wanted = '--force-reinstall --no-deps "PySide6==6.11.3" "shiboken6==6.11.3" "PySide6_Essentials==6.11.3"'
    assert finding.remedy.endswith(wanted)


def test_a_module_that_many_packages_need_is_one_finding(monkeypatch, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("import numpy.gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(metadata, "requires", lambda name: ["one", "two"])
    true_version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name in ("one", "two") else true_version(name))
    finding = one(checks.packages)
    assert "one 1.0 cannot be imported" in finding.found
    assert "two 1.0 cannot be imported" in finding.found
    assert finding.remedy.endswith(f'--force-reinstall --no-deps "numpy=={true_version("numpy")}"')


def test_a_binding_that_ends_python(monkeypatch):
    monkeypatch.setattr(checks, "_WINDOW", 'print(\'["PySide6", "6.12.0", "xcb", "4.5"]\')')
    monkeypatch.setattr(sys, "version_info", (3, 11, 7, "final", 0))
    finding = one(checks.window)
    assert finding.verdict == "broken"
    assert finding.remedy.endswith('-m pip install "PySide6<6.12"')
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))
    assert one(checks.window).verdict == "ok"
    assert not checks._ends_python("6.11.3", (3, 11))


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAM2S_CACHE_DIR", str(tmp_path / "file"))
    finding = one(checks.folders)
    assert finding.verdict == "broken"
    assert "SAM2S_CACHE_DIR" in finding.remedy


def test_a_full_disk(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    findings = list(checks.folders())
    assert {f.verdict for f in findings} == {"warning"}
    assert "1.0 GB left" in findings[0].found
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=300_000))
    assert {(f.verdict, "0.3 MB left" in f.found) for f in checks.folders()} == {("broken", True)}


def test_ffmpeg_works():
    assert one(checks.video).verdict == "ok"


def test_an_ffmpeg_that_does_not_work(monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "ffmpeg"))
    finding = one(checks.video)
    assert finding.verdict == "broken"
    assert "IMAGEIO_FFMPEG_EXE" in finding.remedy


@pytest.mark.slow
def test_the_built_in_model_runs():
    finding = one(checks.network)
    assert finding.verdict == "ok"
    assert "frames/s" in finding.found


def test_torch_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    finding = one(checks.network)
    assert finding.verdict == "broken"
    assert "--force-reinstall torch" in finding.remedy


@pytest.mark.parametrize(
    ("version", "ending"), [("2.4.0", ""), ("2.4.0+cpu", " --index-url https://download.pytorch.org/whl/cpu")]
)
def test_another_torch_is_of_the_same_kind(monkeypatch, version, ending):
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch>=2.6"])
    monkeypatch.setattr(metadata, "version", lambda name: version)
    assert one(checks.packages).remedy.endswith(f'-m pip install "torch>=2.6"{ending}')
    monkeypatch.setitem(sys.modules, "torch", None)
    assert one(checks.network).remedy.endswith(f"--force-reinstall torch{ending}")


def test_a_built_in_model_that_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr("napari_sam2s.model.checkpoints.WEIGHTS", tmp_path)
    finding = one(checks.network)
    assert "are missing" in finding.found
    assert finding.remedy.endswith("--force-reinstall --no-deps napari-sam2s")


def test_a_built_in_model_that_is_damaged(monkeypatch, tmp_path):
    monkeypatch.setattr("napari_sam2s.model.load_model", lambda **options: load_model(tmp_path / "cut.pt"))
    (tmp_path / "cut.pt").write_bytes(b"cut")
    finding = one(checks.network)
    assert finding.verdict == "broken"
    assert finding.remedy.endswith("--force-reinstall --no-deps napari-sam2s")


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("imageio_ffmpeg", "imageio-ffmpeg"), ("psutil", "psutil")])
def test_a_module_that_cannot_be_imported(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    (finding,) = examine([("part", lambda: [importlib.import_module(module)])])
    assert finding.verdict == "broken"
    assert finding.remedy.endswith(f'-m pip install --force-reinstall --no-deps "{package}=={metadata.version(package)}"')


def test_doctor_starts_without_numpy():
    code = "import sys; sys.modules['numpy'] = None; import napari_sam2s.cli.doctor_command, napari_sam2s.doctor.checks"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_is_for_this_python(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name))
    assert this_python() == sys.executable
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    assert this_python() == Path(sys.executable).name


def test_an_engine_that_does_not_start(monkeypatch, tmp_path):
    (tmp_path / "distributed.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = examine([("engine", checks.engine)])
    assert finding.verdict == "broken"
    assert "did not start" in finding.found


def test_a_damaged_model(monkeypatch, tmp_path):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path))
    assert "only the built-in model" in one(checks.models).found
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sam2.1-tiny.pt").write_bytes(b"something else")
    (tmp_path / "models" / "sam2.1-tiny.sha256").write_text("0" * 64)
    finding = one(checks.models)
    assert finding.verdict == "broken"
    assert finding.remedy.endswith("napari-sam2s models get sam2.1-tiny")


def test_own_models(monkeypatch, tmp_path):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path))
    path = tmp_path / "lab.pt"
    path.write_bytes(b"weights")
    add_model(path)
    finding = one(checks.models)
    assert (finding.verdict, finding.found) == ("ok", "lab")
    path.write_bytes(b"weigh")
    finding = one(checks.models)
    assert finding.verdict == "broken"
    assert "has changed since it was added as lab" in finding.found
    path.unlink()
    assert "is no longer there" in one(checks.models).found
    (tmp_path / "models" / "own_models.json").write_text("{oops")
    finding = one(checks.network)
    assert (finding.verdict, finding.remedy) == ("broken", "")  # to install again would not mend it
    assert "delete it, then add your models again" in finding.found


def test_python_and_machine_are_named():
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in one(checks.python).found
    json.dumps(one(checks.python).found)
