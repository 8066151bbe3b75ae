"""What a person decided about uncertain links, applied to a converted subset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.datasets.subset_folder import META, REVIEW, write_json
from napari_sam2s.errors import DatasetError
from napari_sam2s.formats.davis import ANNOTATIONS, LARGEST_ID, LAYERS, davis_palette
from napari_sam2s.masklets.labels import label_image


def apply_review(folder: Path | str) -> tuple[int, int]:
    """Join objects that ``review.json`` calls the same; return how many were joined and how many are still undecided.

    A link whose ``same_as`` is the object itself is another object, and settled. Joined pairs that are on one frame together
    are refused before anything is changed.

    Raises
    ------
    DatasetError
        If the folder has no review, or a decision names an object that is not there or is on a frame with the other.
    """
    root = Path(folder)
    review, meta = _load(root / REVIEW), _load(root / META)
    decided: dict[str, dict[int, int]] = {}
    for link in review.get("links", []):
        if link.get("same_as") is not None:
            known = {int(i) for i in meta["videos"].get(link["video"], {}).get("objects", {})}
            if link["same_as"] not in known or link["object"] not in known:
                raise DatasetError(
                    f"{root / REVIEW}: {link['video']}, frame {link['frame']} says same_as {link['same_as']!r}; "
                    f"its objects are {sorted(known)}."
                )
            if link["same_as"] != link["object"]:
                decided.setdefault(link["video"], {})[link["object"]] = link["same_as"]
    resolved = {video: _resolve(root, video, pairs) for video, pairs in decided.items()}
    for video, pairs in resolved.items():
        _check_apart(root, video, pairs)
    for video, pairs in resolved.items():
        _join(root, video, pairs)
        for i in pairs:
            del meta["videos"][video]["objects"][str(i)]
        meta["videos"][video]["made"]["masklets"] -= len(pairs)
        if meta.get("made", {}).get("masklets") is not None:
            meta["made"]["masklets"] -= len(pairs)
    open_links = [link for link in review["links"] if link.get("same_as") is None]
    for link in open_links:
        pairs = resolved.get(link["video"], {})
        link["object"] = pairs.get(link["object"], link["object"])
        link["candidates"] = [{**c, "object": pairs.get(c["object"], c["object"])} for c in link["candidates"]]
    write_json(root / META, meta)
    settled = [link for link in review["links"] if link.get("same_as") is not None]
    write_json(root / REVIEW, {"links": open_links, "settled": review.get("settled", []) + settled})
    return sum(len(pairs) for pairs in resolved.values()), len(open_links)


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"There is no {path}: give the folder of a converted subset with uncertain links.") from error
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path} cannot be read ({error}).") from error
    return loaded


def _resolve(root: Path, video: str, pairs: Mapping[int, int]) -> dict[int, int]:
    """Follow chains, 9 is 5 and 5 is 2, to their ends."""
    ends = {}
    for start in pairs:
        end, seen = start, {start}
        while end in pairs:
            end = pairs[end]
            if end in seen:
                raise DatasetError(f"{root / REVIEW}: the decisions on object {start} of {video} go round in a circle.")
            seen.add(end)
        ends[start] = end
    return ends


def _check_apart(root: Path, video: str, pairs: Mapping[int, int]) -> None:
    layers = _layers(root, video)
    for path in _pictures(root, video):
        seen: dict[int, int] = {}
        for i in sorted({*_ids(path), *_ids_of_layers(layers, path.name)}):
            end = pairs.get(i, i)
            if end in seen:
                raise DatasetError(
                    f"{root / REVIEW}: the objects {seen[end]} and {i} of {video} are both on frame {int(path.stem)}, "
                    f"so they are not the same."
                )
            seen[end] = i


def _pictures(root: Path, video: str) -> list[Path]:
    return sorted((root / ANNOTATIONS / video).glob("*.png"))


def _layers(root: Path, video: str) -> dict[int, Path]:
    """Return the folders with a picture an object, by object: there are some where objects overlap or are more than 254."""
    folders = (root / LAYERS / video).glob("*")
    return {int(folder.name): folder for folder in sorted(folders) if folder.is_dir() and folder.name.isdigit()}


def _ids(path: Path) -> list[int]:
    return [int(i) for i in np.unique(_read(path)) if i]


def _ids_of_layers(layers: Mapping[int, Path], name: str) -> list[int]:
    """Return the objects that have pixels of their own in the picture of this name."""
    return [i for i, folder in layers.items() if (folder / name).is_file() and _read(folder / name).any()]


def _read(path: Path) -> NDArray[Any]:
    try:
        with Image.open(path) as picture:
            return np.array(picture)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error}).") from error


def _save(picture: Image.Image, path: Path) -> None:
    """Write a picture whole or not at all."""
    part = path.with_suffix(".part")
    picture.save(part, format="PNG")
    part.replace(path)


def _join(root: Path, video: str, pairs: Mapping[int, int]) -> None:
    if _layers(root, video):
        _join_layers(root, video, pairs)
        _draw_layers(root, video)
        return
    table = np.arange(256, dtype=np.uint8)
    table[list(pairs)] = list(pairs.values())
    for path in _pictures(root, video):
        _save(_palette_picture(table[_read(path)]), path)


def _palette_picture(labels: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette(davis_palette())
    return picture


def _join_layers(root: Path, video: str, pairs: Mapping[int, int]) -> None:
    for old, new in pairs.items():
        source = root / LAYERS / video / f"{old:03d}"
        if not source.is_dir():
            continue
        for path in sorted(source.glob("*.png")):
            other = root / LAYERS / video / f"{new:03d}" / path.name
            other.parent.mkdir(exist_ok=True)
            if other.is_file():
                _save(Image.fromarray((_read(path) > 0) | (_read(other) > 0)), other)
                path.unlink()
            else:
                path.rename(other)
        source.rmdir()


def _draw_layers(root: Path, video: str) -> None:
    """Draw the pictures of all objects anew from those of each, as far as a palette goes."""
    drawn = {i: folder for i, folder in _layers(root, video).items() if i <= LARGEST_ID}
    for path in _pictures(root, video):
        masks = {i: _read(folder / path.name) > 0 for i, folder in drawn.items() if (folder / path.name).is_file()}
        _save(_palette_picture(label_image(masks, (), _read(path).shape, np.uint8)), path)
