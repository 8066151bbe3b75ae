"""Opening, tracking, exporting, measuring and evaluating with sockets forbidden: not even a name is looked up."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import socket, sys

tried = []

def forbid(event, args):
    if event.startswith(("socket.connect", "socket.gethost", "socket.getaddr", "socket.send", "socket.bind", "urllib.")):
        tried.append((event, args))
        raise PermissionError(f"{event} {args}")

sys.addaudithook(forbid)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except PermissionError:
    tried.clear()  # so it does forbid
else:
    sys.exit("sockets are not forbidden")

import numpy as np
from napari_sam2s.cli import main
from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case

case = demo_case(frames=2)
write_video((case[t] for t in range(2)), "case.mp4")
for command in (
    "info case.mp4",
    "track case.mp4 --point 0,130,240 --out case.sam2s --image-size 128",
    "show case.sam2s --review",
    "copy case.sam2s copy.sam2s --strip",
    "export case.sam2s masks --format davis",
    "measure case.sam2s --out frames.csv",
    "evaluate case.sam2s masks --skip none",
):
    assert main(command.split()) == 0, command
assert not tried, tried
print("alone")
"""


@pytest.mark.slow
def test_nothing_phones_home(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.endswith("alone\n")
