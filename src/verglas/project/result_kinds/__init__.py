"""What becomes of a job's results: one file for each kind, telling places, names and the asset that a result makes."""

from __future__ import annotations

from verglas.project.result_kinds.classification import CLASSIFICATION
from verglas.project.result_kinds.ctf_estimation import CTF_ESTIMATION
from verglas.project.result_kinds.derived_volumes import DERIVED_VOLUMES
from verglas.project.result_kinds.kind import ResultKind
from verglas.project.result_kinds.movie_alignment import MOVIE_ALIGNMENT
from verglas.project.result_kinds.particle_positions import PARTICLE_POSITIONS
from verglas.project.result_kinds.reconstruction import RECONSTRUCTION
from verglas.project.result_kinds.refinement import REFINEMENT
from verglas.project.result_kinds.refinement_package import REFINEMENT_PACKAGE
from verglas.project.result_kinds.validation import VALIDATION

RESULT_KINDS: dict[str, ResultKind] = {
    kind.name: kind
    for kind in (
        MOVIE_ALIGNMENT, CTF_ESTIMATION, PARTICLE_POSITIONS, REFINEMENT_PACKAGE, CLASSIFICATION, RECONSTRUCTION,
        REFINEMENT, *DERIVED_VOLUMES, VALIDATION,
    )
}  # fmt: skip

__all__ = ["RESULT_KINDS", "ResultKind"]
