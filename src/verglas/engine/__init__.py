"""What the steps share: alignment, reconstruction, map alignment, particle images."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "class_sums": ("Assignments", "ClassAverages", "ClassSums"),
    "image_search": ("ImagePosterior", "ImageSearchSettings", "ImageTemplates", "search_images"),
    "images": ("Band", "ParticleImages", "band", "normalise", "prepare_images"),
    "map_alignment": ("MapAlignment", "SymmetryAlignment", "align_maps", "align_symmetry", "transform_map"),
    "noise": ("noise_ratio", "reweigh"),
    "refinement": ("RefinedPoses", "RefinementSettings", "refine_poses"),
    "search": ("Candidates", "Posterior", "SearchSettings", "Templates", "coarse_search", "search_poses"),
    "reference": ("Reference", "prepare_image_reference", "prepare_reference", "project"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
