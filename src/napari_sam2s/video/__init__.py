"""Frames in: exact, lazy video from files, pictures and arrays."""

from napari_sam2s.video.arrays import Mapping
from napari_sam2s.video.video import Video, open_video

__all__ = ["Mapping", "Video", "open_video"]
