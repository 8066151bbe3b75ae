"""``python -m napari_sam2s.cli``."""

import sys

from napari_sam2s.cli import main

sys.exit(main())
