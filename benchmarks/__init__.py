"""Timings beside peers and floors; results in docs/measured/."""
