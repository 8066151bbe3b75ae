from qtpy.QtWidgets import QScrollArea, QWidget

from napari_sam2s.widgets.layout import lay_out


def test_the_scroll_bar_covers_nothing(qtbot):
    widget, page, foot = QWidget(), QWidget(), QWidget()
    qtbot.addWidget(widget)
    page.setMinimumSize(400, 900)
    lay_out(widget, page, below=(foot,))
    widget.resize(380, 300)
    widget.show()
    scroll = widget.findChild(QScrollArea)
    qtbot.waitUntil(scroll.verticalScrollBar().isVisible)
    qtbot.waitUntil(lambda: scroll.viewport().width() >= scroll.widget().minimumSizeHint().width() >= 400)
