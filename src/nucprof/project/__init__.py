"""What a user calls on a project beside its stages."""
