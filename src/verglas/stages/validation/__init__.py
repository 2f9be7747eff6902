"""What speaks for a map and against it: directions, views, masks, an atomic model, the number of particles."""

from verglas.stages.validation.measures import (
    ModelComparison,
    ResLog,
    Validation,
    compare_with_model,
    fit_reslog,
    subset_sizes,
    validate_halves,
)
from verglas.stages.validation.report import figures_of, write_validation

__all__ = [
    "ModelComparison",
    "ResLog",
    "Validation",
    "compare_with_model",
    "figures_of",
    "fit_reslog",
    "subset_sizes",
    "validate_halves",
    "write_validation",
]
