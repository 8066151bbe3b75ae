"""Where a coded stream begins to have another header: its pictures may have another size from there on."""

from __future__ import annotations

from collections.abc import Iterable

# Filters of ffmpeg that bring the header out of the key frames that hold one, by codec.
FILTERS = {"h264": "h264_mp4toannexb,extract_extradata", "hevc": "hevc_mp4toannexb,extract_extradata"}
FILTERS |= dict.fromkeys(("mpeg1video", "mpeg2video", "mpeg4", "vc1", "av1"), "extract_extradata")
MOST = 4  # other headers that are looked at


def header_output(codec: str, stream: int, path: str) -> list[str]:
    """Return ffmpeg's options for a second list of the packets, with the checksums of their headers; none of other codecs."""
    if codec not in FILTERS:
        return []
    copy = ["-map", f"0:V:{stream}", "-c", "copy", "-copyinkf", "-bsf:v", f"noise=drop=not(key),{FILTERS[codec]}"]
    return [*copy, "-flush_packets", "0", "-f", "framecrc", path]


def other_headers(lines: Iterable[str]) -> tuple[int, ...]:
    """Return the dts of the first key packet of each header but the first, by the lines of that list; at most four."""
    found: dict[str, int] = {}
    for line in lines:
        fields = line.split(",")
        if len(fields) > 6 and fields[6].strip().startswith("S="):  # side data, and no flag that it is no key frame
            found.setdefault(fields[-1].strip(), int(fields[1]))
    return tuple(sorted(found.values())[1 : MOST + 1])
