"""``napari-sam2s info``: what a video is."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from napari_sam2s.cli.common_options import add_shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "video", "--stream", "--json")


def run(args: argparse.Namespace) -> int:
    """Print the facts."""
    started = time.perf_counter()
    facts = describe(args.video, args.stream)
    facts["opened_in_seconds"] = round(time.perf_counter() - started, 3)
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    warnings = facts.pop("warnings")
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):22} {value}")
    for warning in warnings:
        print(f"warning: {warning}")
    return 0


def describe(source: str, stream: int | None = None) -> dict[str, Any]:
    """Return the facts of a video as plain data."""
    import numpy as np

    from napari_sam2s.video import open_video

    with open_video(source, stream=stream) as video:
        frames, height, width, _ = video.shape
        times = video.timestamps
        facts: dict[str, Any] = {"name": video.name, "frames": frames, "width": width, "height": height}
        if video.pixel_size is not None:
            facts |= {"pixel_height": video.pixel_size[0], "pixel_width": video.pixel_size[1], "pixel_unit": video.pixel_unit}
        if video.physical.interval is not None:
            facts["frame_interval_seconds"] = video.physical.interval
        if video.file is not None:
            index = video.file.index
            gaps = np.diff(np.append(index.keys, frames))
            facts |= {
                "codec": index.codec,
                "container": index.container,
                "fps": round(float(video.fps), 4) if video.fps else None,
                "duration_seconds": round(float(times[-1] - times[0]) + 1 / (video.fps or 1.0), 3),
                "first_timestamp": round(float(times[0]), 6),
                "variable_frame_rate": index.variable_rate,
                "key_frames": len(index.keys),
                "longest_key_frame_distance": int(gaps.max()),
                "index_from_cache": video.file.index_cached,
            }
            if video.stream is not None:
                facts |= {"stream": video.stream, "streams": index.streams}
        if video.mapping is not None:
            raw = video.raw
            facts |= {"raw_type": str(raw.dtype), "raw_shape": list(raw.shape), "shown_as": str(video.mapping)}
        facts["fingerprint"] = video.fingerprint()
        facts["warnings"] = list(video.warnings)
    return facts
