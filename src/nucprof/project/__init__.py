"""Commands and functions for a project besides its stages."""
