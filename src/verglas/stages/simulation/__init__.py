"""Simulate stacks, micrographs and movies from atoms, with known truth and nothing shared with the engine."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Conformation": "parameters",
    "MicrographParameters": "parameters",
    "MovieParameters": "parameters",
    "StackParameters": "parameters",
    "Atoms": "atoms",
    "read_atoms": "atoms",
    "make_density": "projection",
    "StackResult": "stack",
    "simulate_stack": "stack",
    "MovieTruth": "movies",
    "MoviesResult": "movies",
    "projected_map": "truth",
    "simulate_movies": "movies",
    "simulate_micrographs": "movies",
    "write_page": "report",
}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
