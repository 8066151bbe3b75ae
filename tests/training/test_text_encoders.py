"""Embeddings of class names from text encoders on this machine. They are in one file, as transformers takes long to import."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from napari_sam2s.errors import TrainingError
from napari_sam2s.training.class_embeddings import embed_names


@pytest.mark.slow
def test_clip_embeddings_from_a_local_encoder(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz,."
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    (tmp_path / "vocab.json").write_text(json.dumps({w: n for n, w in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.CLIPTokenizerFast(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")).save_pretrained(tmp_path)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    settings = transformers.CLIPTextConfig(vocab_size=len(words), projection_dim=16, bos_token_id=0, eos_token_id=1, **sizes)
    transformers.CLIPTextModelWithProjection(settings).save_pretrained(tmp_path)
    vectors = embed_names(["grasper", "hook"], f"clip:{tmp_path}", 16)
    assert vectors.shape == (2, 16)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert abs(float(vectors[0] @ vectors[1])) < 0.999
    with pytest.raises(TrainingError, match="16 numbers"):
        embed_names(["grasper"], f"clip:{tmp_path}", 32)


@pytest.mark.parametrize("kind", ["clip", "sentences"])
def test_a_text_encoder_that_is_not_there(tmp_path, kind):
    pytest.importorskip("transformers")
    with pytest.raises(TrainingError, match=r"The text encoder of .* cannot be read"):
        embed_names(["hook"], f"{kind}:{tmp_path / 'missing'}", 16)
