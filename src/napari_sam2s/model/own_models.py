"""The user's own models: where they lie, what they are called, and at which input size they were trained.

What the user said once is kept in ``own_models.json`` beside the downloaded weights, by the SHA-256 of the file, so that it
holds when the file is moved.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from napari_sam2s.errors import ModelError
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.model.downloads import sha256_once, weights_folder, write_note
from napari_sam2s.model.model_registry import registry
from napari_sam2s.model.network_config import check_image_size, possible_size

FILE = "own_models.json"


@dataclass(frozen=True)
class OwnModel:
    """A checkpoint that the user has told us of."""

    name: str  # "" if only its input size was asked
    path: str
    sha256: str
    input_size: int | None = None


def own_models() -> dict[str, OwnModel]:
    """Return the models that were added, by name."""
    return {model.name: model for model in _read() if model.name}


def remembered_size(sha256: str) -> int | None:
    """Return the input size that the user has said of a file."""
    return next((m.input_size for m in reversed(_read()) if m.sha256 == sha256 and m.input_size), None)


def remember_size(path: Path, input_size: int) -> None:
    """Keep what the user says of a file. Raises :class:`ModelError` if the network cannot have that size."""
    check_image_size(input_size)
    digest = sha256_once(path)
    known = [model for model in _read() if model.sha256 == digest] or [OwnModel("", str(path.resolve()), digest)]
    _keep([replace(model, input_size=input_size) for model in known])


def add_model(path: Path, name: str = "", input_size: int | None = None) -> OwnModel:
    """Give a checkpoint a name that commands, the menu and :func:`napari_sam2s.load_model` know; the file stays where it is.

    Raises :class:`ModelError` if there is no such file, or the name or the size will not do.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path} to add.")
    name = name or default_name(path)
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ModelError(
            f"{name!r} cannot be the name of a model: take letters, digits, '-', '_', '.', a letter or digit first (--name)."
        )
    known, digest = registry().get(name), sha256_once(path)
    if known is not None:
        if known.built_in or (known.pinned and known.sha256 != digest):
            raise ModelError(f"{path} is not the published {name}: give it another name with --name.")
        input_size = known.input_size if input_size is None else input_size
    if input_size is not None:
        check_image_size(input_size)
    model = OwnModel(name, str(path.resolve()), digest, input_size or remembered_size(digest))
    _keep([model])
    return model


def default_name(path: Path) -> str:
    """Return the name of a file's model, unless another is given: that of the file, without what no such name can have."""
    return re.sub(r"[^\w.+-]+", "-", path.stem).strip("-.+") or path.stem


def own_weights(model: OwnModel) -> Path:
    """Return the file of a model that was added. Raises :class:`ModelError` if it has gone, or has changed."""
    path = Path(model.path)
    if not path.is_file():
        raise ModelError(
            f"{model.name} was at {path} and is no longer there: run `napari-sam2s models add FILE --name {model.name}` again."
        )
    if sha256_once(path) != model.sha256:
        raise ModelError(
            f"{path} has changed since it was added as {model.name}. If you changed it, run "
            f"`napari-sam2s models add {quoted(path)} --name {model.name}` again."
        )
    return path


def _place() -> Path:
    return weights_folder() / FILE


def _read() -> list[OwnModel]:
    place = _place()
    if not place.is_file():
        return []
    try:
        found = [OwnModel(**row) for row in json.loads(place.read_bytes())]
        if not all(_whole(model) for model in found):
            raise ValueError("a model without its name, path, SHA-256 or size")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{place} cannot be read ({error}): delete it, then add your models again.") from error
    return found


def _whole(model: OwnModel) -> bool:
    texts = all(isinstance(value, str) for value in (model.name, model.path, model.sha256))
    return texts and (model.input_size is None or possible_size(model.input_size))


def _keep(models: list[OwnModel]) -> None:
    """Write models down in the place of those of the same name or, without one, of the same file."""
    place = _place()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            new = {(m.name, m.name or m.sha256) for m in models}
            kept = [m for m in _read() if (m.name, m.name or m.sha256) not in new]
            write_note(place, json.dumps([asdict(m) for m in (*kept, *models)], indent=1))
    except OSError as error:
        raise ModelError(
            f"{place} cannot be written ({error.strerror or error}): make room, or name another folder in SAM2S_MODEL_DIR."
        ) from error
