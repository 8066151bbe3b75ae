"""Everything that touches napari or Qt."""
