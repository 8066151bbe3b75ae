"""Clips with exact ground truth: procedural laparoscopy and composites of real material."""
