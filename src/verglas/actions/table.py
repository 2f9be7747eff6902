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
    "ab-initio": Declared(
        "verglas.actions.ab_initio:AbInitio",
        "Find maps of the particles of a package with nothing given but size, mass and symmetry.",
    ),
    "auto-refine": Declared(
        "verglas.actions.auto_refine:AutoRefine",
        "Refine poses and maps in rounds, to the resolution that the particles give.",
    ),
    "manual-refine": Declared(
        "verglas.actions.manual_refine:ManualRefine",
        "Refine or classify particles in 3D, with all limits, masks and moves set by hand.",
    ),
    "refine-ctf": Declared(
        "verglas.actions.refine_ctf:RefineCTF",
        "Refine defocus, beam tilt and other aberrations at the poses of a refinement.",
    ),
    "expand-symmetry": Declared(
        "verglas.actions.expand_symmetry:ExpandSymmetry",
        "Make a package with each particle once for each of its symmetric views.",
    ),
    "subtract-signal": Declared(
        "verglas.actions.subtract_signal:SubtractSignal", "Take the signal outside a region off the particles' images."
    ),
    "substitute-noise": Declared(
        "verglas.actions.substitute_noise:SubstituteNoise",
        "Make a package whose images hold noise beyond a resolution, to test a refinement for overfitting.",
    ),
    "package-from-classes": Declared(
        "verglas.actions.package_from_classes:PackageFromClasses",
        "Make a package of the particles of selected 2D classes.",
    ),
    "package-from-package": Declared(
        "verglas.actions.package_from_package:PackageFromPackage",
        "Carry the particles and classes of a package over into a new one.",
    ),
    "generate-3d": Declared(
        "verglas.actions.generate_3d:Generate3D", "Reconstruct maps from the particles of refinement packages."
    ),
    "sharpen-3d": Declared(
        "verglas.actions.sharpen_3d:Sharpen3D",
        "Sharpen maps by what their halves agree on, mask them, judge their resolution.",
    ),
    "local-resolution": Declared(
        "verglas.actions.local_resolution:LocalResolution",
        "Estimate the resolution of each part of a map and filter the map by it.",
    ),
    "validate-3d": Declared("verglas.actions.validate_3d:Validate3D", "Report what speaks for a map and against it."),
}
