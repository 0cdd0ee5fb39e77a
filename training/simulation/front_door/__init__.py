"""Simulated people who work at a running site as everybody does: by its HTTP interface, with what it shows them."""
