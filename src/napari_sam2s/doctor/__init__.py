"""What works on this machine, what does not, and the command that mends it: ``napari-sam2s doctor``."""

from napari_sam2s.doctor.checks import examine
from napari_sam2s.doctor.findings import Finding, as_json, as_text, worst

__all__ = ["Finding", "as_json", "as_text", "examine", "worst"]
