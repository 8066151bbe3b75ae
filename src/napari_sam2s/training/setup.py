"""Setting up a run from its configuration: model, videos, classes."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from napari_sam2s.errors import FormatError, TrainingError
from napari_sam2s.formats.atomic_write import check_writable
from napari_sam2s.model.checkpoint_file import some
from napari_sam2s.model.checkpoint_fit import check_finite
from napari_sam2s.model.checkpoints import choose_device, read_checkpoint, unchanged_weights
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, NANO_LITE, ModelConfig
from napari_sam2s.model.segment_anything import SegmentAnythingHead
from napari_sam2s.training.class_embeddings import add_names, embed_names
from napari_sam2s.training.clip_families import Cells, Procedural, Recorded
from napari_sam2s.training.data import Family, StepDataset
from napari_sam2s.training.loop import TrainingRun
from napari_sam2s.training.optimizer import PRETRAINED
from napari_sam2s.training.training_config import TrainingConfig, read_config
from napari_sam2s.training.validation_run import MakeCases, make_validator
from napari_sam2s.wording import counted

ADDED = ("semantic.", "long_tpos_enc", "matching.", "match", "interactive.")  # parts a checkpoint to start from may lack
SEEN_MUCH = "interactive.encoder."  # of Segment Anything
HEAD = (
    "prompt_likeness",
    "prompt_unit",
    "prompt_deep",
    "prompt_side",
    "outline_side",
)  # what a head for first prompts may have
TISSUES = (  # of SA-SV (paper, Fig. 1): classes without a text embedding of their own
    *("uterus", "liver", "fat", "abdominal wall", "polyp", "gastrointestinal tract", "gallbladder", "connective tissue"),
    *("spleen", "liver ligament", "hepatic vein", "colon", "kidney parenchyma", "covered kidney", "small intestine"),
    *("cystic duct", "tissue"),
)


def start(
    config_path: Path,
    folder: Path,
    *,
    recorded: Sequence[Path] = (),
    threads: int | None = None,
    validation: Sequence[Path] = (),
    device: str = "auto",
    families: Mapping[str, Family] | None = None,
    cases: Mapping[str, MakeCases] | None = None,
) -> tuple[TrainingRun, StepDataset]:
    """Make a run and its dataset; the run resumes where its folder says it stopped.

    Parameters
    ----------
    config_path
        A TOML file, see :class:`TrainingConfig`.
    folder
        Of the run.
    recorded
        Of the family ``recorded``: projects and DAVIS roots.
    threads
        Of torch, in this process; ``None`` leaves its own choice.
    validation
        Of the validation family ``recorded``: projects and DAVIS roots that are not trained on.
    device
        See :func:`load_model`; under ``accelerate launch`` each process has its own.
    families, cases
        What clips are drawn from, and what is judged on, by names that a configuration may use beside those known here.

    Raises
    ------
    TrainingError
        If the configuration is wrong, a family has nothing to draw from, or the folder holds another run.
    """
    config = read_config(config_path)
    check_given("data", recorded, "recorded", config.families, "learned from")
    check_given("validation", validation, "recorded", config.validation.families if config.validation else (), "judged on")
    try:
        check_writable(folder)
    except FormatError as error:
        raise TrainingError(f"{error} Name it with --out.") from error
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    accelerator = _accelerator()
    model, history = _model(config)
    makers: dict[str, Family] = {"laparoscopy": Procedural(config.image_size), "cells": Cells(config.image_size)}
    makers |= families or {}
    if "recorded" in config.families and recorded:
        makers["recorded"] = Recorded(recorded, config.image_size)
    _name_classes(model, config)
    run = TrainingRun(config, model.to(accelerator.device if accelerator else choose_device(device)), folder, accelerator)
    run.history = history
    if isinstance(real := makers.get("recorded"), Recorded):
        if config.unknown_classes == "error" and model.class_names:
            _check_classes(real, model.class_names)
        run.recordings = [f"{clip.name}: {len(clip)} frames of {len(clip.objects)} objects" for clip in real.clips]
    if run.main:
        run.validator = make_validator(config, validation, cases)
    run.resume()
    return run, StepDataset(config, {n: makers[n] for n in config.families if n in makers}, model.class_names)


def check_given(option: str, paths: Sequence[Path], family: str, wanted: Collection[str], use: str) -> None:
    """Say that something is not there, or that a configuration does not use it.

    Raises :class:`TrainingError` if one of the paths that ``--option`` names is not there.
    """
    for path in paths:
        if not path.exists():
            raise TrainingError(f"--{option}: there is no {path}.")
    if paths and family not in wanted:
        table = "[families]" if use == "learned from" else "[validation]"
        warnings.warn(f"--{option} is not used, because {table} of the configuration has no {family!r}.", stacklevel=3)


def _name_classes(model: SAM2S, config: TrainingConfig) -> None:
    """Give the network the classes of a configuration that it does not know yet; its own keep their embeddings."""
    semantic = model.semantic
    more = [name for name in config.class_names if name not in model.class_names]
    if semantic is None or not more:
        return
    if not model.class_names:
        semantic.set_classes(more, embed_names(more, config.text_embeddings, model.config.text_dim))
        return
    names = list(model.class_names)
    semantic.set_classes([*names, *more], add_names(names, semantic.text_embeddings, more, config.text_embeddings))


def _accelerator() -> Any:
    """Return accelerate's, where this process is one of several (``accelerate launch``, ``torchrun``); else ``None``."""
    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    if wanted < 2:
        return None
    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
    except ImportError as error:
        raise TrainingError("Several processes need accelerate: pip install 'napari-sam2s[train]'.") from error
    # Steps of single images leave the memory's parameters without gradients. On CPUs accelerate shares nothing unasked, and
    # each process would train by itself.
    # They wait for the one that validates, which may take hours; of one that dies the launcher tells at once.
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True), InitProcessGroupKwargs(timeout=timedelta(days=1))]
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=handlers)
    if accelerator.num_processes != wanted:
        raise TrainingError(
            f"{counted(wanted, 'process was', 'processes were')} started, but accelerate found {accelerator.num_processes}:"
            " each would train alone. Start them with `accelerate launch`, which asks what hardware this machine has."
        )
    return accelerator


def _check_classes(recorded: Recorded, names: Sequence[str]) -> None:
    known = {*names, *TISSUES}
    for clip in recorded.clips:
        for o in clip.objects:
            if o.class_name is not None and o.class_name not in known:
                raise TrainingError(
                    f"{clip.name} has an object of the unknown class {o.class_name!r}: correct it, add it to class_names "
                    '(it gets an embedding as text_embeddings says), or set unknown_classes = "ignore".'
                )


def _model(config: TrainingConfig) -> tuple[SAM2S, list[dict[str, Any]]]:
    """Return the network to train, and the provenance of the checkpoint it starts from, the oldest first."""
    wanted = NANO_LITE if config.trunk else CONFIGS[config.model]
    wanted = replace(wanted, long_term=wanted.long_term or config.long_term, semantic=wanted.semantic or config.semantic)
    if not config.init:
        return _chosen(SAM2S(replace(wanted, interactive=config.interactive)), config), []
    with unchanged_weights(config.init) as path:
        weights, own, metadata = read_checkpoint(path)
    check_finite(weights, path)
    interactive = config.interactive or (own is not None and own.interactive)
    model = SAM2S(replace(_of_checkpoint(wanted, own), interactive=interactive))
    shapes = {n: p.shape for n, p in model.state_dict().items()}
    weights = {n: w for n, w in weights.items() if not n.startswith(config.new_parts) or shapes.get(n) == w.shape}
    wrong = [n for n, w in weights.items() if n not in shapes or shapes[n] != w.shape]
    if wrong:
        differ = "differs" if len(wrong) == 1 else "differ"
        raise TrainingError(f"{config.init} does not fit {config.model}: {some(wrong)} {differ}.")
    missing = [n for n in shapes if n not in weights and not n.startswith((*ADDED, *config.new_parts))]
    if missing:
        raise TrainingError(f"{config.init} lacks {some(missing)} of {config.model}.")
    model.load_state_dict(weights, strict=False)  # what SAM2S adds to SAM 2 starts as it is initialised
    if model.long_tpos_enc is not None and "long_tpos_enc" not in weights:
        with torch.no_grad():  # a long-term memory starts as what it is to SAM 2: a conditioning one
            model.long_tpos_enc.copy_(model.maskmem_tpos_enc[-1:])
    head = _start_head(model, config, any(n.startswith("interactive.") for n in weights))
    if "policy" in metadata:  # which validation, and what uses the result, then track with
        model.metadata["policy"] = metadata["policy"]
    if model.semantic is not None and "class_names" in metadata:
        model.semantic.set_classes(metadata["class_names"], metadata["text_embeddings"].float())
    earlier = json.loads(json.dumps(metadata.get("provenance", {}), default=str))
    history = earlier.pop("history", []) + ([earlier] if earlier else []) + head
    return _chosen(model, config), history


def _of_checkpoint(wanted: ModelConfig, own: ModelConfig | None) -> ModelConfig:
    """Return the architecture that is wanted, with the trunk, the head and the edges of a checkpoint to start from, if any."""
    if own is None or own.name != wanted.name:
        return wanted
    kept = ["edge_radius"]
    if own.match_pretrained:
        kept += ["trunk", "match_dim", "match_pretrained", "match_unit", "interactive", *HEAD]
    return replace(wanted, **{name: getattr(own, name) for name in kept})


def _start_head(model: SAM2S, config: TrainingConfig, known: bool) -> list[dict[str, Any]]:
    """Give the interactive head its first weights, unless they are known; return where they come from, if from elsewhere."""
    if model.interactive is None or (known and not config.interactive_init):
        return []
    source = config.interactive_init or config.init
    if isinstance(model.interactive, SegmentAnythingHead):
        raise TrainingError(f"The head for first prompts of {config.init} is Segment Anything's: leave out interactive_init.")
    with unchanged_weights(source) as path:
        weights, _, metadata = read_checkpoint(path)
    try:
        model.interactive.start_from(weights)
    except (KeyError, RuntimeError) as error:
        raise TrainingError(
            f"{source} is not a checkpoint of {config.model}, so the interactive head cannot start from it."
        ) from error
    provenance = json.loads(json.dumps(metadata.get("provenance", {}), default=str))
    provenance.pop("history", None)
    return [{**provenance, "of": "interactive"}] if config.interactive_init and provenance else []


def _chosen(model: SAM2S, config: TrainingConfig) -> SAM2S:
    """Let those parts learn that a configuration names.

    Segment Anything's encoder learns only where it is named: it has seen eleven million pictures, and costs most of a step.
    """
    names = [name for name, _ in model.named_parameters()]
    for part in config.parts:
        if not any(name.startswith(part) for name in names):
            raise TrainingError(
                f"parts names {part!r}, but no weight of this network begins like that: {', '.join(names[:3])} ..."
            )
    for name, parameter in model.named_parameters():
        frozen = config.trunk_rate == 0 and name.startswith(PRETRAINED)
        frozen = frozen or (name.startswith(SEEN_MUCH) and not any(part.startswith(SEEN_MUCH) for part in config.parts))
        parameter.requires_grad_(not frozen and (not config.parts or name.startswith(config.parts)))
    return model
