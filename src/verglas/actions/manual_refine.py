"""Manual Refine: rounds with limits, masks and moves of the user's; also 3D classification, with or without a focus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.refinement_rounds import estimate_rounds, forget, last_whole_round, round_name, state_of
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.project import Project


class ManualRefine(Action):
    """Refinement or classification of one package as the user says."""

    name = "manual-refine"
    title = "Manual Refine"
    summary = "Refine or classify particles in 3D, with all limits, masks and moves set by hand."

    class Parameters(ActionParameters):
        """What a user may set; numbers that are not given follow from the package."""

        mode: Literal["local", "global"] = field("local", help="Refine the given poses, or search all poses.")
        rounds: int = field(1, help="Number of rounds.", ge=1, le=200)
        high_resolution_A: float = field(30.0, help="Finest resolution of alignment.", unit="A", gt=0)
        classification_resolution_A: float = field(
            30.0, help="Finest resolution that decides about classes; never finer than that of alignment.", unit="A",
            gt=0,
        )  # fmt: skip
        policy: Literal["half-sets", "one-reference"] = field(
            "half-sets", help="Each half set has its own reference, or one for both."
        )
        percent: float = field(100.0, help="Part of the particles that each round uses.", unit="%", gt=0, le=100)
        refine_psi: bool = field(True, help="Refine the in-plane angle.")
        refine_theta: bool = field(True, help="Refine the tilt of the view.")
        refine_phi: bool = field(True, help="Refine the direction of the tilt.")
        refine_x: bool = field(True, help="Refine the shift in x.")
        refine_y: bool = field(True, help="Refine the shift in y.")
        refine_occupancies: bool = field(True, help="Update the occupancies of several classes.")
        randomise_occupancies: bool = field(False, help="Begin with each particle in one class, drawn by the seed.")
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.65 of its largest dimension.", unit="A", gt=0
        )
        auto_mask: bool = field(True, help="Find the particle in each map and mask its surroundings.")
        autocentre: bool = field(False, help="Move each map's centre of mass to the middle of the box.")
        focus: bool = field(False, help="Classes may differ within a sphere alone.")
        focus_x_A: float = field(0.0, help="Centre of the sphere, from the first voxel of the map.", unit="A", ge=0)
        focus_y_A: float = field(0.0, help="Centre of the sphere, from the first voxel of the map.", unit="A", ge=0)
        focus_z_A: float = field(0.0, help="Centre of the sphere, from the first voxel of the map.", unit="A", ge=0)
        focus_radius_A: float = field(30.0, help="Radius of the sphere; 30 to 40 A suit most.", unit="A", gt=0)
        focus_by: Literal["map", "circle"] = field(
            "map", help="Maps differ within the focus alone, or residuals count where it is seen (Frealign X).",
            expert=True,
        )  # fmt: skip
        refine_defocus: bool = field(False, help="Search each particle's own defocus.")
        defocus_range_A: float = field(500.0, help="Range of that search.", unit="A", gt=0, expert=True)
        defocus_step_A: float = field(50.0, help="Step of that search.", unit="A", gt=0, expert=True)
        symmetry: str | None = field(None, help="Point group; none: that of the refinement or package.")
        low_resolution_A: float | None = field(
            None, help="Coarsest resolution; none: 1.5 times the largest dimension, at most 300.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        search_mask_radius_A: float | None = field(
            None, help="Mask of references in searches; none: 0.8 of the largest dimension.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        results_to_refine: int = field(20, help="Poses of each search that are refined.", ge=1, le=200, expert=True)
        also_refine_input: bool = field(
            True, help="A search's pose is taken only where it is more likely than the given one, refined.",
            expert=True,
        )  # fmt: skip
        angular_step_deg: float | None = field(
            None, help="Between directions of a search; none: by resolution and size.", unit="degrees", gt=0,
            expert=True,
        )  # fmt: skip
        search_range_x_A: float | None = field(
            None, help="Largest change of x in a search; none: 0.15 of the largest dimension.", unit="A", ge=0,
            expert=True,
        )  # fmt: skip
        search_range_y_A: float | None = field(
            None, help="Largest change of y in a search; none: 0.15 of the largest dimension.", unit="A", ge=0,
            expert=True,
        )  # fmt: skip
        reset_angles: bool = field(False, help="Begin with random angles.", expert=True)
        reset_shifts: bool = field(False, help="Begin with no shifts.", expert=True)
        score_weight_A2: float = field(
            2.0, help="B-factor by which a particle counts less for each point its score is below the mean.",
            unit="A^2", ge=0, expert=True,
        )  # fmt: skip
        adjust_scores: bool = field(True, help="Take out of the scores what depends on defocus.", expert=True)
        score_threshold: float = field(
            0.0, help="Into the maps go: 0: all; up to 1: the best-scoring part; above: the least score.", ge=0,
            expert=True,
        )  # fmt: skip
        exclude_blank_edges: bool = field(
            False, help="Leave images out of the maps that reach over a micrograph's edge.", expert=True
        )
        reconstruction_limit_A: float = field(0.0, help="Finest resolution of the maps; 0: all.", unit="A", ge=0,
                                              expert=True)  # fmt: skip
        crop: bool = field(False, help="Fourier-crop images to what the limit needs.", expert=True)
        likelihood_blurring: bool = field(
            False, help="Particles go into maps at several in-plane angles, by their likelihoods.", expert=True
        )
        smoothing: float = field(1.0, help="Power of those likelihoods.", gt=0, le=1, expert=True)
        inner_radius_A: float = field(
            0.0, help="What is within this radius is masked too, as in a shell.", unit="A", ge=0, expert=True
        )
        mask_edge_A: float = field(10.0, help="Width of the mask's soft edge.", unit="A", ge=0, expert=True)
        outside_weight: float = field(0.0, help="What is outside the mask counts so much.", ge=0, le=1, expert=True)
        outside_low_pass_A: float | None = field(
            None, help="What is outside the mask is low-passed here; none: not.", unit="A", gt=0, expert=True
        )
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (
        Input("package", "package", "The refinement package: one."),
        Input("refinement", "refinement", "Parameters to begin with; none: the package's latest.", required=False),
        Input(
            "references", "volume", "Initial volumes in the order of the classes; none: the package's active ones.",
            required=False,
        ),
        Input("mask", "volume", "A mask, above zero inside, instead of the automatic one.", required=False),
        Input("focus_mask", "volume", "A mask, above zero inside, instead of the sphere of the focus.",
              required=False),
    )  # fmt: skip
    outputs = ("reconstruction", "refinement")

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Choose the latest refinement of the package, and the active reference of each class."""
        from verglas.project.references import (
            active_references,
            shared_limit,
            shared_limit_of,
            shared_limit_of_package,
        )

        if len(inputs["package"]) != 1:
            return inputs
        package = inputs["package"][0]
        if not inputs["refinement"]:
            own = [one for one in project.assets("refinement") if one["package"] == package["id"]]
            inputs = {**inputs, "refinement": own[-1:]}
        if not inputs["references"]:
            classes = inputs["refinement"][0]["classes"] if inputs["refinement"] else 1
            found = [one["volume"] for one in active_references(project, package["id"])][:classes]
            if len(found) == classes and all(found):
                inputs = {**inputs, "references": [project.asset("volume", int(number)) for number in found]}
        return {
            **inputs,
            "package": [{**package, "shared_to_A": shared_limit_of_package(project, package)}],
            "refinement": [{**one, "shared_to_A": shared_limit_of(project, one)} for one in inputs["refinement"]],
            "references": [{**one, "shared_to_A": shared_limit(project, one)} for one in inputs["references"]],
        }

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the refinement will take, from the records alone."""
        from verglas.actions.manual_refine_settings import settings_of

        package = only("package", inputs["package"])
        settings = settings_of(parameters, inputs, 1)
        chosen = len(inputs.get("references") or [])
        if chosen not in (0, settings.classes):
            raise InputError(f"{settings.classes} classes need a reference each, or none; {chosen} were chosen.")
        return estimate_rounds(
            package, settings.classes, settings.oversampling, most_rounds=settings.rounds,
            usual_rounds=settings.rounds, references=4,
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Run the rounds that have no result yet."""
        from verglas.actions.manual_refine_rounds import end, run_round
        from verglas.actions.manual_refine_start import begin
        from verglas.stages.refinement import RefinementState

        if context.device != "cpu":
            raise InputError("Manual Refine runs on CPUs; start it with the device cpu.")
        begin(context)
        number = last_whole_round(context)
        while True:
            kept = context.kept(round_name(number))
            assert kept is not None, "a round's arrays are kept until the next one is recorded"
            state = RefinementState.from_arrays(state_of(kept))
            if state.done:
                break
            number += 1
            run_round(context, state, kept, number)
            forget(context.scratch, number)
            context.check()
        end(context, state)
