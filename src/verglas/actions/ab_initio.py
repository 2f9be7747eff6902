"""Ab-Initio 3D: maps of a package's particles with nothing given, from several random starts."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from verglas.actions.ab_initio_images import keep_images
from verglas.actions.ab_initio_rounds import finish_on_worker, leg_of_start, record
from verglas.actions.ab_initio_settings import leg_ends, most_images, settings_of, state_name
from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.project import Project
    from verglas.stages.abinitio import AbInitioSettings

INTERPRETER_BYTES = 300 * 2**20
SCORES_BYTES = 100 * 2**20
"""Of all poses of the few images that are weighed at once."""
SECONDS_AN_IMAGE, SECONDS_A_SCORE = 1e-4, 1.7e-8
"""Of a round: for each image, and for each of its directions, angles and rings; from apoferritin in O at 9 A."""
TAKE_CURRENT, TAKE_LAST = "take-current", "take-last-start"


class AbInitio(Action):
    """Maps from the particles of one package alone."""

    name = "ab-initio"
    title = "Ab-Initio 3D"
    summary = "Find maps of the particles of a package with nothing given but size, mass and symmetry."

    class Parameters(ActionParameters):
        """What a user may set; numbers that are not given follow from the package."""

        symmetry: str | None = field(None, help="Point group; none: the package's.")
        classes: int | None = field(None, help="Number of maps; none: the package's.", ge=1, le=20)
        starts: int | None = field(
            None, help="Independent random starts; the best is gone on with. None: 3, with symmetry 6, T, O and I 8.",
            ge=1, le=50,
        )  # fmt: skip
        rounds: int | None = field(
            None, help="Rounds of each start. None: 60, for T, O and I 20.", ge=2, le=5000
        )  # fmt: skip
        initial_resolution_A: float | None = field(
            None, help="Resolution of the first rounds; none: 40, for T, O and I 9 or more.", unit="A", gt=0
        )  # fmt: skip
        final_resolution_A: float = field(8.0, help="Resolution of the last rounds.", unit="A", gt=0)
        always_apply_symmetry: bool | None = field(
            None, help="Impose the symmetry from the first round; otherwise begin without, find its axes, then impose. "
            "None: only T, O and I from the first round.",
        )  # fmt: skip
        auto_mask: bool = field(True, help="Find the particle in the map and mask its surroundings in the last rounds.")
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.55 of its largest dimension.", unit="A", gt=0
        )
        mass_kDa: float | None = field(None, help="Mass of the particle; none: the package's.", unit="kDa", gt=0)
        shift_sigma_A: float | None = field(
            None, help="Usual error of centring along an axis; none: 0.04 of the largest dimension, at least 3.",
            unit="A", gt=0, expert=True,
        )  # fmt: skip
        middle_resolution_A: float | None = field(
            None, help="Resolution at the end of each start; none: 15, for T, O and I 9 or more.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        finish_rounds: int = field(
            6, help="Rounds with all images after the starts.", ge=2, le=100, expert=True
        )  # fmt: skip
        average_size: int = field(5, help="Particles of an average, where averages of 2D classes are the images.", ge=1)
        images: int | None = field(
            None, help="Images used at most, taken by chance; none: 10,000 for each class.", ge=20, expert=True
        )
        least_defocus_A: float | None = field(None, help="Leave out images nearer to focus.", unit="A", expert=True)
        most_defocus_A: float | None = field(None, help="Leave out images farther from focus.", unit="A", expert=True)

    inputs = (
        Input("package", "package", "The refinement package: one; with a selection, that of its classes."),
        Input(
            "selection", "selection", "2D classes whose averages are the images, in place of the particles: one "
            "selection.", required=False, with_parents=True,
        ),
    )  # fmt: skip
    outputs = ("reconstruction",)

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Choose the package whose classes are selected."""
        del project
        if not inputs["selection"]:
            return inputs
        selection = only("selection", inputs["selection"])
        number = selection["parent"]["package"]
        chosen = [one for one in inputs["package"] if one["id"] == number]
        if not chosen:
            raise InputError(
                f"{selection['name']} is of classes of package {number}; choose that one with --package, or leave it "
                "out. If it lies in the trash, bring it back with `verglas trash restore`."
            )
        return {**inputs, "package": chosen}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the search will take, from the package's record alone."""
        from verglas.engine.reconstruction import memory_needed as map_memory
        from verglas.execution.resources import Estimate
        from verglas.stages.abinitio import memory_needed
        from verglas.stages.abinitio.averages import AT_ONCE

        package = only("package", inputs["package"])
        settings = settings_of(parameters, package, 1)
        size = parameters.average_size if inputs.get("selection") else 1
        images = min(math.ceil(package["count"] / size), most_images(parameters, settings))
        width = package["box_px"] * package["pixel_size_A"]
        held = memory_needed(images, width, settings.finish_A)
        rounds = range(settings.rounds)
        spent = settings.starts * sum(
            settings.batch(images, one) * self.seconds_an_image(settings, width, settings.start_limit_A(one))
            for one in rounds
        )  # fmt: skip
        spent += 3 * settings.finish_rounds * images * self.seconds_an_image(settings, width, settings.middle_A)
        box = math.ceil(2.2 * width / settings.finish_A) + 8
        planes = AT_ONCE * 24 * (2 * box + 3) * (box + 3) if inputs.get("selection") else 0
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + SCORES_BYTES + 2 * held + 3 * settings.classes * map_memory(box)
            + 256 * 8 * package["box_px"] ** 2 + planes,
            disk_bytes=2 * held + settings.starts * (96 * images + settings.classes * map_memory(box))
            + 3 * settings.classes * 4 * package["box_px"] ** 3,
            core_seconds=20.0 + spent,
            tasks=settings.starts,
        )  # fmt: skip

    @staticmethod
    def seconds_an_image(settings: AbInitioSettings, width_A: float, limit_A: float) -> float:
        """Return what it takes to weigh all poses of an image of a field of view at a resolution."""
        directions = 4.0 * math.pi / (settings.units * settings.spacing(limit_A) ** 2)
        angles_and_rings = 2.0 * settings.radius_A * width_A / limit_A**2
        return float(settings.classes * (SECONDS_AN_IMAGE + SECONDS_A_SCORE * directions * angles_and_rings))

    def run(self, context: JobContext) -> None:
        """Run what is missing of the starts and of the finish, and record the maps."""
        if context.device != "cpu":
            raise InputError("Ab-Initio 3D runs on CPUs; start it with the device cpu.")
        if not context.pending(["class-1"], key=str):
            return
        package = only("package", context.inputs["package"])
        settings = settings_of(context.parameters, package, context.seed)
        keep_images(context, settings)
        legs = leg_ends(settings)
        for number, end in enumerate(legs):
            if taken(context):
                break
            run_leg(context, settings, number, end)
        best = best_start(context, settings)
        maps = None
        if not taken(context):
            maps = run_finish(context, settings, best)
        record(context, package, settings, best, maps)


def taken(context: JobContext) -> bool:
    """Tell whether somebody wants the maps as they are, or those of the best start."""
    return context.asked(TAKE_CURRENT) or context.asked(TAKE_LAST)


def run_leg(context: JobContext, settings: AbInitioSettings, number: int, end: int) -> None:
    """Take all starts to a round, each on a worker, and say how they do."""
    ends = leg_ends(settings)
    before = ends[number - 1] if number else 0
    waiting = [one for one in range(settings.starts) if context.kept(state_name(one, end)) is None]
    work = partial(
        leg_of_start, parameters=context.parameters.model_dump(), package=only("package", context.inputs["package"]),
        before=before, end=end,
    )  # fmt: skip
    done = settings.starts * number
    for start, figures in context.map(
        work, waiting, key=lambda one: state_name(one, end), phase=f"starts to round {end} of {settings.rounds}",
        total=settings.starts * len(ends), finished=done + settings.starts - len(waiting),
    ):  # fmt: skip
        context.figures(start=start + 1, **figures)
    missing = [one for one in range(settings.starts) if context.kept(state_name(one, end)) is None]
    if len(missing) == settings.starts:
        raise InputError("no start could be gone on with; the log says why.")
    for start in range(settings.starts):
        if before:
            (context.scratch / f"{state_name(start, before)}.npz").unlink(missing_ok=True)


def best_start(context: JobContext, settings: AbInitioSettings) -> tuple[int, int]:
    """Return the start whose maps explain unseen images best, and the round it has come to."""
    found = []
    for end in reversed(leg_ends(settings)):
        for start in range(settings.starts):
            kept = context.kept(state_name(start, end))
            if kept is not None:
                found.append((float(kept["judged"]), -start, end))
        if found:
            break
    if not found:
        raise InputError("no start has come to a map yet, so there is nothing to take; let it run a little longer.")
    gain, start, end = max(found)
    others = ", ".join(f"{one:.2f}" for one, _, _ in sorted(found, reverse=True))
    context.message(
        f"Start {1 - start} explains images that it has not seen best: log-likelihood {gain:.2f} an image above that "
        f"of no map (all starts: {others})."
    )
    return -start, end


def run_finish(context: JobContext, settings: AbInitioSettings, best: tuple[int, int]) -> dict[str, np.ndarray] | None:
    """Run the rounds with all images; return the last maps, None where somebody took them before the first."""
    maps = None
    for number in range(1, settings.finish_rounds + 1):
        name = f"finish-{number:03d}"
        kept = context.kept(name)
        if kept is None:
            if taken(context):
                return None if context.asked(TAKE_LAST) else maps
            work = partial(
                finish_on_worker, parameters=context.parameters.model_dump(),
                package=only("package", context.inputs["package"]), best=best,
            )  # fmt: skip
            for _, figures in context.map(
                work, [number], key=lambda one: f"finish-{one:03d}", phase="all images",
                total=settings.finish_rounds, finished=number - 1,
            ):  # fmt: skip
                context.figures(**figures)
            kept = context.kept(name)
            if kept is None:
                raise InputError("the maps could not be finished; the log says why.")
        maps = kept
    return maps
