import subprocess
import sys

# In a process of its own: without the guard, the driver takes it down.
SCRIPT = """
import os
import numpy as np, napari
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtTest import QTest
from napari_sam2s.widgets.vispy_workarounds import CanvasGuard, guard_canvas

viewer = napari.Viewer()
guard_canvas(PublicOnlyProxy(viewer))  # as a plugin gets it
guard_canvas(viewer)
assert len(viewer.window._qt_window.findChildren(CanvasGuard)) == 1
for _ in range(2):
    viewer.add_image(np.zeros((16, 270, 480, 3), np.uint8), rgb=True, name="image")
    viewer.add_labels(np.ones((16, 270, 480), np.uint8), name="labels")
    viewer.add_points(np.empty((0, 3)), ndim=3, name="points").mode = "add"
    viewer.add_image(np.zeros((8, 270, 480, 3), np.uint8), rgb=True, name="another")
    QTest.qWait(300)
    for name in ("image", "labels", "points"):
        viewer.layers.remove(name)
    QTest.qWait(300)
    viewer.layers.clear()
    QTest.qWait(100)
print("alive", flush=True)
os._exit(0)
"""


def test_layers_removed_between_two_draws():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "alive" in done.stdout
