"""The electron microscope: contrast transfer, dose, scattering."""

from verglas.microscopy.ctf import (
    b_factor_envelope,
    ctf,
    ctf_2d,
    ctf_and_gradient,
    even_aberration_phase,
    odd_aberration_factor,
    odd_aberration_phase,
    power_with_thickness,
    rfft_frequencies,
    spatial_coherence_envelope,
    temporal_coherence_envelope,
    thickness_modulation,
    true_frequencies,
)
from verglas.microscopy.dose import critical_dose, dose_filters, frame_doses, optimal_dose, voltage_factor
from verglas.microscopy.ewald import depth_envelope, depth_of_field_A, ewald_height, height_phase, resolution_limit_A
from verglas.microscopy.optics import Optics, anisotropic_magnification, wavelength_A
from verglas.microscopy.scattering import (
    gaussian_coefficients,
    interaction_constant,
    mean_inner_potential_V,
    relativistic_mass_ratio,
    scattering_factor_A,
)

__all__ = [
    "Optics",
    "anisotropic_magnification",
    "b_factor_envelope",
    "critical_dose",
    "ctf",
    "ctf_2d",
    "ctf_and_gradient",
    "depth_envelope",
    "depth_of_field_A",
    "dose_filters",
    "even_aberration_phase",
    "ewald_height",
    "frame_doses",
    "gaussian_coefficients",
    "height_phase",
    "interaction_constant",
    "mean_inner_potential_V",
    "odd_aberration_factor",
    "odd_aberration_phase",
    "optimal_dose",
    "power_with_thickness",
    "relativistic_mass_ratio",
    "resolution_limit_A",
    "rfft_frequencies",
    "scattering_factor_A",
    "spatial_coherence_envelope",
    "temporal_coherence_envelope",
    "thickness_modulation",
    "true_frequencies",
    "voltage_factor",
    "wavelength_A",
]
