"""What the times of frames tell: how many come in a second, where the recording paused, where frames are lost."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.wording import counted

NO_CAMERA = 10_000  # frames per second, where they are one unit of the file's clock apart: times were never set
PAUSE = 5.0  # times the usual step, and at least PAUSE_S seconds
PAUSE_S = 0.5
REGULAR = 0.9  # of the steps are the usual one in a recording of one rate


def frames_per_second(times: NDArray[np.int64], time_base: Fraction) -> float | None:
    """Return the mean rate of frames, pauses left out; ``None`` for a single frame.

    Parameters
    ----------
    times
        Ascending, in units of ``time_base`` seconds.
    """
    steps = np.diff(times)
    if not len(steps):
        return None
    if len(steps) > 2 and 2 * steps[-1] <= np.median(steps):  # of a last packet that counts a field (GXF)
        steps = steps[:-1]
    going = steps[steps <= _pause(steps, time_base)]
    return float(len(going) / (int(going.sum()) * time_base))


def irregular_times(times: NDArray[np.int64], time_base: Fraction) -> list[str]:
    """Say where a recording paused, and how many frames it seems to have lost."""
    steps = np.diff(times)
    if not len(steps):
        return []
    told, pause, usual = [], _pause(steps, time_base), float(np.median(steps))
    seconds = (times - times[0]) * float(time_base)
    if usual <= 1 and 1 / time_base >= NO_CAMERA:
        told.append(
            f"The frames are {time_base} s apart, the smallest step of the file's clock, so the file holds no real "
            f"times. Frames are right, "
            "but their times and rate mean nothing."
        )
    if len(paused := np.flatnonzero(steps > pause)):
        longest = int(paused[np.argmax(steps[paused])])
        told.append(
            f"The recording pauses {counted(len(paused), 'time')}; the longest pause is {float(steps[longest] * time_base):.1f}"
            f" s, after frame {longest} ({seconds[longest]:.2f} s). Frame numbers continue without a gap."
            if len(paused) > 1
            else (
                f"The recording pauses for {float(steps[longest] * time_base):.1f} s after frame {longest} "
                f"({seconds[longest]:.2f} s). Frame numbers continue without a gap."
            )
        )
    near = np.abs(steps - usual) <= max(0.02 * usual, 1)
    lost = steps[(steps > 1.5 * usual) & (steps <= pause)]
    if len(lost) and near.mean() >= REGULAR:
        count = int(np.round(lost / usual - 1).sum())
        where = int(np.flatnonzero((steps > 1.5 * usual) & (steps <= pause))[0])
        told.append(
            f"About {counted(count, 'frame was lost in recording', 'frames were lost in recording, the first')} after frame"
            f" {where} ({seconds[where]:.2f} s)."
        )
    return told


def _pause(steps: NDArray[np.int64], time_base: Fraction) -> float:
    """Return the longest step that is no pause."""
    return max(PAUSE * float(np.median(steps)), PAUSE_S / float(time_base))
