"""What a person decided about uncertain links, applied to a converted subset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from napari_sam2s.datasets.json_files import read_json, write_json
from napari_sam2s.datasets.link_file import REVIEW, LinkFile
from napari_sam2s.errors import DatasetError
from napari_sam2s.formats.atomic_write import whole_file
from napari_sam2s.formats.davis_layout import ANNOTATIONS, LARGEST_ID, LAYERS, META, layer_folders, palette_picture, read_mask
from napari_sam2s.masklets.overlaps import label_image


def apply_review(folder: Path | str) -> tuple[int, int]:
    """Join objects that ``review.json`` calls the same; return how many were joined and how many are still undecided.

    A link whose ``same_as`` is the object itself is another object, and settled. Joined pairs that are on one frame together
    are refused before anything is changed.

    Raises :class:`DatasetError` if the folder has no review, or a decision names an object that is not there or is on a
    frame with the other.
    """
    root = Path(folder)
    links, meta = LinkFile(root), read_json(root / META, damaged="convert again into another folder")
    decided = [entry for entry in links.entries if entry.get("same_as") is not None]
    pairs_of: dict[str, dict[int, int]] = {}
    for entry in decided:
        links.check(entry, sorted(int(i) for i in meta["videos"].get(entry["video"], {}).get("objects", {})))
        if entry["same_as"] != entry["object"]:
            pairs_of.setdefault(entry["video"], {})[entry["object"]] = entry["same_as"]
    resolved = {video: _resolve(root, video, pairs) for video, pairs in pairs_of.items()}
    for video, pairs in resolved.items():
        _check_apart(root, video, pairs)
    for video, pairs in resolved.items():
        _join(root, video, pairs)
        for i in pairs:
            del meta["videos"][video]["objects"][str(i)]
        meta["videos"][video]["made"]["masklets"] -= len(pairs)
        if meta.get("made", {}).get("masklets") is not None:
            meta["made"]["masklets"] -= len(pairs)
    links.entries = [entry for entry in links.entries if entry.get("same_as") is None]
    for entry in links.entries:
        pairs = resolved.get(entry["video"], {})
        entry["object"] = pairs.get(entry["object"], entry["object"])
        entry["candidates"] = [{**c, "object": pairs.get(c["object"], c["object"])} for c in entry["candidates"]]
    links.settled += decided
    write_json(root / META, meta)
    links.save()
    return sum(len(pairs) for pairs in resolved.values()), len(links.entries)


def _resolve(root: Path, video: str, pairs: Mapping[int, int]) -> dict[int, int]:
    """Follow chains, 9 is 5 and 5 is 2, to their ends."""
    ends = {}
    for start in pairs:
        end, seen = start, {start}
        while end in pairs:
            end = pairs[end]
            if end in seen:
                raise DatasetError(
                    f"{root / REVIEW}: the decisions on object {start} of {video} form a circle: correct them in that file."
                )
            seen.add(end)
        ends[start] = end
    return ends


def _check_apart(root: Path, video: str, pairs: Mapping[int, int]) -> None:
    layers = layer_folders(root, video)
    for path in _pictures(root, video):
        seen: dict[int, int] = {}
        for i in sorted({*_ids(path), *_ids_of_layers(layers, path.name)}):
            end = pairs.get(i, i)
            if end in seen:
                raise DatasetError(
                    f"{root / REVIEW}: the objects {seen[end]} and {i} of {video} are both on frame {int(path.stem)}, "
                    f"so they cannot be the same: correct same_as."
                )
            seen[end] = i


def _pictures(root: Path, video: str) -> list[Path]:
    return sorted((root / ANNOTATIONS / video).glob("*.png"))


def _ids(path: Path) -> list[int]:
    return [int(i) for i in np.unique(read_mask(path)) if i]


def _ids_of_layers(layers: Mapping[int, Path], name: str) -> list[int]:
    """Return the objects that have pixels of their own in the picture of this name."""
    return [i for i, folder in layers.items() if (folder / name).is_file() and read_mask(folder / name).any()]


def _save(picture: Image.Image, path: Path) -> None:
    with whole_file(path) as part:
        picture.save(part, format="PNG")


def _join(root: Path, video: str, pairs: Mapping[int, int]) -> None:
    if layer_folders(root, video):
        _join_layers(root, video, pairs)
        _draw_layers(root, video)
        return
    table = np.arange(256, dtype=np.uint8)
    table[list(pairs)] = list(pairs.values())
    for path in _pictures(root, video):
        _save(palette_picture(table[read_mask(path)]), path)


def _join_layers(root: Path, video: str, pairs: Mapping[int, int]) -> None:
    for old, new in pairs.items():
        source = root / LAYERS / video / f"{old:03d}"
        if not source.is_dir():
            continue
        for path in sorted(source.glob("*.png")):
            other = root / LAYERS / video / f"{new:03d}" / path.name
            other.parent.mkdir(exist_ok=True)
            if other.is_file():
                _save(Image.fromarray((read_mask(path) > 0) | (read_mask(other) > 0)), other)
                path.unlink()
            else:
                path.rename(other)
        source.rmdir()


def _draw_layers(root: Path, video: str) -> None:
    """Draw the pictures of all objects anew from those of each, as far as a palette goes."""
    drawn = {i: folder for i, folder in layer_folders(root, video).items() if i <= LARGEST_ID}
    for path in _pictures(root, video):
        masks = {i: read_mask(folder / path.name) > 0 for i, folder in drawn.items() if (folder / path.name).is_file()}
        _save(palette_picture(label_image(masks, (), read_mask(path).shape, np.uint8)), path)
