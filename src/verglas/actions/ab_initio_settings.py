"""What Ab-Initio 3D is asked for, from its parameters and its package, and the rounds at which it is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verglas.actions.refinement_rounds import fitting_radius_A
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.stages.abinitio import AbInitioSettings

MASK_PART = 0.55
LOW_PART = 1.5
SHIFT_PART = 0.04
LEAST_SIGMA_A = 3.0
LEG = 20
"""Rounds of a start between two looks at what was asked for, and two checkpoints: half of a shorter start's."""
IMAGES_A_CLASS = 10_000
NYQUIST_PART = 0.95


def settings_of(parameters: Any, package: dict[str, Any], seed: int) -> AbInitioSettings:
    """Return the stage's settings, with what is not given from the package."""
    from verglas.stages.abinitio import AbInitioSettings

    size = package["largest_dimension_A"]
    if size is None and None in (parameters.mask_radius_A, parameters.shift_sigma_A):
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius and --shift-sigma.")
    radius = fitting_radius_A(parameters.mask_radius_A or MASK_PART * size, package)
    finest = 2.0 * package["pixel_size_A"] / NYQUIST_PART
    finish = max(parameters.final_resolution_A, finest)
    # What a user does not give, and the package does not say, follows from the symmetry in the stage.
    start, middle = (
        one and max(one, finish) for one in (parameters.initial_resolution_A, parameters.middle_resolution_A)
    )
    return AbInitioSettings(
        radius_A=radius, mass_kDa=parameters.mass_kDa or package["mass_kDa"],
        symmetry=parameters.symmetry or package["symmetry"] or "C1", impose=parameters.always_apply_symmetry,
        classes=parameters.classes or package["classes"] or 1, starts=parameters.starts, rounds=parameters.rounds,
        start_A=start, middle_A=middle, finish_A=finish,
        low_A=LOW_PART * 2.0 * radius, finish_rounds=parameters.finish_rounds,
        shift_sigma_A=parameters.shift_sigma_A or max(LEAST_SIGMA_A, SHIFT_PART * size), auto_mask=parameters.auto_mask,
        seed=seed,
    )  # fmt: skip


def most_images(parameters: Any, settings: AbInitioSettings) -> int:
    """Return how many images are used at most."""
    return int(parameters.images or IMAGES_A_CLASS * settings.classes)


def leg_ends(settings: AbInitioSettings) -> list[int]:
    """Return the rounds after which starts are looked at."""
    leg = min(LEG, settings.rounds // 2)
    return [min(end, settings.rounds) for end in range(leg, settings.rounds + leg, leg)]


def state_name(start: int, number: int) -> str:
    """Return what the state of a start after some rounds is kept under."""
    return f"start-{start:02d}-{number:05d}"
