"""The report of a project: one HTML page from plain records, and the doubts that it opens with."""
