"""Errors that are told apart by more than their class."""

from __future__ import annotations

import pytest
import torch

from napari_sam2s.errors import is_out_of_memory


def test_running_out_of_memory_is_known_on_every_device():
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(2**60, dtype=torch.uint8)  # what the CPU's allocator raises
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert not is_out_of_memory(RuntimeError("sizes do not match"))
