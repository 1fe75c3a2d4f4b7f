"""Segmentation of nuclei and cells: one file per backend, one protocol; weights by name."""
