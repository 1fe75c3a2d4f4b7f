"""What the alignment of a plate needs beside its fields, and what it tells of them."""
