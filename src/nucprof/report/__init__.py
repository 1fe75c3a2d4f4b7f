"""Figures and the HTML report; they are handed plain records."""
