"""napari as a user starts it, with a door for the tests: a socket on the loopback interface that runs what it is sent.

``python napari_to_drive.py PORT_FILE WIDTH HEIGHT``. What is sent is run in Qt's thread with ``viewer`` and ``widget`` (once it
is open) at hand, and what it puts into ``answer`` is sent back as JSON.
"""

from __future__ import annotations

import json
import queue
import socketserver
import sys
import threading
import traceback
from pathlib import Path

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

POLL_MS = 10


class Door(socketserver.StreamRequestHandler):
    """One snippet a connection."""

    def handle(self) -> None:
        done: queue.Queue[str] = queue.Queue()
        WAITING.put((self.rfile.read().decode(), done))
        self.wfile.write(done.get().encode())


WAITING: queue.Queue[tuple[str, queue.Queue[str]]] = queue.Queue()


def main() -> None:
    """Open the viewer and the door."""
    port_file, width, height = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    viewer = napari.Viewer()
    window = viewer.window._qt_window
    window.move(0, 0)
    window.resize(width, height)
    window.showMaximized()  # as large as the screen with its title bar on it: what is below the fold is seen to be
    names = {"viewer": viewer, "napari": napari, "QApplication": QApplication}

    def look() -> None:
        try:
            code, done = WAITING.get_nowait()
        except queue.Empty:
            return
        names["answer"] = None
        try:
            exec(compile(code, "<walk>", "exec"), names)
            done.put(json.dumps({"answer": names["answer"]}, default=str))
        except Exception:  # noqa: BLE001  it is the test's to raise
            done.put(json.dumps({"error": traceback.format_exc()}))

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(POLL_MS)
    part = port_file.with_suffix(".part")
    part.write_text(str(server.server_address[1]))
    part.rename(port_file)
    napari.run()


if __name__ == "__main__":
    main()
