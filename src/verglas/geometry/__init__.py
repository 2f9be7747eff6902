"""Rotations, point-group symmetry, and grids of orientations."""
