"""Fourier transforms, filters, masks, spectra and Fourier shell correlation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "fourier": (
        "centred_irfft",
        "centred_rfft",
        "frequency_axes",
        "frequency_radius",
        "hermitian_weight",
        "irfft",
        "resize",
        "resize_transform",
        "rfft",
        "rfft_shape",
        "shift",
        "shift_factors",
        "shift_transform",
        "smooth_size",
    ),
    "pixel_size": ("fit_to_shape", "resample", "resampled_shape"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
