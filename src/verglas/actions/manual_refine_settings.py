"""What Manual Refine is asked for, from its parameters and its package: settings, and the particles to begin with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.refinement_rounds import fitting, fitting_radius_A
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.stages.refinement import ManualSettings

MASK_PART, SEARCH_MASK_PART, SEARCH_PART, LOW_PART, LOWEST_A = 0.65, 0.8, 0.15, 1.5, 300.0


def parameters_before(inputs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the refinement to begin with: the one chosen, or what the package began with.

    Raises
    ------
    InputError
        It is of another package.
    """
    from verglas.project.result_kinds.refinement import start_parameters

    package = only("package", inputs["package"])
    if not inputs.get("refinement"):
        return start_parameters(package)
    refinement = only("refinement", inputs["refinement"])
    if refinement["package"] != package["id"]:
        raise InputError(f"{refinement['name']} is of package {refinement['package']}, not of {package['name']}.")
    return refinement


def settings_of(
    parameters: Any, inputs: dict[str, list[dict[str, Any]]], seed: int, project: Path | None = None
) -> ManualSettings:
    """Return the stage's settings, with what is not given from the package; with a project, masks are read too."""
    from verglas.engine import MaskSettings
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.refinement import AlignmentSwitches, Focus, ManualSettings
    from verglas.stages.refinement.manual_settings import MOVES

    package, before = only("package", inputs["package"]), parameters_before(inputs)
    size = package["largest_dimension_A"]
    if size is None and None in (parameters.mask_radius_A, parameters.search_range_x_A, parameters.search_range_y_A):
        raise InputError(
            f"{package['name']} has no largest dimension; give --mask-radius, --search-range-x and --search-range-y."
        )
    radius = fitting_radius_A(parameters.mask_radius_A or MASK_PART * size, package)
    width = package["box_px"] * package["pixel_size_A"]
    wider = parameters.search_mask_radius_A or min(max(SEARCH_MASK_PART * (size or 0.0), radius), 0.5 * width)

    def read(name: str) -> np.ndarray | None:
        if project is None or not inputs.get(name):
            return None
        return fitting(read_mrc_volume(project / only(name, inputs[name])["path"]), package)

    mask = MaskSettings(
        automatic=parameters.auto_mask, volume=read("mask"), edge_A=parameters.mask_edge_A,
        outside_weight=parameters.outside_weight, outside_lowpass_A=parameters.outside_low_pass_A or 0.0,
        inner_radius_A=parameters.inner_radius_A,
    )  # fmt: skip
    focus = None
    if parameters.focus or inputs.get("focus_mask"):
        volume = read("focus_mask")
        centre = (parameters.focus_x_A, parameters.focus_y_A, parameters.focus_z_A)
        focus = Focus(centre, parameters.focus_radius_A, volume, parameters.focus_by)
        if volume is None:
            focus.from_middle_A(package["box_px"], package["pixel_size_A"])
    independent = parameters.policy == "half-sets"
    return ManualSettings(
        mask_radius_A=radius, search_radius_A=wider, mode=parameters.mode, rounds=parameters.rounds,
        symmetry=parameters.symmetry or before["symmetry"] or package["symmetry"] or "C1", classes=before["classes"],
        independent_halves=independent, start_A=shared_resolution_A(parameters, inputs),
        limit_A=max(parameters.high_resolution_A, 2.0 * package["pixel_size_A"] / 0.95),
        low_A=parameters.low_resolution_A or min(LOWEST_A, LOW_PART * (size or 2.0 * radius)),
        class_limit_A=parameters.classification_resolution_A,
        reconstruction_limit_A=parameters.reconstruction_limit_A, crop=parameters.crop,
        part=0.01 * parameters.percent,
        moves=tuple(move for move in MOVES if getattr(parameters, f"refine_{move}")),
        keep=parameters.results_to_refine, spacing=math.radians(parameters.angular_step_deg or 0.0),
        search_range_x_A=_range(parameters.search_range_x_A, size),
        search_range_y_A=_range(parameters.search_range_y_A, size),
        switches=AlignmentSwitches(
            occupancies=parameters.refine_occupancies, keep_input=parameters.also_refine_input,
            defocus_range_A=parameters.defocus_range_A if parameters.refine_defocus else 0.0,
            defocus_step_A=parameters.defocus_step_A, focus=focus,
            blurring=parameters.smoothing if parameters.likelihood_blurring else 0.0,
        ),
        score_b_factor_A2=parameters.score_weight_A2, adjust_scores=parameters.adjust_scores,
        score_threshold=parameters.score_threshold, blank_edges=parameters.exclude_blank_edges,
        autocentre=parameters.autocentre, mask=mask, oversampling=parameters.oversampling, seed=seed,
    )  # fmt: skip


def _range(given: float | None, size: float | None) -> float:
    return SEARCH_PART * (size or 0.0) if given is None else given


def has_halves(volume: dict[str, Any]) -> bool:
    """Tell whether a volume has half maps of its own."""
    return bool(volume.get("half_map_1_path") and volume.get("half_map_2_path"))


def shared_resolution_A(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> float:
    """Return the resolution to which the half sets have ever been aligned to one map; infinite where never.

    References know it, and so do the poses to begin with, of a refinement or of the package, unless a search takes the
    place of all of them.
    """
    chosen = inputs.get("references") or []
    stay = parameters.mode == "local" or parameters.also_refine_input
    poses = (inputs.get("refinement") or inputs["package"]) if stay else []
    known = [one["shared_to_A"] for one in (*chosen, *poses) if one.get("shared_to_A")]
    if parameters.policy == "one-reference" or not all(has_halves(one) for one in chosen):
        known.append(parameters.high_resolution_A)
    return float(min(known, default=math.inf))


def tables_of(
    project: Path, parameters: Any, inputs: dict[str, list[dict[str, Any]]], seed: int
) -> list[ParticleTable]:
    """Return the particles with the parameters of each class to begin with."""
    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.geometry import matrix_to_euler, random_rotations

    package, before = only("package", inputs["package"]), parameters_before(inputs)
    tables = [ParticleTable.load(project / one["particles_path"]).copy() for one in before["details"]]
    for table in tables:
        if len(table) != package["count"]:
            raise InputError(f"{before['name']}: its table has {len(table)} particles, not {package['count']}.")
    angles = [np.rad2deg(one) for one in matrix_to_euler(random_rotations(len(tables[0]), seed))]
    drawn = np.random.Generator(np.random.Philox([seed, 0, 2])).integers(0, len(tables), len(tables[0]))
    for number, table in enumerate(tables):
        if parameters.reset_angles:
            for name, values in zip(("rot_deg", "tilt_deg", "psi_deg"), angles, strict=True):
                table[name] = values
        if parameters.reset_shifts:
            table["origin_x_A"] = table["origin_y_A"] = 0.0
        if parameters.randomise_occupancies:
            table["occupancy"] = 100.0 * (drawn == number)
    return tables
