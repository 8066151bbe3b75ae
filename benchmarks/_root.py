"""Let a script here find ``research/``, which is beside this folder and not installed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
