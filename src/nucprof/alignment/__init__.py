"""The alignment of a whole plate: its camera pattern, and its report."""
