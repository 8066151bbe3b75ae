"""The built-in model with Segment Anything's head: what tracks stays, the head is MobileSAM's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import NANO_LITE
from research.convert_mobile_sam import PROVENANCE, convert, read
from research.start_segment_anything import start
from tests.model.mobile_sam_weights import shapes, weights_of


@pytest.mark.slow
def test_a_start_has_the_head_instead_of_its_own(tmp_path):
    torch.manual_seed(0)
    config = replace(NANO_LITE, image_size=64, interactive=True, prompt_likeness=8, match_unit=True, prompt_deep=True)
    network = SAM2S(config)
    torch.save({"model": network.state_dict(), "config": config.to_dict(), "sam2s": {}}, tmp_path / "nano.pt")
    head = convert(weights_of(shapes()))
    torch.save({"model": head, "sam2s": {"provenance": PROVENANCE}}, tmp_path / "head.pt")
    torch.save(start(str(tmp_path / "nano.pt"), tmp_path / "head.pt", 112), tmp_path / "start.pt")
    model = load_model(tmp_path / "start.pt", device="cpu")
    assert model.config == replace(config, prompt_likeness=0, prompt_deep=False, prompt_side=112)
    assert model.metadata["prompt_head"]["licence"] == "Apache-2.0"
    state = model.state_dict()
    assert all(torch.equal(state[f"interactive.{name}"], value) for name, value in head.items())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items() if "interactive" not in name)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "mobile_sam.pt").write_bytes(b"another file")
    with pytest.raises(TrainingError, match="is not the official"):
        read(tmp_path / "mobile_sam.pt")
