"""Refinement of poses and maps in rounds, with independent half sets or one reference, for one class or several."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "stability": ("ClassStability", "class_stability"),
    "class_matching": ("match_classes",),
    "class_mixture": ("mixed_in_components",),
    "class_references": ("ClassReferences", "class_references"),
    "class_start": ("begin_classes", "variation_of_half", "with_classes"),
    "variation": ("Residuals", "Variation", "Views", "find_variation", "in_common", "views_of"),
    "align": ("AlignmentPlan", "AlignmentSwitches", "BatchPoses", "align_batch", "occupancies"),
    "focus": ("Focus", "focused_maps"),
    "insertion": ("blank_edges", "insertion_weights"),
    "manual": (
        "finish_manual_round",
        "manual_state",
        "particles_moved",
        "reference_of_halves",
        "refine_manually",
    ),
    "manual_settings": ("ManualSettings",),
    "doubts": ("Doubts", "find_doubts"),
    "maps": ("ClassMaps", "at_box"),
    "refine": ("Refinement", "finish_round", "refine_particles"),
    "rounds": ("RoundWork", "used_in_round"),
    "round_settings": ("RoundSettings",),
    "rows": ("PoseRows", "rows_in_classes", "rows_of_table", "rows_of_tables", "table_of_rows"),
    "settings": ("AutoRefineSettings",),
    "subtraction": ("Subtraction", "recentre"),
    "symmetry_check": ("SymmetryEvidence", "symmetry_evidence"),
    "state": ("RefinementState", "first_state"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
