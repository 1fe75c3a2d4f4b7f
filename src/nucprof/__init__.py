"""nucprof: who is who in a dense mixed culture, cell by cell."""

__version__ = "0.1.0"
