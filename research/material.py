"""Real pictures and video that composites are made of: collected once, outside the repository.

They are the folder of real material, the cut-outs of Debian's ``tuxpaint-stamps-default`` and the photographs of four of its
packages of wallpapers, as far as they are installed (``research/collect_material.py`` writes them down). Part of every source
is held out by name: of videos and cut-outs for validation, of photographs for nothing so far.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import TrainingError

HELD_OUT_VIDEOS = (
    "02_cups",
    "03_blocks",
    "05_default_juggle",
    "10_cloth_magic",
    "13_butterfly",
    "16_robotarm",
    "19_cyclist",
    "20_doughkneading",
)
STAMPS = Path("/usr/share/tuxpaint/stamps")
SKIPPED_STAMPS = ("cartoon", "symbols", "seasonal")  # drawn, not photographed
HELD_OUT_STAMPS = ("birds", "vegetables", "household")  # folders of stamps
_PLASMA = ("Autumn", "BytheWater", "ColdRipple", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf", "Grey", "Kite")
# Debian's plasma-workspace-wallpapers, mate-backgrounds, lomiri-wallpapers-16.04 and -20.04; the other pictures in them are
# drawn, or the same ones in other sizes.
PHOTOGRAPHS = (
    *("backgrounds/*_by_*.jpg", "backgrounds/mate/nature/*.jpg"),
    *(f"wallpapers/{name}/contents/images/2560x1600.jpg" for name in (*_PLASMA, "OneStandsOut", "Path", "summer_1am")),
)
HELD_OUT_PHOTOGRAPHS = ("Aqua", "Garden", "Kite", "OneStandsOut", "Dragonfly_by_Bolly", "umang_by_Abhishek_Mudgal")
PHOTOGRAPH_SIDE = 1440  # the longer one, pixels
FRAME_SIZE = (432, 768)  # (Y, X) of kept frames
HELD_OUT_SIZE = (256, 384)  # the size that validation began with; another would make its figures incomparable
FRAME_STEP = 2
TRAINING_SEGMENTS = 400  # of real frames, cut once for all workers of all runs: 17 seconds


@dataclass
class Material:
    """What a composite is cut from."""

    videos: list[NDArray[np.uint8]]  # each (T, Y, X, 3), consecutive frames
    cutouts: list[NDArray[np.uint8]]  # each (Y, X, 4), RGB and alpha
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)  # photographs, each (Y, X, 3)
    segments: list[NDArray[np.uint8]] = field(default_factory=list)  # cut beforehand of the videos and pictures, (Y, X, 4)
    rendered: list[NDArray[np.uint8]] = field(default_factory=list)  # things of many parts, each (Y, X, 4), RGB and alpha

    def save(self, path: Path) -> None:
        """Write an ``.npz``."""
        parts = {f"video{i:04d}": v for i, v in enumerate(self.videos)}
        parts |= {f"cutout{i:04d}": c for i, c in enumerate(self.cutouts)}
        parts |= {f"picture{i:04d}": p for i, p in enumerate(self.pictures)}
        parts |= {f"segment{i:04d}": s for i, s in enumerate(self.segments)}
        parts |= {f"rendered{i:04d}": r for i, r in enumerate(self.rendered)}
        written = path.with_suffix(".part.npz")  # a kill leaves no half of it under the name that training looks for
        np.savez(written, **parts)  # type: ignore[arg-type]
        written.replace(path)

    @classmethod
    def load(cls, path: Path) -> Material:
        """Read what :meth:`save` wrote."""
        with np.load(path) as archive:
            names = sorted(archive.files)
            kinds = ("video", "cutout", "picture", "segment", "rendered")
            return cls(*([archive[n] for n in names if n.startswith(kind)] for kind in kinds))


def existing(path: Path) -> Path:
    """Return the path of collected material.

    Raises
    ------
    TrainingError
        If it is not there.
    """
    if not path.is_file():
        raise TrainingError(f"There is no material at {path}: collect it with `python -m research.collect_material REAL OUT`.")
    return path


def read_frames(path: Path, size: tuple[int, int] = FRAME_SIZE, step: int = FRAME_STEP) -> NDArray[np.uint8]:
    """Return every ``step``-th frame of a video, ``(T, Y, X, 3)``, squashed to ``size``."""
    height, width = size
    select = ["-vf", f"select=not(mod(n\\,{step})),scale={width}:{height}:flags=area", "-fps_mode", "passthrough"]
    reader = imageio_ffmpeg.read_frames(str(path), output_params=select, pix_fmt="rgb24")
    next(reader)  # the metadata
    return np.stack([np.frombuffer(raw, np.uint8).reshape(height, width, 3) for raw in reader])


def read_cutouts(paths: Iterable[Path], largest: int = 256) -> list[NDArray[np.uint8]]:
    """Return pictures with a real alpha channel, cropped to it, at most ``largest`` pixels on a side."""
    cutouts = []
    for path in paths:
        with Image.open(path) as picture:
            rgba = picture.convert("RGBA")
        box = rgba.getchannel("A").point(lambda a: 255 * (a > 127)).getbbox()
        if box is None or (box[2] - box[0]) * (box[3] - box[1]) < 24**2:
            continue
        rgba = rgba.crop(box)
        rgba.thumbnail((largest, largest))
        array = np.asarray(rgba)
        if (array[..., 3] > 127).mean() < 0.97:  # a full rectangle is a photograph, not a cut-out
            cutouts.append(array)
    return cutouts


def read_photographs(root: Path = Path("/usr/share")) -> list[NDArray[np.uint8]]:
    """Return the installed photographs that are not held out, at most ``PHOTOGRAPH_SIDE`` pixels on a side."""
    photographs = []
    for path in sorted(p for pattern in PHOTOGRAPHS for p in root.glob(pattern)):
        if not {path.stem, *path.parts} & set(HELD_OUT_PHOTOGRAPHS):
            with Image.open(path) as picture:
                picture.draft("RGB", (PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE))
                rgb = picture.convert("RGB")
            rgb.thumbnail((PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE))
            photographs.append(np.asarray(rgb))
    return photographs


def read_rendered(folder: Path) -> list[NDArray[np.uint8]]:
    """Return the pictures of the npm package ``@lobehub/fluent-emoji-3d`` (Microsoft's Fluent Emoji, MIT), without variants.

    Left out are flags, keycaps, and what differs from another only in skin or hair.
    """
    variants = re.compile("1f3f[b-f]|-200d|fe0f-20e3|1f1e")
    return read_cutouts(path for path in sorted(folder.glob("*.webp")) if not variants.search(path.stem))


def collect(real: Path, *, held_out: bool = False) -> Material:
    """Gather the part of the material to train on, or the part that is held out."""
    videos = [p for p in sorted((real / "videos").glob("*.mp4")) if (p.stem in HELD_OUT_VIDEOS) == held_out]
    stamps = [
        p
        for p in sorted(STAMPS.rglob("*.png"))
        if not set(p.parts) & set(SKIPPED_STAMPS) and bool(set(p.parts) & set(HELD_OUT_STAMPS)) == held_out
    ]
    size = HELD_OUT_SIZE if held_out else FRAME_SIZE
    return Material([read_frames(p, size) for p in videos], read_cutouts(stamps), [] if held_out else read_photographs())
