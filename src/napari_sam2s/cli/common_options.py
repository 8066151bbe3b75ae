"""The options that several commands have: said once, so that they are called alike, mean the same and have one help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
FLAG: Facts = {"action": "store_true"}
PROMPTS = ("1-click", "3-click", "5-click", "box", "mask")

SHARED: dict[str, Facts] = {
    "project": {"type": Path, "help": "a project file (.sam2s)"},
    "video": {"help": "a video file, a folder of images, a TIFF or a zarr"},
    "--video": {"help": "path of the video, if it has moved"},
    "--stream": {"type": int, "help": "number of the video stream, counted from 0, if the file has several"},
    "--model": {
        "default": "sam2s-nano",
        "help": "a name that `napari-sam2s models` lists, or a checkpoint file (default: %(default)s)",
    },
    "--memory": {"default": "divemem", "choices": ("divemem", "vanilla"), "help": "memory policy (default: %(default)s)"},
    "--image-size": {
        "type": int,
        "help": "side of the network's input in pixels, a multiple of 32 (default: that of the model)",
    },
    "--device": {"default": "auto", "help": "auto, cpu, cuda or mps (default: %(default)s)"},
    "--ignore-differences": {
        "dest": "strict",
        "action": "store_false",
        "help": "load a checkpoint without the tensors that do not fit its network",
    },
    "--fast": FLAG | {"help": "fast mode: less work, slightly different masks"},
    "--crop": FLAG | {"help": "for small objects: track each one in a window that follows it"},
    "--direction": {
        "default": "forward",
        "choices": ("forward", "backward", "both"),
        "help": "direction of tracking (default: %(default)s)",
    },
    "--rate": {
        "type": float,
        "help": "frames per second to track; the frames between are filled (default: track every frame)",
    },
    "--skip": {
        "default": "ends",
        "choices": ("ends", "prompt", "none"),
        "help": "frames to leave out: the prompted and the last one (ends), the prompted one, or none (default: %(default)s)",
    },
    "--late": {
        "default": "first-seen",
        "choices": ("first-seen", "all", "own-clip"),
        "help": "where an object's score starts: first seen on either side, frame 0, or first in the truth "
        "(default: %(default)s)",
    },
    "--overwrite": FLAG | {"help": "replace an earlier file or export (default: it is an error)"},
    "--json": FLAG | {"help": "print JSON, for scripts"},
}


def add_shared(parser: argparse.ArgumentParser, *names: str, **changed: Any) -> None:
    """Add shared options; what is ``changed`` of them for one command, such as a default, holds for all that are named."""
    for name in names:
        parser.add_argument(name, **(SHARED[name] | changed))
