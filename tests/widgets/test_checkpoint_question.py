"""A checkpoint that does not fit is told in the widget, through the engine, and loaded only at the user's word."""

from __future__ import annotations

import torch

from napari_sam2s.model.checkpoints import WEIGHTS


def test_what_does_not_fit_is_told_and_decided_in_the_widget(user, tmp_path):
    weights = torch.load(WEIGHTS / "sam2s-nano.pt", weights_only=True)
    path = tmp_path / "slots.pt"
    averaged = {"ema": dict(weights["model"])}
    torch.save({**weights, **averaged, "model": {**weights["model"], "slots.a": torch.zeros(1)}}, path)
    panel = user.widget.model_panel
    panel._fill(str(path))
    panel._change()
    user.wait(lambda: panel.question.isVisibleTo(user.widget))
    assert "1 unknown: slots.a." in panel.question.words.text()
    assert "does not fit sam2s-nano" in user.widget.status.text()
    panel.question.accept_button.click()
    user.wait(lambda: "ready" in user.widget.status.text())
    assert "Left out, as you chose: 1 tensor is unknown (slots.a)." in user.widget.status.text()
    assert "also holds averaged weights (ema), not taken." in user.widget.status.text()
    assert not panel.question.isVisibleTo(user.widget)
    user.click(140, 240)
    user.settle()
    assert user.widget.session.project.mask(0, 1).any()
