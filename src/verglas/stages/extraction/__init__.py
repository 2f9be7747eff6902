"""Extraction: cut particles from micrographs, normalise and resample them, and make the table that goes with them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.stages.extraction.boxes import BoxSettings, cut_boxes, extract_particles, prepare_boxes
    from verglas.stages.extraction.half_sets import assign_half_sets
    from verglas.stages.extraction.particles import MicrographFacts, default_box, local_defocus, particle_table

_HOMES = {
    "BoxSettings": "boxes",
    "MicrographFacts": "particles",
    "assign_half_sets": "half_sets",
    "cut_boxes": "boxes",
    "default_box": "particles",
    "extract_particles": "boxes",
    "local_defocus": "particles",
    "particle_table": "particles",
    "prepare_boxes": "boxes",
}

__all__ = [
    "BoxSettings",
    "MicrographFacts",
    "assign_half_sets",
    "cut_boxes",
    "default_box",
    "extract_particles",
    "local_defocus",
    "particle_table",
    "prepare_boxes",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
