"""What speaks for a map and against it: directions, views, masks, an atomic model, the number of particles."""

from verglas.stages.validation.hand import (
    HandEvidence,
    contradiction,
    hand_from_ewald_sphere,
    hand_from_tilt_pairs,
    hand_of,
)
from verglas.stages.validation.measures import (
    ModelComparison,
    ResLog,
    Validation,
    compare_with_model,
    fit_reslog,
    subset_sizes,
    validate_halves,
)
from verglas.stages.validation.noise_substitution import NoiseSubstitution, compare_with_noise, substitute_noise
from verglas.stages.validation.report import figures_of, write_validation

__all__ = [
    "HandEvidence",
    "ModelComparison",
    "NoiseSubstitution",
    "ResLog",
    "Validation",
    "compare_with_model",
    "compare_with_noise",
    "contradiction",
    "figures_of",
    "fit_reslog",
    "hand_from_ewald_sphere",
    "hand_from_tilt_pairs",
    "hand_of",
    "subset_sizes",
    "substitute_noise",
    "validate_halves",
    "write_validation",
]
