"""Finding raw files, renaming them, and the index of images."""
