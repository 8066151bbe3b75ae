"""Files that are dropped on a dock; the drag itself is walked in ``tests/hands``."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent

COPY, BUTTONS, MODIFIERS = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def test_a_file_is_opened_and_words_are_left_to_others(user, tmp_path):
    labels = np.zeros((len(user.widget.session.video), 270, 480), np.int32)
    labels[:, 100:150, 200:300] = 3
    np.save(tmp_path / "cells.npy", labels)
    drops = [child for child in user.widget.children() if type(child).__name__ == "FileDrops"]
    file, words = QMimeData(), QMimeData()
    file.setUrls([QUrl.fromLocalFile(str(tmp_path / "cells.npy"))])
    words.setText("cells")
    enter = QDragEnterEvent(QPoint(5, 5), COPY, file, BUTTONS, MODIFIERS)
    assert drops[0].eventFilter(user.widget, enter)
    assert enter.isAccepted()
    assert not drops[0].eventFilter(user.widget, QDragEnterEvent(QPoint(5, 5), COPY, words, BUTTONS, MODIFIERS))
    assert drops[0].eventFilter(user.widget, QDropEvent(QPointF(5, 5), COPY, file, BUTTONS, MODIFIERS))
    np.testing.assert_array_equal(user.viewer.layers["cells"].data, labels)
    assert user.widget.status.text() == "cells holds masks. 'From layer' makes prompts of them."
    user.viewer.add_labels(np.zeros((270, 480), np.int32), name="empty")
    assert "empty" not in user.widget.status.text()
