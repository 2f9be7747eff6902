"""2D classification: particle images into classes by maximum likelihood, on the engine's search and sums."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "classify": ("Classification", "classify_images"),
    "members": ("aligned_members", "members_of", "write_members"),
    "particles": ("WorkingImages", "blank_edges"),
    "quality": ("ClassQuality", "class_quality"),
    "rounds": ("ClassState", "density_mask", "first_state", "next_state", "random_start"),
    "settings": ("ClassificationSettings", "suggested_classes"),
    "weighing": ("ImageResult", "weigh"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
