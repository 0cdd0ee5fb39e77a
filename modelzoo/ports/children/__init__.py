"""The side of a port that runs in the foreign package's own interpreter: standard library, numpy and Pillow only."""
