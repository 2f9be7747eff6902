"""What the steps share: alignment, reconstruction, map alignment, particle images."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "background": ("background_noise", "background_radius_A"),
    "class_sums": ("Assignments", "ClassAverages", "ClassSums"),
    "defocus_search": ("search_defocus",),
    "devices": ("to_device",),
    "image_draws": ("ImageSample", "draw_images", "refine_draws"),
    "image_search": ("Drawing", "ImagePosterior", "ImageSearchSettings", "ImageTemplates", "search_images"),
    "images": ("Band", "ParticleImages", "band", "normalise", "prepare_images"),
    "likelihood": ("log_likelihoods",),
    "map_alignment": ("MapAlignment", "align_maps"),
    "map_matching": ("transform_map",),
    "noise": ("noise_ratio", "reweigh"),
    "particle_stack": ("ParticleStack",),
    "posterior_spread": ("PoseSpread", "pose_spread"),
    "reference_masks": ("MaskSettings", "apply_reference_mask", "reference_mask"),
    "refinement": ("RefinedPoses", "RefinementSettings", "refine_poses"),
    "grid_search": ("Candidates", "SearchSettings", "Templates", "coarse_search"),
    "pose_draws": ("DrawnPoses", "draw_poses"),
    "symmetry_alignment": ("SymmetryAlignment", "align_symmetry"),
    "search": ("Posterior", "search_poses"),
    "reference": ("Reference", "prepare_image_reference", "prepare_reference", "project"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
