"""Weights that were trained elsewhere into our networks: read without running code, matched by name and shape."""
