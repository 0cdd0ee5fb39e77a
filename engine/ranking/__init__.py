"""Ranks what people compared: pure functions on arrays, no rows."""
