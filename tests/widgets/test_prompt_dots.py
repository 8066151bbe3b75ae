"""How large clicks are drawn: an object of 15 pixels must be seen behind them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.masklets import Prompt
from napari_sam2s.widgets.layer_factory import make_prompts_layer, show_prompts


@pytest.mark.parametrize("zoom", [1.0, 8.0])
def test_a_click_stays_small_on_the_screen(make_napari_viewer, zoom):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(np.zeros((3, 512, 512), np.uint8))
    dots = make_prompts_layer(image)
    viewer.add_layer(dots)
    show_prompts(dots, [Prompt(1, 0, ((256.0, 256.0),), (1,))])
    viewer.dims.set_point(0, 0)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 256, 256), zoom
    shown = viewer.screenshot(flash=False)[..., :3].max(axis=-1) > 60
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    assert 6 <= np.ptp(rows) + 1 <= 15
    assert 6 <= np.ptp(columns) + 1 <= 15
