"""Finding nuclei and cells: one file per backend, behind one protocol; model weights by name."""
