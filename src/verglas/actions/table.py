"""The table of all actions: name -> where it is declared and its summary; importing it imports nothing else."""

from __future__ import annotations

from typing import NamedTuple


class Declared(NamedTuple):
    """Where an action is declared (``module:Class``) and its one-line summary, equal to the one in the class."""

    entry: str
    summary: str


ACTIONS: dict[str, Declared] = {
    "align-movies": Declared(
        "verglas.actions.align_movies:AlignMovies", "Align the frames of movies and sum them with dose weighting."
    ),
    "find-ctf": Declared(
        "verglas.actions.find_ctf:FindCtf", "Estimate defocus, astigmatism and phase shift of micrographs."
    ),
    "find-particles": Declared(
        "verglas.actions.find_particles:FindParticles", "Pick particles in micrographs by a matched filter."
    ),
    "create-package": Declared(
        "verglas.actions.create_package:CreatePackage", "Cut picked particles into a stack, ready for refinement."
    ),
    "combine-packages": Declared(
        "verglas.actions.combine_packages:CombinePackages", "Join refinement packages, or resample one."
    ),
    "classify-2d": Declared(
        "verglas.actions.classify_2d:Classify2D", "Sort particles into 2D classes by maximum likelihood."
    ),
    "generate-3d": Declared(
        "verglas.actions.generate_3d:Generate3D", "Reconstruct maps from the particles of refinement packages."
    ),
}
