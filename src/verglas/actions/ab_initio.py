"""Ab-Initio 3D: maps of a package's particles with nothing given, from several random starts."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from verglas.engine import ParticleImages
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.stages.abinitio import AbInitioSettings, AbInitioState, FinishedMaps

MASK_PART = 0.55
LOW_PART = 1.5
SHIFT_PART = 0.04
LEAST_SIGMA_A = 3.0
LEG = 20
"""Rounds of a start between two looks at what was asked for, and two checkpoints."""
IMAGES_A_CLASS = 10_000
INTERPRETER_BYTES = 300 * 2**20
SCORES_BYTES = 100 * 2**20
"""Of all poses of the few images that are weighed at once."""
SECONDS_AN_IMAGE = 4e-4
NYQUIST_PART = 0.95
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
            None, help="Independent random starts; the best is gone on with. None: 3, for T, O and I 6.", ge=1, le=50
        )  # fmt: skip
        rounds: int = field(60, help="Rounds of each start.", ge=2, le=5000)
        initial_resolution_A: float | None = field(
            None, help="Resolution of the first rounds; none: 40, for T, O and I 15.", unit="A", gt=0
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
            None, help="Resolution at the end of each start; none: 15, for T, O and I 9.", unit="A", gt=0, expert=True
        )
        finish_rounds: int = field(
            6, help="Rounds with all images after the starts.", ge=2, le=100, expert=True
        )  # fmt: skip
        images: int | None = field(
            None, help="Images used at most, taken by chance; none: 10,000 for each class.", ge=20, expert=True
        )
        least_defocus_A: float | None = field(None, help="Leave out images nearer to focus.", unit="A", expert=True)
        most_defocus_A: float | None = field(None, help="Leave out images farther from focus.", unit="A", expert=True)

    inputs = (Input("package", "package", "The refinement package: one."),)
    outputs = ("reconstruction",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the search will take, from the package's record alone."""
        from verglas.engine.reconstruction import memory_needed as map_memory
        from verglas.execution.resources import Estimate
        from verglas.stages.abinitio import memory_needed

        package = only("package", inputs["package"])
        settings = settings_of(parameters, package, 1)
        images = min(package["count"], most_images(parameters, settings))
        width = package["box_px"] * package["pixel_size_A"]
        held = memory_needed(images, width, settings.finish_A)
        visits = settings.starts * sum(settings.batch(images, one) for one in range(settings.rounds))
        visits += 3 * settings.finish_rounds * images
        box = math.ceil(2.2 * width / settings.finish_A) + 8
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + SCORES_BYTES + 2 * held + 3 * settings.classes * map_memory(box)
            + 256 * 8 * package["box_px"] ** 2,
            disk_bytes=2 * held + settings.starts * (96 * images + settings.classes * map_memory(box))
            + 3 * settings.classes * 4 * package["box_px"] ** 3,
            core_seconds=20.0 + visits * SECONDS_AN_IMAGE,
            tasks=settings.starts,
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Run what is missing of the starts and of the finish, and record the maps."""
        if context.device != "cpu":
            raise InputError("Ab-Initio 3D runs on CPUs; start it with the device cpu.")
        if not context.pending(["class-1"], key=str):
            return
        package = only("package", context.inputs["package"])
        settings = settings_of(context.parameters, package, context.seed)
        keep_images(context, package, settings)
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


def settings_of(parameters: Any, package: dict[str, Any], seed: int) -> AbInitioSettings:
    """Return the stage's settings, with what is not given from the package."""
    from verglas.stages.abinitio import AbInitioSettings

    size = package["largest_dimension_A"]
    if size is None and None in (parameters.mask_radius_A, parameters.shift_sigma_A):
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius and --shift-sigma.")
    radius = parameters.mask_radius_A or MASK_PART * size
    width = package["box_px"] * package["pixel_size_A"]
    if radius > 0.5 * width:
        raise InputError(f"a mask of radius {radius:g} A does not fit into a box of {width:g} A; give --mask-radius.")
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
    return [min(end, settings.rounds) for end in range(LEG, settings.rounds + LEG, LEG)]


def taken(context: JobContext) -> bool:
    """Tell whether somebody wants the maps as they are, or those of the best start."""
    return context.asked(TAKE_CURRENT) or context.asked(TAKE_LAST)


def keep_images(context: JobContext, package: dict[str, Any], settings: AbInitioSettings) -> None:
    """Prepare the images once and keep them in Scratch, where all workers map them into memory."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.formats import ParticleTable
    from verglas.stages.abinitio import chosen_places, prepared, split_images

    if context.kept("places") is not None:
        return
    parameters = context.parameters
    context.progress(0, settings.starts * settings.rounds, "preparing images")
    table = ParticleTable.load(context.project / package["particles_path"])
    defocus = (
        -math.inf if parameters.least_defocus_A is None else parameters.least_defocus_A,
        math.inf if parameters.most_defocus_A is None else parameters.most_defocus_A,
    )
    with ParticleStack(table, context.project) as stack:
        places = chosen_places(stack, most_images(parameters, settings), context.seed, defocus)
        split_images(len(places), settings)
        images = prepared(stack, places, settings, settings.finish_A, threads=context.threads)
    for name in ("data", "transfer"):
        with_name = context.scratch / f"images-{name}.npy"
        np.save(with_name.with_suffix(".part.npy"), getattr(images, name))
        with_name.with_suffix(".part.npy").replace(with_name)
    context.keep("places", {
        "places": places, "group": images.group, "defocus": images.defocus, "whitening": images.whitening,
    })  # fmt: skip
    context.message(f"{len(places)} of {len(stack)} particles are used.")


def images_of(
    project: Path, scratch: Path, package: dict[str, Any], settings: AbInitioSettings, limit_A: float
) -> ParticleImages:
    """Return the images that were kept, to a resolution."""
    from dataclasses import replace

    import numpy as np

    from verglas.engine import ParticleImages, ParticleStack
    from verglas.engine.band_sums import working_box
    from verglas.engine.images import band
    from verglas.execution.reduction import load_arrays
    from verglas.formats import ParticleTable

    kept = load_arrays(scratch / "places.npz")
    table = ParticleTable.load(project / package["particles_path"])
    with ParticleStack(table, project) as stack:
        width, optics, full = stack.box * stack.pixel_size_A, stack.optics(int(kept["group"][0])), stack.box
    box = min(full, working_box(width, settings.finish_A))
    whole = band(box, width / box, settings.finish_A, settings.low_A)
    part = whole.up_to(limit_A)
    points = len(part)
    data, transfer = (
        np.load(scratch / f"images-{name}.npy", mmap_mode="r")[:, :points] for name in ("data", "transfer")
    )
    return ParticleImages(
        part, np.ascontiguousarray(data), np.ascontiguousarray(transfer), kept["whitening"][:, :points], kept["group"],
        replace(optics, pixel_size_A=width / box), kept["defocus"],
    )  # fmt: skip


def state_name(start: int, number: int) -> str:
    """Return what the state of a start after some rounds is kept under."""
    return f"start-{start:02d}-{number:05d}"


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


def leg_of_start(
    start: int, task: Task, parameters: dict[str, Any], package: dict[str, Any], before: int, end: int
) -> dict[str, Any]:
    """Run some rounds of a start on a worker and keep its state; return figures of it."""
    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.stages.abinitio import AbInitioState, first_state, judge, split_images, start_round

    settings = settings_of(AbInitio.Parameters.model_validate(parameters), package, task.seed)
    images = images_of(task.project, task.scratch, package, settings, settings.middle_A)
    learned, judged = split_images(len(images), settings)
    if before:
        state = AbInitioState.from_arrays(load_arrays(task.scratch / f"{state_name(start, before)}.npz"))
    else:
        state = first_state(len(images), settings, start)
    while state.number < end:
        task.check()
        start_round(state, images, learned, settings, start, threads=task.threads)
    gain = judge(state, images, judged, settings, threads=task.threads)
    picture(task.results / f"startup_start_{start + 1}.png", state, f"start {start + 1}, round {state.number}")
    save_arrays(task.scratch / f"{state_name(start, end)}.npz", {**state.arrays(), "judged": gain})
    return {
        "round": state.number, "limit_A": round(settings.start_limit_A(state.number - 1), 2),
        "gain": round(float(state.gain[-LEG:].mean()), 3), "gain_on_unseen": round(gain, 3),
    }  # fmt: skip


def picture(path: Path, state: AbInitioState, title: str) -> None:
    """Draw the maps of a state as they are, over an older picture of the same start."""
    from verglas.engine.map_views import new_figure, save_figure, show_views

    figure = new_figure(7.0, 4.8 * len(state.volumes))
    axes = figure.subplots(2 * len(state.volumes), 3, squeeze=False)
    for k, volume in enumerate(state.volumes):
        show_views(axes[2 * k], axes[2 * k + 1], volume, f"class {k + 1}" if len(state.volumes) > 1 else "")
    figure.suptitle(title)
    save_figure(figure, path)


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


def finish_on_worker(
    number: int, task: Task, parameters: dict[str, Any], package: dict[str, Any], best: tuple[int, int]
) -> dict[str, Any]:
    """Run one round with all images on a worker; its maps and state are kept in Scratch."""
    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.stages.abinitio import AbInitioState, finish_round

    settings = settings_of(AbInitio.Parameters.model_validate(parameters), package, task.seed)
    images = images_of(task.project, task.scratch, package, settings, settings.finish_A)
    before = state_name(*best) if number == 1 else f"finish-{number - 1:03d}"
    state = AbInitioState.from_arrays(load_arrays(task.scratch / f"{before}.npz"))
    maps = finish_round(state, images, settings, threads=task.threads)
    save_arrays(task.scratch / f"finish-{number:03d}.npz", {**state.arrays(), **kept_maps(maps)})
    return {
        "finish_round": number, "limit_A": round(settings.finish_limit_A(number - 1), 2),
        "gain": round(float(state.gain[-1]), 3), "class_percent": [round(100.0 * float(one), 1) for one in maps.share],
    }  # fmt: skip


def kept_maps(maps: FinishedMaps) -> dict[str, Any]:
    """Return maps as arrays that are kept."""
    return {"maps": maps.volumes, "share": maps.share}


def record(
    context: JobContext, package: dict[str, Any], settings: AbInitioSettings, best: tuple[int, int],
    finished: dict[str, np.ndarray] | None,
) -> None:  # fmt: skip
    """Write and record the maps at the package's box."""
    import numpy as np

    from verglas.engine.reconstructed_map import ReconstructedMap
    from verglas.signal import resize
    from verglas.stages.reconstruction import result_values, write_reconstruction

    start = context.kept(state_name(*best))
    assert start is not None, "the state of the best start is kept until the job has ended"
    kept = start if finished is None else finished
    volumes = kept["maps"] if finished is not None else kept["volumes"]
    box, pixel_size_A = package["box_px"], package["pixel_size_A"]
    limit_A = settings.finish_A if finished is not None else settings.start_limit_A(best[1] - 1)
    for k, volume in enumerate(volumes, start=1):
        larger = resize(volume, (box,) * 3, workers=context.threads) * np.float32((len(volume) / box) ** 3)
        count = int((kept["reference"] == k - 1).sum())
        found = ReconstructedMap(
            None, np.asarray(larger, np.float32), None, None, None, None, np.zeros(0), (count, 0)
        )  # fmt: skip
        stem = f"startup_volume_{context.job.number}_{k}"
        files = write_reconstruction(found, context.results, stem, pixel_size_A)
        context.result(f"class-{k}", "reconstruction", files, {
            **result_values(found, pixel_size_A), "name": f"Volume From Startup #{context.job.number} - Class #{k}",
            "package": package["id"], "symmetry": settings.symmetry if bool(kept["axes_found"]) else "C1",
            "mass_kDa": settings.mass_kDa, "largest_dimension_A": package["largest_dimension_A"], "stem": stem,
            "file_bytes": files["map"].stat().st_size, "start": best[0] + 1, "limit_A": round(limit_A, 3),
            "gain_on_unseen": round(float(start["judged"]), 4),
            "occupancy_percent": round(100.0 * count / len(kept["reference"]), 2),
        })  # fmt: skip
    context.message(
        f"The maps hold what aligned images agree on to {limit_A:.1f} A; that is no resolution, for all images were "
        "aligned to one map. Their hand is not determined. Auto Refine goes on from here."
    )
