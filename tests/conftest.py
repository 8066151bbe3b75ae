"""What every test folder shares."""

from __future__ import annotations

import copy
import gc
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Before anything imports torch: spinning OpenMP threads starve everything else on a small machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Of two bindings PySide6 is taken; pytest-qt is to take the same.
os.environ["PYTEST_QT_API"] = os.environ.setdefault("QT_API", "pyside6" if importlib.util.find_spec("PySide6") else "pyqt6")
# Processes of pytest-xdist share the cores: more threads than those only wait for each other.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // int(workers), 1)))
# What tests write is kept in memory where there is plenty: projects are synced to the disk at every step.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 8 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

REAL_DATA = Path(os.environ.get("SAM2S_REAL_DATA", Path(__file__).parents[2] / "shared" / "real"))

# The same examples each time, so that a commit that passed passes again. SAM2S_RANDOM=1 looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("random", derandomize=False, print_blob=True)
hypothesis.settings.load_profile("random" if os.environ.get("SAM2S_RANDOM") else "same")

GUI_FIXTURES = {"make_napari_viewer", "qtbot", "qapp"}
WIDGETS = Path(__file__).parent / "widgets"


def pytest_configure(config: pytest.Config) -> None:
    """Take napari's plugin where there may be tests of the widgets: it imports napari and its window before any test."""
    if "not gui" not in config.option.markexpr:
        config.pluginmanager.import_plugin("napari.utils._testsupport")


@pytest.hookimpl(optionalhook=True)
def pytest_xvfb_disable(config: pytest.Config) -> bool:
    """Start no X server where no test draws."""
    return "not gui" in config.option.markexpr


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folder of the widgets where none is wanted: napari and a thousand tests cost each process seconds."""
    return True if collection_path == WIDGETS and "not gui" in config.option.markexpr else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is of the widgets, or starts Qt, and what is long as slow: ``-m "not gui and not slow"`` is the inner loop."""
    for item in items:
        if WIDGETS in item.path.parents or GUI_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.gui)
        own = {mark.name for mark in getattr(getattr(item, "function", None), "pytestmark", ())}  # not those of a parameter
        if {"slow", "long"} <= own:
            raise pytest.UsageError(f"{item.nodeid} is marked both slow and long. Keep one: what is long is slow by itself.")
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)


def pytest_collection() -> None:
    """Look for no garbage while so much is imported."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Have it not looked for among what is imported by now: torch and all the rest take a fifth of a second each time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real videos and pictures, which are not part of the repository."""
    if not (REAL_DATA / "videos").is_dir():
        pytest.skip(f"real material is not at {REAL_DATA}; set SAM2S_REAL_DATA to its folder")
    return REAL_DATA


@pytest.fixture(scope="session", autouse=True)
def memory_is_given_back(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests wrote into memory stays there only where one has failed: it is a gigabyte."""
    written = tmp_path_factory.getbasetemp()
    yield
    if MEMORY in written.parents and not request.session.testsfailed:
        shutil.rmtree(written, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def built_in_model_read_once() -> Iterator[None]:
    """The built-in model is read from its file and made once in a process, then copied: a quarter of the time."""
    checkpoints = sys.modules.get("napari_sam2s.model.checkpoints")
    if checkpoints is None:  # not worth an import of torch
        yield
        return
    built_in, kept = checkpoints.find_weights(checkpoints.BUILT_IN), {}
    open_checkpoint, make_network = checkpoints.open_checkpoint, checkpoints._network

    def opened(path):
        if path != built_in:
            return open_checkpoint(path)
        if "file" not in kept:
            kept["file"] = open_checkpoint(path)
        return kept["file"]

    def made(name, file, strict):
        if file is not kept.get("file") or name != checkpoints.BUILT_IN:
            return make_network(name, file, strict)
        if "network" not in kept:
            kept["network"] = make_network(name, file, strict)
        return copy.deepcopy(kept["network"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "open_checkpoint", opened)
        patch.setattr(checkpoints, "_network", made)
        yield


@pytest.fixture(scope="module")
def small_input() -> Iterator[None]:
    """Models take pictures of 128 px where no size is given, and their heads for first prompts of 112: it is six times as fast.

    For tests of what is around a network. Processes that a test starts know nothing of it.
    """
    from napari_sam2s.model import checkpoints

    make_network = checkpoints._network

    def made(name, file, strict):
        network, facts = make_network(name, file, strict)
        if hasattr(network.interactive, "side"):
            network.interactive.side = 112
        return network, facts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "input_size", lambda *_: 128)
        patch.setattr(checkpoints, "_network", made)
        yield


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C reach this process and those it starts: a shell has what it runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if not mounted or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
