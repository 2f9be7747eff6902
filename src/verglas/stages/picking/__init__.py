"""Picking: find particles in a micrograph by a whitened, CTF-aware matched filter, away from ice, carbon and edges."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.stages.picking.areas import AreaSettings
    from verglas.stages.picking.candidates import CANDIDATES, chosen, neighbour_distances
    from verglas.stages.picking.pick import PickingSettings, Picks, pick_particles
    from verglas.stages.picking.templates import TemplateImages, disc, log, map_projections, shell, template_images

_HOMES = {
    "CANDIDATES": "candidates",
    "AreaSettings": "areas",
    "Picks": "pick",
    "PickingSettings": "pick",
    "TemplateImages": "templates",
    "chosen": "candidates",
    "disc": "templates",
    "log": "templates",
    "map_projections": "templates",
    "neighbour_distances": "candidates",
    "pick_particles": "pick",
    "shell": "templates",
    "template_images": "templates",
}

__all__ = [
    "CANDIDATES",
    "AreaSettings",
    "PickingSettings",
    "Picks",
    "TemplateImages",
    "chosen",
    "disc",
    "log",
    "map_projections",
    "neighbour_distances",
    "pick_particles",
    "shell",
    "template_images",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
