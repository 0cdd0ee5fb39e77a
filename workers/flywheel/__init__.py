"""Whole simulated rounds at a running site: who takes part, what came of it, and the report."""
