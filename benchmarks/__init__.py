"""Measured claims: each module measures one budget of the design; `make bench` runs them all and writes a report."""
