import subprocess
import sys

SCRIPT = """
import numpy as np, napari
from qtpy.QtWidgets import QApplication
from napari_sam2s.widgets.canvas_guard import forget_vertex_arrays

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


def test_two_layers_removed_between_two_draws():
    """In a process of its own: without the guard, the driver takes it down."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "alive" in done.stdout
