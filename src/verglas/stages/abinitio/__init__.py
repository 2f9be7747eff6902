"""Maps from particles with nothing given: stochastic expectation-maximisation from several random starts."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "averages": ("Members", "averaged", "members_of_classes"),
    "find": ("AbInitioMaps", "find_maps", "maps_of_images", "run_start", "split_images"),
    "finish": ("FinishedMaps", "finish_round"),
    "rounds": ("judge", "start_round"),
    "settings": ("AbInitioSettings", "usual_starts"),
    "state": ("AbInitioState", "first_state"),
    "working": ("chosen_places", "cut", "memory_needed", "prepared"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
