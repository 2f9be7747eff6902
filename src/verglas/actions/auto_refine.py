"""Auto Refine: poses and maps of a package in rounds until nothing improves; every round is kept as a refinement."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.refinement_rounds import (
    estimate_rounds,
    fitting,
    fitting_radius_A,
    forget,
    last_whole_round,
    round_name,
    state_of,
)
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.formats import ParticleTable
    from verglas.project import Project
    from verglas.stages.refinement import AutoRefineSettings

MASK_PART = 0.65
SEARCH_PART = 0.15
LOW_PART = 1.5
LOWEST_A = 300.0
USUAL_ROUNDS, ROUNDS_AFTER_CTF = 9, 5
LOCAL_BYTES_A_VOXEL = 48
"""Four transforms, the same in one band, and the errors of all filters."""
VARIATION_BYTES = 20
"""Of a component of an image, while classes are found."""


class AutoRefine(Action):
    """Automatic refinement of one package."""

    name = "auto-refine"
    title = "Auto Refine"
    summary = "Refine poses and maps in rounds, to the resolution that the particles give."

    class Parameters(ActionParameters):
        """What a user may set; numbers that are not given follow from the package."""

        policy: Literal["half-sets", "one-reference"] = field(
            "half-sets", help="Each half set has its own reference; or one for both, aligned to less than is reported."
        )
        regularisation: Literal["fsc", "local"] = field(
            "fsc",
            help="Filter references by one FSC curve, or at each place by what the other half set confirms there.",
        )
        classes: int | None = field(None, help="Number of classes; none: the package's.", ge=1, le=100)
        symmetry: str | None = field(None, help="Point group; none: the package's.")
        initial_resolution_A: float = field(
            20.0, help="The initial volume is low-passed here; the first round goes no further.", unit="A", gt=0
        )
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.65 of its largest dimension.", unit="A", gt=0
        )
        auto_mask: bool = field(True, help="Find the particle in each map and mask its surroundings.")
        search_first: bool = field(True, help="Search all poses first; otherwise refine those that are given.")
        rounds: int = field(25, help="The most rounds.", ge=2, le=200)
        refine_ctf: bool = field(
            False, help="Once nothing improves, refine each particle's defocus and the beam tilt, and go on from there."
        )
        finest_resolution_A: float | None = field(
            None, help="No round goes further; none: as far as the pixels allow.", unit="A", gt=0, expert=True
        )
        low_resolution_A: float | None = field(
            None, help="Coarsest resolution; none: 1.5 times the largest dimension, at most 300.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        search_range_A: float | None = field(
            None, help="Largest change of a shift in a search; none: 0.15 of the largest dimension.", unit="A", ge=0,
            expert=True,
        )  # fmt: skip
        results_to_refine: int = field(
            16, help="Poses of each search that are refined; more for weak signals.", ge=1, le=200, expert=True
        )
        inner_radius_A: float = field(
            0.0, help="What is within this radius is masked too, as in a shell.", unit="A", ge=0, expert=True
        )
        likelihood_blurring: bool = field(
            False, help="Particles go into maps at several in-plane angles, by their likelihoods.", expert=True
        )
        smoothing: float = field(1.0, help="Power of those likelihoods.", gt=0, le=1, expert=True)
        mask_edge_A: float = field(10.0, help="Width of the mask's soft edge.", unit="A", ge=0, expert=True)
        outside_weight: float = field(0.0, help="What is outside the mask counts so much.", ge=0, le=1, expert=True)
        outside_low_pass_A: float | None = field(
            None, help="What is outside the mask is low-passed here; none: not.", unit="A", gt=0, expert=True
        )
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (
        Input("package", "package", "The refinement package: one."),
        Input("reference", "volume", "The initial volume: one, or one for each class.", required=False),
        Input(
            "refinement", "refinement", "Poses to begin with; the package's own where none is given.", required=False
        ),
        Input("mask", "volume", "A mask, above zero inside, instead of the automatic one.", required=False),
    )
    outputs = ("reconstruction", "refinement")
    two_profiles = True

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Look up what the halves were once aligned to where the poses to begin with are from."""
        from verglas.project.references import shared_limit_of, shared_limit_of_package

        refinements = [{**one, "shared_to_A": shared_limit_of(project, one)} for one in inputs["refinement"]]
        packages = [{**one, "shared_to_A": shared_limit_of_package(project, one)} for one in inputs["package"]]
        return {**inputs, "package": packages, "refinement": refinements}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the refinement will take, from the records alone."""
        package = only("package", inputs["package"])
        settings = settings_of(parameters, inputs, 1)
        initial_volumes(inputs, settings.classes)
        more = LOCAL_BYTES_A_VOXEL * package["box_px"] ** 3 if settings.regularisation == "local" else 0
        if settings.classes > 1:
            from verglas.stages.refinement.class_start import LIMIT_A, MOST_PARTICLES

            # Images of one half set, to the resolution at which classes are found.
            part = min(1.0, 2.0 * package["pixel_size_A"] / LIMIT_A)
            points = 0.5 * math.pi * (0.5 * package["box_px"] * part) ** 2
            more += round(min(package["count"], MOST_PARTICLES) * points * VARIATION_BYTES)
        return estimate_rounds(
            package, settings.classes, settings.oversampling, most_rounds=settings.rounds,
            usual_rounds=USUAL_ROUNDS + (ROUNDS_AFTER_CTF if parameters.refine_ctf else 0), references=2,
            more_bytes=more,
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Run the rounds that have no result yet."""
        from verglas.actions.auto_refine_classes import begin_classes
        from verglas.actions.auto_refine_ctf import refine_ctf
        from verglas.actions.auto_refine_rounds import begin, end, run_round
        from verglas.stages.refinement import RefinementState

        if context.device != "cpu":
            raise InputError("Auto Refine runs on CPUs; start it with the device cpu.")
        begin(context)
        number = last_whole_round(context)
        while True:
            kept = context.kept(round_name(number))
            assert kept is not None, "a round's arrays are kept until the next one is recorded"
            state = RefinementState.from_arrays(state_of(kept))
            if state.done:
                break
            if state.ctf_wanted:
                refine_ctf(context, state, kept)
                continue
            if state.classes_wanted:
                begin_classes(context, state, kept)
                continue
            number += 1
            run_round(context, state, kept, number)
            forget(context.scratch, number)
            context.check()
        end(context, state)


def initial_volumes(inputs: dict[str, list[dict[str, Any]]], classes: int) -> list[dict[str, str]]:
    """Return path and name of each initial volume: those chosen, or those of the refinement's classes.

    One volume serves all classes.

    Raises
    ------
    InputError
        There is none, or there are several but not one for each class.
    """
    chosen = [{"path": one["path"], "name": one["name"]} for one in inputs.get("reference") or []]
    if chosen:
        if len(chosen) not in {1, classes}:
            raise InputError(
                f"{len(chosen)} initial volumes do not fit {classes} class(es); choose one, or one for each class."
            )
        return chosen
    if inputs.get("refinement"):
        refinement = only("refinement", inputs["refinement"])
        found = [
            {"path": one["volume_path"], "name": f"{refinement['name']} - Class #{number}"}
            for number, one in enumerate(refinement["details"], start=1)
        ]
        chosen = found if len(found) == classes else found[:1]
        if all(one["path"] for one in chosen):
            return chosen
    raise InputError("there is no initial volume; choose one with --reference (see `verglas list volumes`).")


def settings_of(
    parameters: Any, inputs: dict[str, list[dict[str, Any]]], seed: int, project: Path | None = None
) -> AutoRefineSettings:
    """Return the stage's settings, with what is not given from the package; with a project, masks are read too."""
    from verglas.engine import MaskSettings
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.refinement import AlignmentSwitches, AutoRefineSettings

    package = only("package", inputs["package"])
    size = package["largest_dimension_A"]
    if size is None and None in (parameters.mask_radius_A, parameters.search_range_A):
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius and --search-range.")
    radius = fitting_radius_A(parameters.mask_radius_A or MASK_PART * size, package)
    volume = None
    if inputs.get("mask") and project is not None:
        volume = fitting(read_mrc_volume(project / only("mask", inputs["mask"])["path"]), package)
    mask = MaskSettings(
        automatic=parameters.auto_mask, volume=volume, edge_A=parameters.mask_edge_A,
        outside_weight=parameters.outside_weight, outside_lowpass_A=parameters.outside_low_pass_A or 0.0,
        inner_radius_A=parameters.inner_radius_A,
    )  # fmt: skip
    return AutoRefineSettings(
        mask_radius_A=radius, symmetry=parameters.symmetry or package["symmetry"] or "C1",
        classes=parameters.classes or package["classes"] or 1,
        independent_halves=parameters.policy == "half-sets", regularisation=parameters.regularisation,
        start_A=parameters.initial_resolution_A,
        low_A=parameters.low_resolution_A or min(LOWEST_A, LOW_PART * (size or 2.0 * radius)),
        finest_A=parameters.finest_resolution_A or 0.0,
        search_range_A=SEARCH_PART * size if parameters.search_range_A is None else parameters.search_range_A,
        keep=parameters.results_to_refine, search_first=parameters.search_first, rounds=parameters.rounds, mask=mask,
        switches=AlignmentSwitches(blurring=parameters.smoothing if parameters.likelihood_blurring else 0.0),
        oversampling=parameters.oversampling, seed=seed,
    )  # fmt: skip


def given_limit_A(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> float:
    """Return the resolution to which half sets were aligned to one map for the poses that a refinement goes on from.

    Infinite where that is unknown, or where all poses are searched first: a given one then stays only where the search
    has found none that is likelier, refined anew at the start's resolution.
    """
    if parameters.search_first:
        return math.inf
    given = only("refinement", inputs["refinement"]) if inputs.get("refinement") else only("package", inputs["package"])
    return float(given.get("shared_to_A") or math.inf)


def table_of(project: Path, inputs: dict[str, list[dict[str, Any]]]) -> ParticleTable:
    """Return the particles with the poses to begin with."""
    from verglas.formats import ParticleTable

    package = only("package", inputs["package"])
    path = package["particles_path"]
    if inputs.get("refinement"):
        refinement = only("refinement", inputs["refinement"])
        if refinement["package"] != package["id"]:
            raise InputError(f"{refinement['name']} is of package {refinement['package']}, not of {package['name']}.")
        path = refinement["details"][0]["particles_path"]
    table = ParticleTable.load(project / path)
    if len(table) != package["count"]:
        raise InputError(f"{package['name']}: the table {path} has {len(table)} particles, not {package['count']}.")
    return table
