"""How the masks of a project came about: as a record to repeat them by, a paragraph for a paper, and BibTeX."""

from __future__ import annotations

import hashlib
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import numpy as np

from napari_sam2s import __version__
from napari_sam2s.formats.coco_rle import encode_rle
from napari_sam2s.formats.object_facts import facts_of_objects
from napari_sam2s.formats.phase_table import facts_of_phases
from napari_sam2s.masklets import Project, Prompt, rle
from napari_sam2s.wording import counted

PACKAGES = ("numpy", "torch", "napari", "dask", "distributed", "imageio-ffmpeg", "scikit-image", "tifffile", "zarr")
ORIGINS = {
    "propagated": "were propagated by the model",
    "prompted": "answer prompts",
    "painted": "were painted by hand",
    "imported": "were imported",
    "interpolated": "were interpolated",
}


def methods_record(project: Project) -> dict[str, Any]:
    """Return all that the masks of a project depend on, as plain data for JSON.

    ``masks_sha256`` is of all masks: whoever repeats the steps and gets the same has the same result.
    """
    count, height, width = project.shape
    counts, digest = _masks(project)
    return {
        "napari_sam2s": __version__,
        "written_on": {"python": platform.python_version(), "system": platform.platform(), "packages": _versions()},
        "video": {
            **{"name": None if project.video.path is None else project.video.path.name, "frames": count},
            **{"height": height, "width": width, "fps": project.fps, "stream": project.video.stream},
            "fingerprint": project.video.fingerprint,
        },
        "objects": facts_of_objects(project.objects),
        "phases": facts_of_phases(project),
        "prompts": [_prompt(prompt, (height, width)) for prompt in project.prompts()],
        "runs": [
            {
                **{"id": run.id, "status": run.status, "started": run.started, "seconds": run.seconds},
                **{"direction": run.direction, "start_frame": run.start_frame, "stop_frame": run.stop_frame},
                "settings": dict(run.provenance),
            }
            for run in project.runs
        ],
        "edits": [{"step": label, "undone": undone} for label, undone in project.history.steps],
        "masks": counts,
        "masks_sha256": digest,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _prompt(prompt: Prompt, size: tuple[int, int]) -> dict[str, Any]:
    return {
        **{"object": prompt.object_id, "frame": prompt.frame, "points_yx": prompt.points, "labels": prompt.labels},
        **{"box_y0x0y1x1": prompt.box, "mask": None if prompt.mask is None else encode_rle(rle.encode(prompt.mask), size)},
    }


def _masks(project: Project) -> tuple[dict[str, Any], str]:
    """Return how many masks come from where, and a digest of them all that does not depend on how they are packed."""
    origins: Counter[str] = Counter()
    confirmed = absent = 0
    digest = hashlib.sha256()
    for frame in project.frames:
        for entry in project.masks.entries(frame):
            mask = entry.mask
            origins[entry.origin or "unknown"] += 1
            confirmed += entry.confirmed
            absent += mask.area == 0
            head = (frame, entry.object_id, mask.y0, mask.x0, mask.height, mask.width)
            runs = rle.runs_of(mask).astype("<i8").tobytes()  # first: it refuses what is damaged
            digest.update(np.array(head, "<i8").tobytes() + runs)
    counts = {
        "all": origins.total(),
        "absent": int(absent),
        "confirmed": int(confirmed),
        "origins": dict(sorted(origins.items())),
    }
    return counts, digest.hexdigest()


def methods_paragraph(record: Mapping[str, Any]) -> str:
    """Return a paragraph for the methods of a paper, of what :func:`methods_record` says."""
    video, masks = record["video"], record["masks"]
    rate = f" at {video['fps']:.4g} frames per second" if video["fps"] else ""
    classes = Counter(o["class"] or "without a class" for o in record["objects"])
    listed = ", ".join(f"{n} {name}" for name, n in sorted(classes.items()))
    tracked = any(run["status"] != "undone" for run in record["runs"])
    sentences = [
        f"Objects were {'segmented and tracked' if tracked else 'annotated'} in a video of {counted(video['frames'], 'frame')} "
        f"({video['width']} × {video['height']} pixels{rate}) with napari-sam2s {record['napari_sam2s']}, which implements "
        "SAM2S, an extension of SAM 2.",
        f"There {'is' if len(record['objects']) == 1 else 'are'} {counted(len(record['objects']), 'object')} ({listed})."
        if record["objects"]
        else "There is no object.",
        *_about_prompts(record["prompts"]),
        *_about_runs(record["runs"]),
    ]
    if masks["all"]:
        shares = [
            f"{n} ({100 * n / masks['all']:.1f} %) {ORIGINS.get(o, 'are of unknown origin')}"
            for o, n in masks["origins"].items()
        ]
        sentences.append(
            f"Of {counted(masks['all'], 'mask')}, {', '.join(shares)}. {counted(masks['absent'], 'mask')} "
            f"{'marks' if masks['absent'] == 1 else 'mark'} an object as absent. A person confirmed "
            f"{counted(masks['confirmed'], 'mask')}."
        )
    else:
        sentences.append("No object has a mask.")
    edits = Counter(edit["step"].split(" ")[0] for edit in record["edits"] if not edit["undone"])
    kinds = [f"{edits[kind]} × {kind}" for kind in ("swap", "move", "merge", "split", "delete") if edits[kind]]
    if kinds:
        sentences.append(f"Tracks were edited by hand ({', '.join(kinds)}).")
    return " ".join(sentences)


def _about_prompts(prompts: list[Mapping[str, Any]]) -> Iterable[str]:
    if not prompts:
        return
    positive = sum(sum(p["labels"]) for p in prompts)
    kinds = {
        "positive point": positive,
        "negative point": sum(len(p["labels"]) for p in prompts) - positive,
        "box": sum(p["box_y0x0y1x1"] is not None for p in prompts),
        "mask": sum(p["mask"] is not None for p in prompts),
    }
    plural = {"box": "boxes"}
    words = [counted(n, kind, plural.get(kind, "")) for kind, n in kinds.items() if n]
    yield f"The prompts were {', '.join(words)} on {counted(len({p['frame'] for p in prompts}), 'frame')}."


def _about_runs(runs: list[Mapping[str, Any]]) -> Iterable[str]:
    done = [run for run in runs if run["status"] != "undone"]
    if not done:
        yield "No model was run."
        return
    settings = {_setting(run["settings"]): None for run in done}
    yield f"Masks were propagated in {counted(len(done), 'run')} by {'; and by '.join(settings)}."
    unfinished = [run for run in done if run["status"] != "finished"]
    if unfinished:
        yield f"{counted(len(unfinished), 'run')} did not reach the end."


def _setting(facts: Mapping[str, Any]) -> str:
    """Return the settings of a run in words."""
    digest, network = str(facts.get("model_hash") or ""), str(facts.get("model", "unknown"))
    source = re.split(r"[/\\]", str(facts.get("model_source") or ""))[-1]  # a fine-tune is not the network it has the shape of
    model = f"the model {network}" if source in ("", network) else f"the model {source}, a network {network}"
    words = [model + (f" (SHA-256 of its weights {digest[:16]}...)" if digest else "")]
    if facts.get("differences"):
        words.append(f"without the parts that did not fit that network ({facts['differences']}),")
    if facts.get("image_size"):
        words.append(f"at {facts['image_size']} pixels")
    if facts.get("rate"):
        words.append(f"on every frame that a working rate of {facts['rate']:g} a second asks for")
    memory = facts.get("memory")
    if isinstance(memory, Mapping) and memory.get("name"):
        words.append(f"with {memory['name']} memory")
    words.append(f"in {facts.get('mode', 'exact')} mode, {facts.get('precision', 'float32')}, on {facts.get('device', 'cpu')}")
    if facts.get("napari_sam2s") or facts.get("torch"):
        words.append(f"(napari-sam2s {facts.get('napari_sam2s', '?')}, PyTorch {facts.get('torch', '?')})")
    return " ".join(words)
