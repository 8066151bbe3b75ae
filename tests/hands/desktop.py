"""A virtual desktop, napari on it, and a hand: a pointer that moves and keys that are pressed, by the X server."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("Xvfb", "openbox", "xdotool")
HERE = Path(__file__).parent
PATIENCE = 180.0  # seconds until something must have happened
MOVE_SECONDS = 0.008  # between two moves of a hand: 125 a second


def missing() -> list[str]:
    """Return the programs that are not on this machine."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def wait_for(condition, what, patience=PATIENCE):
    """Wait until ``condition()`` is true and return what it returned."""
    stop = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > stop:
            raise AssertionError(f"{what} did not happen within {patience:.0f} s")
        time.sleep(0.03)
    return value


class Desktop:
    """A screen of its own with a window manager."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.folder, self.size = folder, (width, height)
        reads, writes = os.pipe()
        server = ["Xvfb", "-displayfd", str(writes), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"]
        self._log = (folder / "desktop.log").open("wb")
        self._processes = [subprocess.Popen(server, pass_fds=(writes,), stdout=self._log, stderr=self._log)]
        os.close(writes)
        with os.fdopen(reads) as numbers:
            display = f":{numbers.readline().strip()}"
        self.environment = {**os.environ, "DISPLAY": display}
        self._processes.append(subprocess.Popen(["openbox"], env=self.environment, stdout=self._log, stderr=self._log))

    def start(self, *command: str, **more: str) -> subprocess.Popen:
        """Start a program on it, with these variables as well."""
        with (self.folder / "napari.log").open("wb") as log:
            process = subprocess.Popen(command, env={**self.environment, **more}, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def do(self, *arguments: object) -> None:
        """Do what xdotool is asked to."""
        subprocess.run(["xdotool", *map(str, arguments)], env=self.environment, check=True, timeout=PATIENCE)

    def close(self) -> None:
        """End it, and what was started on it."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()


class Hand:
    """A person at napari: looks, points, clicks, drags, types."""

    def __init__(self, desktop: Desktop, folder: Path, scale: float = 1.0, theme: str = "dark") -> None:
        self.desktop, self.folder, self.actions, self.scale = desktop, folder, 0, scale
        port_file = folder / "port"
        settings = folder / "settings.yaml"
        # napari asks before it closes, and a question would wait for ever.
        settings.write_text(f"application:\n  confirm_close_window: false\nappearance:\n  theme: {theme}\n")
        home = folder / "home"
        home.mkdir()
        variables = {
            "HOME": str(home),
            "NAPARI_CONFIG": str(settings),
            "OMP_WAIT_POLICY": "passive",
            "XDG_CACHE_HOME": str(home),
            "QT_SCALE_FACTOR": str(scale),
        }
        program = (sys.executable, str(HERE / "napari_to_drive.py"), str(port_file), *map(str, desktop.size))
        self.napari = desktop.start(*program, **variables, QT_QPA_PLATFORM="xcb")
        wait_for(lambda: port_file.exists() or self.napari.poll() is not None, "napari's start")
        assert self.napari.poll() is None, (folder / "napari.log").read_text()
        self._port = int(port_file.read_text())

    # Looking inside

    def ask(self, code):
        """Run code in napari, and return what it put into ``answer``; a single expression is the answer."""
        if not re.search(r"\banswer\b|\n", code):
            code = f"answer = {code}"
        with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE) as door:
            door.sendall(code.encode())
            door.shutdown(socket.SHUT_WR)
            said = json.loads(door.makefile().read())
        assert "error" not in said, said["error"]
        return said["answer"]

    def until(self, code, patience=PATIENCE):
        """Wait until an expression is true in napari, and return it."""
        return wait_for(lambda: self.ask(code), code, patience)

    @property
    def status(self):
        """What the widget says."""
        return self.ask("widget.status.text()")

    def settled(self):
        """Wait until the widget has nothing to do, and Qt has shown it."""
        self.until("not widget.session.tracking and not widget.session.worker.answering")
        self.ask("widget.session.settle(60)")
        self.rest()

    def rest(self, seconds=0.15):
        """Wait as long as a person takes to look: what comes of the events so far is on screen then."""
        time.sleep(seconds)
        self.ask("1")

    def picture(self, path):
        """Keep what is on screen."""
        grab = f"QApplication.primaryScreen().grabWindow(0).save({str(path)!r})"
        assert self.ask(grab)
        return path

    # Where things are, in Qt's pixels: on a screen that is scaled, the hand goes to ``scale`` times that

    def place(self, y, x):
        """Return where a pixel of the video is."""
        return self.ask(
            "from qtpy.QtCore import QPoint\n"
            "canvas = viewer.window._qt_viewer.canvas\n"
            f"world = widget.session.image.data_to_world((widget.session.frame, {y}, {x}))\n"
            "at = canvas.view.camera.transform.map([world[2], world[1], 0, 1])\n"
            "p = canvas.native.mapToGlobal(QPoint(round(at[0]), round(at[1])))\n"
            "answer = [p.x(), p.y()]"
        )

    def middle(self, widget):
        """Return the middle of a widget, given as an expression."""
        return self.ask(f"w = {widget}\np = w.mapToGlobal(w.rect().center())\nanswer = [p.x(), p.y()]")

    def cell(self, row, column):
        """Return the middle of a cell of the table of objects."""
        return self.ask(
            "t = widget.objects_panel.table\n"
            f"p = t.viewport().mapToGlobal(t.visualItemRect(t.item({row}, {column})).center())\nanswer = [p.x(), p.y()]"
        )

    # What a hand does

    def click(self, at, button=1, times=1):
        """Click there."""
        self.actions += 1
        self.desktop.do(
            "mousemove", *(round(self.scale * n) for n in at), "sleep", 0.08, "click", "--repeat", times, "--delay", 60, button
        )
        self.rest()

    def drag(self, start, stop, steps=40):
        """Drag from one place to another as fast as a hand: 125 moves a second."""
        self.actions += 1
        (x0, y0), (x1, y1) = (tuple(round(self.scale * n) for n in at) for at in (start, stop))
        moves: list[object] = []
        for n in range(1, steps + 1):
            moves += ["mousemove", round(x0 + (x1 - x0) * n / steps), round(y0 + (y1 - y0) * n / steps), "sleep", MOVE_SECONDS]
        self.desktop.do("mousemove", x0, y0, "sleep", 0.1, "mousedown", 1, "sleep", 0.05, *moves)

    def let_go(self):
        """Let go of the button after a drag."""
        self.desktop.do("sleep", 0.05, "mouseup", 1)
        self.rest()

    def press(self, *keys):
        """Press keys, one after the other, where the keyboard is."""
        self.actions += 1
        self.desktop.do("key", "--delay", 40, *keys)
        self.rest()
