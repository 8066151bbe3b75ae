"""The checks of ``napari-sam2s doctor``, from what everything stands on to what only some need.

Each is a function that gives findings, and does what a user would: it opens a window's context in a process of its own,
encodes and decodes a video, runs the built-in model, starts an engine.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2s.doctor.findings import Finding, Verdict
from napari_sam2s.doctor.pip_commands import MODULES, PIP, again, builds, package_of, reinstall, this_python
from napari_sam2s.doctor.plugin_checks import plugins
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    import numpy as np

ISSUES = "https://github.com/napari-sam2s/napari-sam2s/issues"
LEAST_FREE_BYTES = 2 * 10**9
NO_FREE_BYTES = 50 * 10**6  # with less than this, nothing works that writes
QT_LIBRARIES = "libgl1 libegl1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0"
FRAMES, SIZE = 8, (240, 320)
TRIED_ELSEWHERE = ("torch", "qtpy")  # by `network`, and by `window`, since it needs a binding of Qt


_WINDOW = """
import importlib
import json
from qtpy import API_NAME, QT_VERSION
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
context, surface = QOpenGLContext(), QOffscreenSurface()
surface.create()
there = context.create() and context.makeCurrent(surface)
renderer = ""
if there:
    from vispy.gloo import gl
    renderer = f"{gl.glGetParameter(gl.GL_VERSION)}, {gl.glGetParameter(gl.GL_RENDERER)}"
print(json.dumps([API_NAME, QT_VERSION, QGuiApplication.platformName(), renderer]))
"""


def python() -> Iterator[Finding]:
    """Which Python and machine this is."""
    import psutil  # comes with dask.distributed

    memory = psutil.virtual_memory().total / 2**30
    facts = (
        f"{platform.python_version()}, {platform.platform()}, {counted(os.cpu_count() or 1, 'core')}, {memory:.0f} GB of memory"
    )
    yield Finding("Python", "ok", facts)


def packages() -> Iterator[Finding]:
    """Whether what this package needs is installed, in a version that it works with."""
    from packaging.requirements import Requirement

    found, wrong = [], []
    for text in metadata.requires("napari-sam2s") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append((requirement, "missing"))
            continue
        found.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append((requirement, version))
    unusable: dict[str, list[str]] = {}  # what to do: which packages need it, as many miss the same module
    for text in found:
        if broken := _unusable(*text.split()):
            unusable.setdefault(broken.remedy, []).append(broken.found)
    for requirement, version in wrong:
        wanted = f"{requirement.name}{requirement.specifier}"
        remedy = f'{PIP} "{wanted}"' + (builds(version) if requirement.name == "torch" else "")
        yield Finding("packages", "broken", f"{wanted} is needed; found: {version}.", remedy)
    for remedy, said in unusable.items():
        yield Finding("packages", "broken", " ".join(said), remedy)
    if not wrong and not unusable:
        yield Finding("packages", "ok", ", ".join(sorted(found)))


def _unusable(package: str, version: str) -> Finding | None:
    """Return what is wrong with a package that is installed, but damaged."""
    if package in TRIED_ELSEWHERE:
        return None
    module = next((name for name, other in MODULES.items() if other == package), package.replace("-", "_"))
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - whatever it is, the package cannot be used
        return Finding(
            "packages",
            "broken",
            f"{package} {version} cannot be imported ({type(error).__name__}: {error}).",
            reinstall(error) or again(package),
        )
    return None


def window() -> Iterator[Finding]:
    """Whether Qt can open a window, and what draws in it."""
    done = subprocess.run([sys.executable, "-c", _WINDOW], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        api, version, screen, renderer = json.loads(done.stdout.splitlines()[-1])
        if api == "PySide6" and _ends_python(version, sys.version_info[:2]):
            yield Finding(
                "window",
                "broken",
                f"PySide6 {version} ends napari within seconds on Python before 3.12: it loses references to None.",
                f'{PIP} "PySide6<6.12"',
            )
        elif screen in ("offscreen", "minimal"):
            said = f"{api} (Qt {version}) draws without a screen ({screen}), so no window is seen: only the command line works."
            yield Finding("window", "warning", said, _of_the_platform())
        elif renderer:
            yield Finding("window", "ok", f"{api} (Qt {version}) on {screen}, OpenGL {renderer}")
        else:
            yield Finding(
                "window",
                "broken",
                f"{api} (Qt {version}) has no OpenGL here, which napari draws with.",
                _of_the_platform()
                or "Install the driver of the graphics card; on Debian and Ubuntu: sudo apt-get install libgl1-mesa-dri",
            )
        return
    if "QtBindingsNotFoundError" in done.stderr or re.search(r"No module named '?(PySide6|PyQt6)", done.stderr):
        yield _no_binding()
    elif missing := re.search(r"No module named '(\w+)", done.stderr):
        yield Finding("window", "broken", f"{missing[1]}, which napari draws with, is missing.", again(package_of(missing[1])))
    elif sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        remedy = "Run napari on a machine with a screen, or forward one (ssh -X)."
        yield Finding("window", "warning", "There is no screen here: only the command line works.", remedy)
    else:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        said = lines[-1] if lines[0].startswith("Traceback") else lines[0]
        yield Finding("window", "broken", f"Qt cannot open a window: {said}", _opens_windows(done.stderr))


def _no_binding() -> Finding:
    """Return what to do where no binding of Qt can be imported: pip would not touch one whose files are lost."""
    for package in ("PySide6", "PyQt6"):
        try:
            said = f"{package} {metadata.version(package)} is damaged: only the command line works."
        except metadata.PackageNotFoundError:
            continue
        return Finding("window", "broken", said, f"{PIP} --force-reinstall --no-deps {' '.join(_parts_of(package))}")
    return Finding("window", "warning", "Qt is not installed: only the command line works.", f'{PIP} "napari-sam2s[all]"')


def _parts_of(package: str) -> list[str]:
    """Return a package and those that it is made of, each with its version."""
    from packaging.requirements import Requirement

    needs = [Requirement(text) for text in metadata.requires(package) or ()]
    names = [package, *(need.name for need in needs if need.marker is None)]
    return [f'"{name}=={metadata.version(name)}"' for name in names]


def _of_the_platform() -> str:
    """Return what to do where the environment names how Qt shows windows; empty elsewhere."""
    asked = os.environ.get("QT_QPA_PLATFORM")
    return f"QT_QPA_PLATFORM is set to {asked}. Unset it." if asked else ""


def _opens_windows(said: str) -> str:
    """Return what lets Qt open a window, from what it said."""
    if "PythonQtValueError" in said:
        return f"QT_API is set to {os.environ.get('QT_API')}. Unset it."
    if remedy := _of_the_platform():
        return remedy
    if "could not connect to display" in said:
        return f"DISPLAY is set to {os.environ.get('DISPLAY')}, where no screen answers. Log in again, or connect with ssh -X."
    return f"On Debian and Ubuntu: sudo apt-get install {QT_LIBRARIES}" if sys.platform.startswith("linux") else ""


def _ends_python(version: str, python: tuple[int, ...]) -> bool:
    """Whether PySide6 of a version lets Python end: "deallocating None". Measured: 6.10.1 and 6.11.3 do not, 6.12.0 does."""
    return python < (3, 12) and tuple(int(part) for part in version.split(".")[:2]) >= (6, 12)


def folders() -> Iterator[Finding]:
    """Whether the folders that are written to can be, and have room."""
    from napari_sam2s.model.downloads import weights_folder
    from napari_sam2s.video.frame_index import cache_folder

    places = {
        "SAM2S_CACHE_DIR": cache_folder(),
        "SAM2S_MODEL_DIR": weights_folder(),
        "TMPDIR": Path(tempfile.gettempdir()),
    }
    facts, wrong = [], False
    for variable, folder in places.items():
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free
        facts.append(f"{folder} ({free / 10**9:.0f} GB free)")
        elsewhere = f"Set {variable} to a folder on another disk."
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            wrong = True
            yield Finding("folders", "broken", f"{folder} cannot be written ({error.strerror}).", elsewhere)
            continue
        if free < LEAST_FREE_BYTES:
            wrong = True
            room = f"{free / 10**9:.1f} GB" if free >= 10**9 else f"{free / 10**6:.1f} MB"
            verdict: Verdict = "broken" if free < NO_FREE_BYTES else "warning"
            yield Finding("folders", verdict, f"{folder} has {room} left.", f"Delete files there. Or: {elsewhere}")
    if not wrong:
        yield Finding("folders", "ok", ", ".join(facts))


def video() -> Iterator[Finding]:
    """Whether a video can be written, and read back with the same frames when it is played and when it is jumped in."""
    import imageio_ffmpeg
    import numpy as np

    from napari_sam2s.formats import write_video
    from napari_sam2s.video import open_video

    remedy = f"{PIP} --force-reinstall imageio-ffmpeg"
    if chosen := os.environ.get("IMAGEIO_FFMPEG_EXE"):
        remedy = f"IMAGEIO_FFMPEG_EXE is set to {chosen}. Unset it to use the ffmpeg that came with this package."
    frames = _moving()
    try:
        version = imageio_ffmpeg.get_ffmpeg_version()
        with tempfile.TemporaryDirectory() as folder:
            path = write_video(iter(frames), Path(folder) / "doctor.mp4")
            with open_video(path) as opened:
                played = [np.asarray(opened[i]) for i in range(len(opened))]
            with open_video(path) as opened:
                jumped = np.asarray(opened[5])
    except Exception as error:  # noqa: BLE001 - a broken program fails in ways of its own
        yield Finding("ffmpeg", "broken", f"ffmpeg does not work ({type(error).__name__}: {error}).", remedy)
        return
    if len(played) != FRAMES or not np.array_equal(played[5], jumped):
        yield Finding("ffmpeg", "broken", f"ffmpeg {version} gives other frames after a jump.", remedy)
    else:
        yield Finding("ffmpeg", "ok", f"{version}: wrote and read a video, frames are exact")


def network() -> Iterator[Finding]:
    """Whether torch and the built-in model work, and how fast."""
    from napari_sam2s.errors import ModelError

    try:
        importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: a library that torch was built against is not there
        remedy = f"{PIP} --force-reinstall torch{builds(metadata.version('torch'))}"
        yield Finding("model", "broken", f"PyTorch cannot be imported: {error}", remedy)
        return
    from napari_sam2s.model import load_model
    from napari_sam2s.model.own_models import FILE as OWN_LIST
    from napari_sam2s.tracking import Tracker

    try:
        model = load_model(device="auto")
    except ModelError as error:  # the file of the built-in model, or the list of the user's own, is missing or damaged
        remedy = "" if OWN_LIST in str(error) else f"{PIP} --force-reinstall --no-deps napari-sam2s"
        yield Finding("model", "broken", str(error), remedy)
        return
    tracker = Tracker(model, _moving())
    tracker.prompt(1, 0, box=(60, 80, 180, 240))
    steps = iter(tracker.propagate())
    next(steps), next(steps)
    started = time.perf_counter()
    count = sum(1 for _ in steps)
    seconds = (time.perf_counter() - started) / count
    facts = f"torch {metadata.version('torch')} on {model.device}, sam2s-nano at {model.facts.image_size} px"
    yield Finding("model", "ok", f"{facts}: {seconds:.2f} s a frame ({1 / seconds:.1f} frames/s)")


def engine() -> Iterator[Finding]:
    """Whether the process that the widget tracks in starts and answers."""
    from napari_sam2s.errors import TrackingError
    from napari_sam2s.tracking import Engine

    by_hand = f"{this_python()} -m napari_sam2s.tracking.engine_server"
    started = time.perf_counter()
    try:
        with Engine() as running:
            alive = running.alive
    except TrackingError as error:
        yield Finding("engine", "broken", str(error), f"See why, then reinstall what is missing: {by_hand}")
        return
    verb = "started and answered" if alive else "started, but does not answer"
    said = f"{verb} in {time.perf_counter() - started:.1f} s"
    yield Finding("engine", "ok" if alive else "broken", said, "" if alive else by_hand)


def models() -> Iterator[Finding]:
    """Whether downloaded models are what was downloaded."""
    from napari_sam2s.errors import ModelError
    from napari_sam2s.model.downloads import find_local, verify
    from napari_sam2s.model.model_registry import loadable
    from napari_sam2s.model.own_models import own_models, own_weights

    here = {entry: path for entry in loadable().values() if not entry.built_in and (path := find_local(entry)) is not None}
    good = []
    for entry, path in here.items():
        try:
            good.append(f"{entry.name} ({verify(entry)[:8]})")
        except ModelError as error:
            remedy = f'Delete "{path}", then: napari-sam2s models get {entry.name}'
            yield Finding("models", "broken", str(error), remedy)
    try:
        own = own_models().values()
    except ModelError:
        return  # said by `network`
    for model in own:
        try:
            own_weights(model)
            good.append(model.name)
        except ModelError as error:
            yield Finding("models", "broken", str(error))
    if good:
        yield Finding("models", "ok", ", ".join(good))
    elif not (here or own):
        remedy = "For real work: napari-sam2s models get sam2.1-base-plus with a GPU, or edgetam without one"
        yield Finding("models", "ok", "only the built-in model, for demos and drafts", remedy)


def _moving() -> np.ndarray:
    """Return a clip ``(8, 240, 320, 3)`` uint8 of a bright square that moves over noise."""
    import numpy as np

    rng = np.random.default_rng(0)
    frames = rng.integers(0, 60, (FRAMES, *SIZE, 3), dtype=np.uint8)
    for t in range(FRAMES):
        frames[t, 60:180, 80 + 4 * t : 240 + 4 * t] += 150
    return frames


CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("Python", python),
    ("packages", packages),
    ("window", window),
    ("folders", folders),
    ("ffmpeg", video),
    ("model", network),
    ("engine", engine),
    ("models", models),
    ("plugins", plugins),
)


def examine(checks: Iterable[tuple[str, Callable[[], Iterable[Finding]]]] | None = None) -> Iterator[Finding]:
    """Run every check; one that fails itself is a finding, too.

    Parameters
    ----------
    checks
        Names and functions; :data:`CHECKS` by default, which take about ten seconds.
    """
    for part, check in CHECKS if checks is None else checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            lines = str(error).strip().splitlines()
            found = f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
            yield Finding(part, "broken", found, reinstall(error) or f"Report it with this text: {ISSUES}")
