"""What every reader gives: videos of frames, each with a picture and, when asked, its instances."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import DatasetError
from napari_sam2s.video import picture_file
from napari_sam2s.video.picture_file import UNREADABLE, UPRIGHT, orientation, upright, upright_size
from napari_sam2s.wording import counted

JPEG = (".jpg", ".jpeg")
PICTURES = (*JPEG, ".png", ".tif", ".tiff", ".bmp")
JPEG_QUALITY = 95
Found = TypeVar("Found", bound=Collection[Any])


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def cut(self, array: NDArray[Any], path: Path) -> NDArray[Any]:
        """Return the part of an array ``(Y, X, ...)``; one that has this size already is left as it is."""
        if array.shape[:2] == (self.height, self.width):
            return array
        part = array[self.y : self.y + self.height, self.x : self.x + self.width]
        if part.shape[:2] != (self.height, self.width):
            raise DatasetError(
                f"{path} is {array.shape[1]} x {array.shape[0]}; it should be {self.width} x {self.height}, or large enough "
                f"to cut that out at x = {self.x}, y = {self.y}."
            )
        return part


@dataclass(frozen=True)
class Instance:
    """One object on one frame.

    ``identity`` names the object where the source tells objects apart over the whole video; ``hint`` is a number the source
    gives without promising that it is stable. With neither, only position and looks say which object it is.
    """

    category: int
    mask: NDArray[np.bool_]  # (Y, X)
    identity: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Reading:
    """The annotation of one frame."""

    size: tuple[int, int]  # (Y, X)
    instances: Sequence[Instance]
    ignore: NDArray[np.bool_] | None = None  # (Y, X): pixels nobody has labelled


@dataclass(frozen=True)
class Picture:
    """The picture of a frame in a file, or a frame of a video file."""

    path: Path
    frame: int | None = None  # of a video file
    crop: Box | None = None

    def read(self) -> NDArray[np.uint8]:
        """Return ``(Y, X, 3)`` RGB."""
        array = read_picture(self.path, "RGB") if self.frame is None else _video_frame(self.path, self.frame)
        return self.crop.cut(array, self.path) if self.crop is not None else array

    def size(self) -> tuple[int, int]:
        """Return ``(Y, X)`` without reading more than headers."""
        if self.frame is not None:
            height, width = _video_with(self.path, self.frame).shape[1:3]
        else:
            height, width = size_of(self.path)
        crop = self.crop
        if crop is not None and height >= crop.y + crop.height and width >= crop.x + crop.width:
            return crop.height, crop.width
        return height, width

    def save(self, target: Path) -> None:
        """Write a JPEG, byte for byte where the source is one already."""
        if self.frame is None and self.path.suffix.lower() in JPEG:
            with open_picture(self.path) as picture:
                size, plain = (picture.height, picture.width), picture.mode == "RGB" and orientation(picture) == UPRIGHT
            if plain and (self.crop is None or size == (self.crop.height, self.crop.width)):
                shutil.copyfile(self.path, target)
                return
        array = self.read()
        Image.fromarray(array).save(target, format="JPEG", quality=JPEG_QUALITY, subsampling=0)


@dataclass(frozen=True)
class SourceFrame:
    """One annotated frame."""

    index: int  # in the source's own numbering; the number of the file that is written
    picture: Picture
    annotation: Callable[[], Reading]
    between: Sequence[Picture] = ()  # frames without annotation since the annotated one before, in order of time


@dataclass(frozen=True)
class SourceVideo:
    """A sequence of annotated frames, in order of time."""

    name: str
    subset: str
    frames: Sequence[SourceFrame] = field(repr=False)


def open_picture(path: Path) -> Image.Image:
    """Open a picture, or say why not."""
    try:
        return picture_file.open_picture(path)
    except FileNotFoundError as error:
        raise DatasetError(f"There is no picture {path}; the download may be incomplete.") from error
    except UNREADABLE as error:
        raise DatasetError(f"{path} is not a picture that can be read ({error}); download it again.") from error


def read_picture(path: Path, mode: str | None = None) -> NDArray[np.uint8]:
    """Return a picture, upright, as an array, ``(Y, X)`` or ``(Y, X, C)``; ``mode`` is Pillow's."""
    with open_picture(path) as found:
        try:
            picture = upright(found)
            return np.asarray(picture.convert(mode) if mode is not None and picture.mode != mode else picture)
        except UNREADABLE as error:
            raise DatasetError(f"{path} cannot be read ({error}); download it again.") from error


def size_of(path: Path) -> tuple[int, int]:
    """Return ``(Y, X)``, upright, from the header."""
    with open_picture(path) as picture:
        return upright_size(picture)


def _video_frame(path: Path, frame: int) -> NDArray[np.uint8]:
    return np.asarray(_video_with(path, frame)[frame])


def _video_with(path: Path, frame: int) -> Any:
    video = _open(path)
    if not 0 <= frame < video.shape[0]:
        raise DatasetError(f"{path} has {counted(video.shape[0], 'frame')}; its annotation names frame {frame}.")
    return video


@lru_cache(maxsize=1)  # frames are asked for one video after the other
def _open(path: Path) -> Any:
    from napari_sam2s.video import open_video

    if not path.is_file():
        raise DatasetError(f"There is no video {path}; the download may be incomplete.")
    return open_video(path)


def close_videos() -> None:
    """Let go of the video file that was read last."""
    _open.cache_clear()


def need(found: Found, lack: str, layout: str) -> Found:
    """Return what was found, or say what is lacking if that is nothing."""
    if not found:
        raise DatasetError(f"{lack}. Expected is: {layout}.")
    return found


def need_folder(folder: Path, layout: str) -> Path:
    """Return a folder that must be there."""
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}. Expected is: {layout}.")
    return folder


def folders(root: Path, pattern: str, layout: str, within: Collection[str] | None = None) -> list[Path]:
    """Return the folders below ``root`` that match, at any depth, by the numbers in their paths; at least one.

    ``within`` are names that the folder around it may have.

    Archives of one dataset are unpacked side by side or into each other, so depth says nothing.
    """
    found = [p for p in need_folder(root, layout).rglob(pattern) if p.is_dir() and (within is None or p.parent.name in within)]
    place = f"{' or '.join(within)}/" if within else ""
    return sorted(need(found, f"{root} holds no folder {place}{pattern}", layout), key=natural)


def pictures(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the pictures of a folder in the order of the numbers in their names."""
    found = [p for p in folder.glob(pattern) if p.suffix.lower() in PICTURES and not p.name.startswith("._")]
    return sorted(found, key=natural)


def natural(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Return a key that sorts ``seq_2`` before ``seq_10``."""
    parts = re.split(r"(\d+)", path.as_posix())
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts if part)


def number(path: Path, at: int = -1) -> int:
    """Return a number in a file's name, by default the last."""
    numbers = re.findall(r"\d+", path.stem)
    if not numbers:
        raise DatasetError(f"{path} has no number in its name, so its place in the video is unknown.")
    return int(numbers[at])


def partner(path: Path, folder: Path, names: Iterable[str]) -> Path:
    """Return the file of ``folder`` that belongs to ``path``: the first of ``names`` that is there."""
    tried = list(names)
    for name in tried:
        if (folder / name).is_file():
            return folder / name
    raise DatasetError(f"{path} has no partner in {folder}: looked for {' or '.join(tried)}.")


def paired_frames(
    images: Iterable[Path],
    masks: Path,
    names: Iterable[str],
    reading: Callable[[Path], Reading],
    index: Callable[[Path], int] = number,
) -> list[SourceFrame]:
    """Return a frame for each picture with a mask of its own in the folder ``masks``.

    ``names`` are those a mask may have, ``{0}`` being the picture's without its ending: the first that is there is read.
    """
    patterns = list(names)
    return [
        SourceFrame(index(p), Picture(p), partial(reading, partner(p, masks, [n.format(p.stem) for n in patterns])))
        for p in images
    ]
