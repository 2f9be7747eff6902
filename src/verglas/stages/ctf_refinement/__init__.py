"""Refinement of the microscope's part of the model at given poses: defocus, astigmatism, aberrations, magnification."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "aberrations": ("AberrationFit", "fit_even", "fit_odd"),
    "defocus": ("DefocusMeasures", "measure_defocus"),
    "images": ("CtfImages", "Products"),
    "magnification": ("MagnificationFit", "fit_magnification"),
    "planes": ("DefocusEstimate", "estimate_defocus"),
    "refine": ("CtfRefinement", "refine_ctf", "updated_table"),
    "settings": ("CtfRefinementSettings",),
    "sums": ("GroupSums", "measure_aberrations"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
