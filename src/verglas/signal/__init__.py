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
    "shells": (
        "ShellProducts",
        "number_of_shells",
        "shell_amplitudes",
        "shell_frequencies",
        "shell_index",
        "shell_means",
        "shell_products",
    ),
    "spectra": (
        "RadialProfile",
        "full_spectrum",
        "noise_power",
        "power",
        "power_spectrum",
        "radial_average",
        "tile_starts",
        "tiled_spectrum",
        "whitening_filter",
    ),
    "filters": (
        "Transfer",
        "apply_filter",
        "b_factor",
        "butterworth_lowpass",
        "cosine_bandpass",
        "cosine_highpass",
        "cosine_lowpass",
        "curve",
        "filter_transform",
        "gaussian_highpass",
        "gaussian_lowpass",
    ),
    "masks": (
        "apply_mask",
        "automatic_mask",
        "cylinder_mask",
        "largest_components",
        "mask_volume_A3",
        "soft_edge",
        "sphere_mask",
        "threshold_mask",
    ),
    "fsc": (
        "CorrectedCorrelation",
        "Resolution",
        "ShellCorrelation",
        "correlate_transforms",
        "corrected_fsc",
        "fourier_shell_correlation",
        "part_fsc",
        "randomise_phases",
        "resolution_at",
        "ssnr",
    ),
    "directional": ("Anisotropy", "DirectionalCorrelation", "anisotropy", "directional_fsc", "fibonacci_hemisphere"),
    "guinier": ("BFactorFit", "Guinier", "figure_of_merit", "fit_b_factor", "guinier_plot"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
