import subprocess
import sys

SCRIPT = """
import numpy as np, napari
from qtpy.QtWidgets import QApplication
from napari_sam2s.widgets.vispy_workarounds import forget_vertex_arrays

viewer = napari.Viewer()
viewer.add_image(np.zeros((4, 40, 50, 3), np.uint8), rgb=True)
viewer.add_labels(np.ones((4, 40, 50), np.uint8), name="labels")
viewer.add_points([[0, 10, 10]], name="points").mode = "add"

def draw():
    for frame in range(4):
        viewer.dims.set_point(0, frame)
        QApplication.processEvents()

draw()
viewer.layers.remove("labels")
viewer.layers.remove("points")
window = QApplication.activeWindow() or next(w for w in QApplication.topLevelWidgets() if w.isVisible())
forget_vertex_arrays(window)
draw()
print("alive")
"""


SEVERAL = """
import os
import numpy as np, napari
from qtpy.QtTest import QTest
from napari_sam2s.widgets.vispy_workarounds import forget_vertex_arrays

viewer = napari.Viewer()
viewer.add_image(np.zeros((16, 270, 480, 3), np.uint8), rgb=True, name="image")
viewer.add_labels(np.zeros((16, 270, 480), np.uint8), name="labels")
viewer.add_points(np.empty((0, 3)), ndim=3, name="points")
viewer.add_image(np.zeros((8, 270, 480, 3), np.uint8), rgb=True, name="another")
QTest.qWait(500)
for name in ("image", "labels", "points"):
    viewer.layers.remove(name)
    forget_vertex_arrays(viewer.window._qt_window)
QTest.qWait(1000)
print("alive", flush=True)
os._exit(0)
"""


def test_a_video_and_our_layers_removed_beside_another_video():
    done = subprocess.run([sys.executable, "-c", SEVERAL], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "alive" in done.stdout


def test_two_layers_removed_between_two_draws():
    """In a process of its own: without the guard, the driver takes it down."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "alive" in done.stdout
