"""Numbers of masks: by object and frame, by object, by pair of objects."""

from napari_sam2s.measurements.measure import measure
from napari_sam2s.measurements.table_files import write_table

__all__ = ["measure", "write_table"]
