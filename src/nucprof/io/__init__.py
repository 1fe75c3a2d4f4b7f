"""Files: only this package opens them."""
