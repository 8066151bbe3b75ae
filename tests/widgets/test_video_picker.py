"""Which layer the widget takes as its video, and what it says of one that it refuses."""

import numpy as np


def test_a_picture_that_is_no_video_is_refused_once(user):
    viewer, said = user.viewer, []
    viewer.layers.clear()
    user.wait(lambda: user.widget.session.worker is None)
    user.qtbot.wait(50)
    user.widget.session.trouble.connect(said.append)
    viewer.add_image(np.zeros((64, 64)), name="one")
    assert [text.split(".")[0] for text in said] == ["'one' is a single picture"]
