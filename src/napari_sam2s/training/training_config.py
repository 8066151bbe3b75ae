"""A training run as one small readable TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from napari_sam2s.errors import TrainingError
from napari_sam2s.evaluation.clicks import PROMPTS
from napari_sam2s.model.network_config import CONFIGS

STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # "2" and true are no numbers, 2 is one with a point
WANTED: dict[Any, str] = {  # of a setting, in words
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple[str, ...]: "a list of texts",
    dict[str, float]: "a table of numbers",
}
AUGMENTATIONS, PRECISIONS = ("light", "sam2"), ("float32", "tfloat32", "bfloat16")


@dataclass(frozen=True)
class Stage:
    """A part of the run with its own clips and learning rate."""

    name: str
    steps: int
    frames: int  # of a clip; 1 teaches interactive segmentation of images
    batch: int  # clips
    learning_rate: float
    divemem: float = 0.5  # share of clips drawn as DiveMem, the others as vanilla
    images: float = 0.2  # share of steps with single images
    encoder_rate: float = 1.0  # factor on the image encoder's learning rate
    corrections: int = 1  # clicks on the first frame, after the first prompt
    later_corrections: float = 0.0  # share of clips on one of whose tracked frames a click corrects every object
    mask_share: float = 0.5
    accumulate: int = 1  # batches whose gradients make one step, on each process


@dataclass(frozen=True)
class Validation:
    """When and on what the moving average is judged; the best one becomes ``best.pt``."""

    every: int  # steps
    cases: int  # of each family
    families: tuple[str, ...] = ("laparoscopy",)  # see training/validation_cases.py; "recorded" is --validation
    prompt: str = "mask"
    longest: int = 60  # frames of a procedural case


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a run, but the material's place on this machine."""

    model: str
    seed: int
    image_size: int
    max_objects: int
    weight_decay: float
    clip_gradient: float
    warmup_steps: int
    ema: float
    loss_stride: int
    families: dict[str, float]  # share of the clips each family of videos gives
    stages: tuple[Stage, ...]
    cuts: float = 0.0  # share of clips that show something else for a while
    departures: float = 0.0  # share of the moving objects of composites that leave the picture for a while
    occlusion_weight: float = 1.0  # of the object score's loss; the paper's is 1
    samples: int = 1  # drawn from each video of a batch: drawing videos costs more than using them, where a GPU waits
    class_names: tuple[str, ...] = ()  # that TSL learns
    text_embeddings: str = "fixed"  # see training/text.py
    init: str = ""  # a checkpoint to start from
    trunk: str = ""  # "efficientnet_lite": give sam2s-nano a pretrained trunk, where the checkpoint to start from has none
    new_parts: tuple[str, ...] = ()  # whose tensors that checkpoint may lack or have in other shapes, by how their names begin
    trunk_rate: float = 1.0  # factor on the learning rate of a pretrained trunk; 0 freezes it
    long_term: bool = False  # give the network SAM2S's long-term embedding, if it has none
    semantic: bool = False  # give the network SAM2S's class token, if it has none
    interactive: bool = False  # give the network a head of its own for first prompts, if it has none
    interactive_init: str = ""  # a checkpoint whose encoder and decoder that head starts from; by default the network's own
    parts: tuple[str, ...] = ()  # that learn, by the beginning of their weights' names; the rest stays as it is. All by default
    augmentation: str = "light"  # or "sam2": see training/augment.py
    precision: str = "float32"  # or "tfloat32": products of 10 bits, on GPUs that have it; or "bfloat16": mixed
    layer_decay: float = 1.0  # of the learning rate, from each block of a Hiera trunk to the one before
    new_rate: float = 1.0  # factor on the learning rate of what SAM2S adds to SAM 2
    unknown_classes: str = "error"  # or "ignore": classes in recorded data that are neither in class_names nor tissue
    label_jitter: int = 0  # pixels by which masks are grown or shrunk at random; for ablations
    arl: bool = True  # False is SAM 2's focal loss on hard masks; for ablations
    tsl: bool = True  # False leaves the class token untaught; for ablations
    validation: Validation | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, for a checkpoint's provenance."""
        return asdict(self)


def read_config(path: Path) -> TrainingConfig:
    """Read and check a configuration.

    Raises :class:`TrainingError` (naming the setting that is missing, unknown or out of range).
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TrainingError(f"There is no configuration at {path}.") from error
    except OSError as error:
        raise TrainingError(f"The configuration {path} cannot be read ({error.strerror}): give a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} is not valid TOML: {error}.") from error
    stages = data.pop("stages", [])
    if not stages or not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise TrainingError(f"{path} has no [[stages]]: a run needs at least one.")
    if "validation" in data:
        if not isinstance(data["validation"], dict):
            raise TrainingError(f"{path}: validation is a table: write [validation], with every and cases below it.")
        data["validation"] = _make(Validation, data["validation"], path)
    config = _make(TrainingConfig, {**data, "stages": tuple(_make(Stage, s, path) for s in stages)}, path)
    _check(config, path)
    return config


def _make(cls: Any, data: dict[str, Any], path: Path) -> Any:
    known = {field.name: field for field in fields(cls)}
    if unknown := sorted(set(data) - set(known)):
        raise TrainingError(f"{path}: unknown setting {unknown[0]!r}; {cls.__name__} knows {', '.join(known)}.")
    data = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    hints = get_type_hints(cls)
    for name, value in data.items():
        if wanted := _misfit(value, hints[name]):
            raise TrainingError(f"{path}: {name} = {value!r} in {cls.__name__} is not {wanted}.")
    required = [name for name, field in known.items() if field.default is MISSING and field.default_factory is MISSING]
    if lacking := [name for name in required if name not in data]:
        raise TrainingError(f"{path} lacks {', '.join(lacking)} of {cls.__name__}: copy configs/finetune.toml and change that.")
    return cls(**data)


def _misfit(value: Any, hint: Any) -> str:
    """Say what a setting should be, "" if it is that."""
    try:
        TypeAdapter(hint, config=STRICT).validate_python(value)
    except ValidationError:
        return WANTED[hint]
    return ""


def _check(config: TrainingConfig, path: Path) -> None:
    problems = {
        f"model {config.model!r} is not one of {', '.join(CONFIGS)}": config.model not in CONFIGS,
        "the shares of families must be positive and at least one": not config.families or min(config.families.values()) <= 0,
        "image_size must be a multiple of 32 from 64 on": config.image_size < 64 or config.image_size % 32 != 0,
        "seed, label_jitter, weight_decay and warmup_steps must be at least 0": (
            min(config.seed, config.label_jitter, config.weight_decay, config.warmup_steps) < 0
        ),
        "clip_gradient must be above 0": config.clip_gradient <= 0,
        "loss_stride must be at least 1": config.loss_stride < 1,
        "class_names has a name twice": len(set(config.class_names)) < len(config.class_names),
        "trunk can only be 'efficientnet_lite', and only in sam2s-nano": bool(config.trunk)
        and (config.trunk, config.model) != ("efficientnet_lite", "sam2s-nano"),
        "trunk_rate must be at least 0": config.trunk_rate < 0,
        "only sam2s-nano can have an interactive head": config.interactive and config.model != "sam2s-nano",
        "interactive_init needs interactive = true": bool(config.interactive_init) and not config.interactive,
        "max_objects and samples must be at least 1": min(config.max_objects, config.samples) < 1,
        "cuts and departures must lie in [0, 1]": not (0 <= config.cuts <= 1 and 0 <= config.departures <= 1),
        "occlusion_weight must be at least 0": config.occlusion_weight < 0,
        "ema must lie in [0, 1)": not 0 <= config.ema < 1,
        f"augmentation {config.augmentation!r} is not one of {', '.join(AUGMENTATIONS)}": config.augmentation
        not in AUGMENTATIONS,
        f"precision {config.precision!r} is not one of {', '.join(PRECISIONS)}": config.precision not in PRECISIONS,
        f"unknown_classes {config.unknown_classes!r} is not 'error' or 'ignore'": (
            config.unknown_classes not in ("error", "ignore")
        ),
        "layer_decay must lie in (0, 1], and new_rate above 0": not 0 < config.layer_decay <= 1 or config.new_rate <= 0,
    }
    for stage in config.stages:
        problems[f"stage {stage.name!r} needs steps, frames, batch, accumulate and learning_rate above 0"] = (
            min(stage.steps, stage.frames, stage.batch, stage.accumulate, stage.learning_rate) <= 0
        )
        shares = {name: getattr(stage, name) for name in ("divemem", "images", "mask_share", "later_corrections")}
        for name, share in shares.items():
            problems[f"stage {stage.name!r}: {name} must lie in [0, 1]"] = not 0 <= share <= 1
        problems[f"stage {stage.name!r}: corrections and encoder_rate must be at least 0"] = (
            min(stage.corrections, stage.encoder_rate) < 0
        )
    if (v := config.validation) is not None:
        problems["[validation] needs every and cases above 0, and a family"] = min(v.every, v.cases) <= 0 or not v.families
        problems[f"[validation] prompt {v.prompt!r} is not one of {', '.join(PROMPTS)}"] = v.prompt not in PROMPTS
    for sentence, wrong in problems.items():
        if wrong:
            raise TrainingError(f"{path}: {sentence}.")
