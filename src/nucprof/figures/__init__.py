"""Pictures (matplotlib, Agg) and overlays."""
