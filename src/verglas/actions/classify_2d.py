"""Classify 2D: sort the particles of a package into classes by maximum likelihood; every round is kept."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.stages.classification2d import ClassificationSettings
    from verglas.stages.classification2d.particles import WorkingImages
    from verglas.stages.classification2d.quality import ClassQuality
    from verglas.stages.classification2d.rounds import ClassState
    from verglas.stages.classification2d.weighing import ImageResult

START_A = 40.0
MASK_PART = 0.6
SHIFT_PART = 0.33
LEAST_CHUNK = 1000
MOST_CHUNKS = 32
"""Particles are summed in chunks of a size that depends on their number alone, so that answers do not on workers."""
SECONDS_A_PARTICLE = 4e-5
"""Of one round and class, at a working box of 64 pixels."""
HISTORY = (
    "round", "limit_A", "particles_used", "log_likelihood", "certainty", "moved", "shift_sigma_A", "best_resolution_A",
)  # fmt: skip
"""What the curves show, one line a round."""
ROW_NAMES = ("number", "psi", "displacements_A", "log_likelihood", "weight")


class Classify2D(Action):
    """Classification of the particles of one package."""

    name = "classify-2d"
    title = "Classify 2D"
    summary = "Sort particles into 2D classes by maximum likelihood."

    class Parameters(ActionParameters):
        """What a user may set; numbers that are not given follow from the package."""

        classes: int | None = field(None, help="Number of classes; none: one in 300 particles, 5 to 50.", ge=1, le=1000)
        rounds: int = field(20, help="Rounds.", ge=1, le=200)
        low_resolution_A: float = field(300.0, help="Coarsest resolution used.", unit="A", gt=0)
        start_resolution_A: float | None = field(
            None, help="Finest resolution of the first round; none: 40 A, or that of the round continued from.",
            unit="A", gt=0,
        )  # fmt: skip
        finish_resolution_A: float = field(8.0, help="Finest resolution of the last rounds.", unit="A", gt=0)
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.6 of its largest dimension.", unit="A", gt=0
        )
        max_shift_A: float | None = field(
            None, help="Largest shift; none: 0.33 of its largest dimension.", unit="A", ge=0
        )
        percent_used: float = field(0.0, help="Particles of a round; 0: few at first, all at last.", unit="%", ge=0,
                                    le=100)  # fmt: skip
        recentre: bool = field(True, help="Keep class averages in the middle.")
        automask: bool = field(False, help="Mask class averages by their own density.")
        exclude_blank_edges: bool = field(False, help="Leave out images that reach beyond their micrograph.")
        smoothing: float = field(1.0, help="Below 1, particles share classes and poses more.", gt=0, le=1, expert=True)
        keep: int = field(12, help="Poses of each particle that are refined and weighed.", ge=1, le=50, expert=True)

    inputs = (
        Input("package", "package", "The refinement package to classify: one."),
        Input("continue_from", "classification", "A round to go on from, of the same package.", required=False),
    )
    outputs = ("classification",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the classification will take, from the package's record alone."""
        from verglas.execution.resources import Estimate

        package = only("package", inputs["package"])
        settings = settings_of(parameters, package, 1, started_from(inputs))
        box = working_box(package, settings.finish_A)
        planes = 2 * settings.classes * (2 * box + 3) * (box + 3) * 3 * 8
        particles = package["count"]
        chunks = -(-particles // chunk_size(particles))
        used = sum(settings.part_used(number, particles) for number in range(1, settings.rounds + 1))
        per_particle = SECONDS_A_PARTICLE * (settings.classes + 10) * (box / 64) ** 2
        return Estimate(
            memory_bytes=300 * 2**20 + 3 * planes + 500 * (8 * package["box_px"] ** 2 + 40 * box**2),
            disk_bytes=settings.rounds * (4 * settings.classes * package["box_px"] ** 2 + 300 * particles)
            + chunks * planes + 100 * particles,
            core_seconds=used * particles * per_particle + 10.0,
            tasks=chunks,
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Run the rounds that have no result yet."""
        from verglas.engine import ParticleStack
        from verglas.formats import ParticleTable

        package, start = only("package", context.inputs["package"]), started_from(context.inputs)
        settings = settings_of(context.parameters, package, context.seed, start)
        table = ParticleTable.load(context.project / package["particles_path"])
        with ParticleStack(table, context.project) as images:
            working = working_images(package, settings, images)
            if context.pending([round_name(1)], key=str) and context.kept(round_name(0)) is None:
                context.progress(0, settings.rounds, "first averages")
                context.keep(round_name(0), first_averages(context, package, start, images, working, settings))
            for number in range(1, settings.rounds + 1):
                if context.pending([round_name(number)], key=str):
                    run_round(context, package, start, settings, working, table, images, number)
                    forget(context.scratch, number)
                    context.check()


def started_from(inputs: dict[str, list[dict[str, Any]]]) -> dict[str, Any] | None:
    """Return the classification to go on from, None where there is none.

    Raises
    ------
    InputError
        There are several, or it is of another package.
    """
    found = inputs.get("continue_from", [])
    if not found:
        return None
    start, package = only("classification", found), only("package", inputs["package"])
    if start["package"] != package["id"]:
        raise InputError(f"{start['name']} is of package {start['package']}; choose that one with --package.")
    return start


def round_name(number: int) -> str:
    """Return what a round's arrays and result are kept under; round 0 is the start."""
    return f"round-{number:03d}"


def forget(scratch: Path, number: int) -> None:
    """Remove what a recorded round has left in Scratch, but for the arrays that the next one starts from."""
    name = round_name(number)
    shutil.rmtree(scratch / f"{name}-sums", ignore_errors=True)
    for path in (*scratch.glob(f"{name}-rows-*.npz"), scratch / f"{round_name(number - 1)}.npz"):
        path.unlink(missing_ok=True)


def settings_of(
    parameters: Any, package: dict[str, Any], seed: int, start: dict[str, Any] | None = None
) -> ClassificationSettings:
    """Return the stage's settings, with what is not given from the package and the round that is continued.

    Raises
    ------
    InputError
        They contradict each other.
    """
    from verglas.stages.classification2d import ClassificationSettings, suggested_classes

    size = package["largest_dimension_A"]
    if size is None and None in (parameters.mask_radius_A, parameters.max_shift_A):
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius and --max-shift.")
    classes = parameters.classes or (start["classes"] if start else suggested_classes(package["count"]))
    if start and classes != start["classes"]:
        raise InputError(f"{start['name']} has {start['classes']} classes; leave --classes out to go on from it.")
    finish_A = max(parameters.finish_resolution_A, 2.0 * package["pixel_size_A"])
    start_A = parameters.start_resolution_A or (max(start["limit_A"], finish_A) if start else START_A)
    return ClassificationSettings(
        classes=classes,
        mask_radius_A=parameters.mask_radius_A or MASK_PART * size,
        max_shift_A=SHIFT_PART * size if parameters.max_shift_A is None else parameters.max_shift_A,
        rounds=parameters.rounds, low_A=parameters.low_resolution_A, start_A=start_A, finish_A=finish_A,
        smoothing=parameters.smoothing, percent_used=parameters.percent_used, recentre=parameters.recentre,
        automask=parameters.automask, exclude_blank_edges=parameters.exclude_blank_edges, keep=parameters.keep,
        seed=seed, least_part=min(1.0, start["particles_used"] / max(1, package["count"])) if start else 0.0,
    )  # fmt: skip


def working_box(package: dict[str, Any], finish_A: float) -> int:
    """Return the box that images are cropped to."""
    from verglas.microscopy import Optics
    from verglas.stages.classification2d.particles import WorkingImages

    optics = Optics(300.0, 2.7, 0.07, package["pixel_size_A"])
    return WorkingImages.to_limit(package["box_px"], optics, 1.0, finish_A).working_box


def working_images(package: dict[str, Any], settings: ClassificationSettings, images: ParticleStack) -> WorkingImages:
    """Return how this package's images are made ready."""
    from verglas.stages.classification2d.particles import WorkingImages

    optics, white = images.one_optics()
    return WorkingImages.to_limit(
        package["box_px"], optics, settings.mask_radius_A, settings.finish_A, contrast_inverted=white
    )


def chunk_size(particles: int) -> int:
    """Return how many particles are summed at a time."""
    return max(LEAST_CHUNK, math.ceil(particles / MOST_CHUNKS))


def first_averages(
    context: JobContext, package: dict[str, Any], start: dict[str, Any] | None, images: ParticleStack,
    working: WorkingImages, settings: ClassificationSettings,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return noise, first averages, usable places and empty rows, as arrays that are kept."""
    import numpy as np

    from verglas.engine import ClassSums
    from verglas.stages.classification2d.classify import continued_state, noise_places, starting_point, usable_places
    from verglas.stages.classification2d.weighing import empty_rows

    usable = usable_places(images.read, len(images), settings, check=context.check)
    left_out = len(images) - len(usable)
    if left_out:
        context.message(f"{left_out} of {len(images)} images have a blank edge and are left out.")
    if start is None:
        defocus = images.defocus(np.arange(len(images)))
        noise, state = starting_point(images.read, defocus, working, settings, usable)
    else:
        noise = np.asarray(working.with_noise(images.read(noise_places(usable))).noise)
        work = partial(start_chunk, parameters=context.parameters.model_dump(), package=package, start=start)
        total = context.chunk_sums(
            "start-sums", partial(work, noise=noise.tolist()), usable.tolist(), chunk_size=chunk_size(len(images)),
            phase="classes to go on from",
        )  # fmt: skip
        sums = ClassSums(working.working_box, working.working_pixel_size_A, settings.classes, threads=context.threads)
        sums.add({key: total[key] for key in sums.arrays()})
        state = continued_state(sums, known_rows(context.project, start, images), settings)
    rows = empty_rows(len(images))
    return {
        "noise": noise, "usable": usable, "history": np.zeros((0, len(HISTORY))), **state.arrays(),
        **{f"rows_{name}": getattr(rows, name) for name in ROW_NAMES},
    }  # fmt: skip


def known_rows(folder: Path, start: dict[str, Any], images: ParticleStack) -> ImageResult:
    """Return the classes and poses that an earlier classification gave the particles of a stack."""
    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.stages.classification2d.weighing import ImageResult

    table = ParticleTable.load(folder / start["particles_path"])
    if len(table) != len(images.table):
        raise InputError(f"{start['name']} is of {len(table)} particles, its package now of {len(images.table)}.")
    column = {
        name: np.asarray(table[name], np.float64)[images.rows]
        for name in ("class_number", "psi_deg", "origin_x_A", "origin_y_A", "log_likelihood", "occupancy")
    }
    return ImageResult(
        column["class_number"].astype(np.int64) - 1, np.deg2rad(column["psi_deg"]),
        -np.stack([column["origin_x_A"], column["origin_y_A"]], axis=1), column["log_likelihood"],
        column["occupancy"] / 100.0,
    )  # fmt: skip


def start_chunk(
    places: Sequence[int], task: Task, parameters: dict[str, Any], package: dict[str, Any], start: dict[str, Any],
    noise: list[float],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Sum a chunk of particles into the classes of an earlier round on a worker."""
    from dataclasses import replace

    import numpy as np

    from verglas.engine import ClassSums, ParticleStack
    from verglas.formats import ParticleTable
    from verglas.stages.classification2d.classify import add_known

    settings = settings_of(Classify2D.Parameters.model_validate(parameters), package, 0, start)
    with ParticleStack(ParticleTable.load(task.project / package["particles_path"]), task.project) as images:
        working = replace(working_images(package, settings, images), noise=np.array(noise))
        sums = ClassSums(working.working_box, working.working_pixel_size_A, settings.classes, threads=task.threads)
        add_known(
            images.read, images.defocus(np.arange(len(images))), working, settings, sums,
            known_rows(task.project, start, images), np.asarray(places), threads=task.threads, check=task.check,
        )  # fmt: skip
    arrays: dict[str, np.ndarray] = sums.arrays()
    return arrays


def run_round(
    context: JobContext, package: dict[str, Any], start: dict[str, Any] | None, settings: ClassificationSettings,
    working: WorkingImages, table: Any, images: ParticleStack, number: int,
) -> None:  # fmt: skip
    """Run one round and record its classification."""
    import numpy as np

    from verglas.engine import ClassSums
    from verglas.execution.reduction import load_arrays
    from verglas.stages.classification2d.classify import used_in_round
    from verglas.stages.classification2d.rounds import ClassState, next_state

    before = context.kept(round_name(number - 1))
    assert before is not None, "a round's arrays are kept until the next one is recorded"
    used = used_in_round(number, before["usable"], settings)
    name = round_name(number)
    work = partial(
        round_chunk, parameters=context.parameters.model_dump(), package=package, start=start, number=number,
        seed=context.seed,
    )  # fmt: skip
    total = context.chunk_sums(
        f"{name}-sums", work, used.tolist(), chunk_size=chunk_size(len(images)), phase=f"round {number}"
    )
    sums = ClassSums(working.working_box, working.working_pixel_size_A, settings.classes, threads=context.threads)
    sums.add({key: total[key] for key in sums.arrays()})
    parts = [load_arrays(path) for path in sorted(context.scratch.glob(f"{name}-rows-*.npz"))]
    found = {key: np.concatenate([part[f"rows_{key}"] for part in parts]) for key in ROW_NAMES}
    rows = {key: before[f"rows_{key}"].copy() for key in ROW_NAMES}
    rows["number"][:] = -1
    for key in ROW_NAMES:
        rows[key][used] = found[key]
    state = next_state(
        ClassState.from_arrays(before), sums, found["displacements_A"], settings, settings.limit_A(number),
        last=number == settings.rounds,
    )  # fmt: skip
    again = used[before["rows_number"][used] >= 0]
    moved = float(np.mean(rows["number"][again] != before["rows_number"][again])) if again.size else None
    figures = {
        "round": number, "particles_used": int(used.size), "limit_A": round(settings.limit_A(number), 2),
        "log_likelihood": round(float(rows["log_likelihood"][used].mean()), 4),
        "certainty": round(float(rows["weight"][used].mean()), 4), "moved": None if moved is None else round(moved, 4),
        "shift_sigma_A": round(state.shift_sigma_A, 3), "best_resolution_A": finite(state.resolution_A.min()),
    }  # fmt: skip
    line = [np.nan if figures[key] is None else figures[key] for key in HISTORY]
    history = np.concatenate([before["history"], [line]])
    context.keep(name, {
        "noise": before["noise"], "usable": before["usable"], "history": history, **state.arrays(),
        **{f"rows_{key}": rows[key] for key in ROW_NAMES},
    })  # fmt: skip
    record(context, package, start, settings, working, table, images, state, rows, history, figures)


def finite(value: float) -> float | None:
    """Return a number of two decimals, None where it is infinite."""
    return round(float(value), 2) if math.isfinite(value) else None


def round_chunk(
    places: Sequence[int], task: Task, parameters: dict[str, Any], package: dict[str, Any],
    start: dict[str, Any] | None, number: int, seed: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Weigh and sum a chunk of particles on a worker; its rows are left in Scratch."""
    from dataclasses import replace

    import numpy as np

    from verglas.engine import ClassSums, ParticleStack
    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.formats import ParticleTable
    from verglas.stages.classification2d.classify import weigh_places
    from verglas.stages.classification2d.rounds import ClassState

    if task.device != "cpu":
        raise InputError("Classify 2D runs on CPUs; start it with the device cpu.")
    settings = settings_of(Classify2D.Parameters.model_validate(parameters), package, seed, start)
    before = load_arrays(task.scratch / f"{round_name(number - 1)}.npz")
    state = ClassState.from_arrays(before)
    with ParticleStack(ParticleTable.load(task.project / package["particles_path"]), task.project) as images:
        working = replace(working_images(package, settings, images), noise=before["noise"])
        sums = ClassSums(working.working_box, working.working_pixel_size_A, settings.classes, threads=task.threads)
        found = weigh_places(
            images.read, images.defocus(np.arange(len(images))), working, settings, state, sums, np.asarray(places),
            number, threads=task.threads, check=task.check,
        )  # fmt: skip
    save_arrays(
        task.scratch / f"{round_name(number)}-rows-{places[0]:09d}.npz",
        {f"rows_{name}": getattr(found, name) for name in ROW_NAMES},
    )
    arrays: dict[str, np.ndarray] = sums.arrays()
    return arrays


def record(
    context: JobContext, package: dict[str, Any], start: dict[str, Any] | None, settings: ClassificationSettings,
    working: WorkingImages, table: Any, images: ParticleStack, state: ClassState, rows: dict[str, np.ndarray],
    history: np.ndarray, figures: dict[str, Any],
) -> None:  # fmt: skip
    """Write a round's averages, table and pictures, and record them as a classification."""
    from verglas.formats import write_mrc, write_particles
    from verglas.stages.classification2d.classify import classified_table
    from verglas.stages.classification2d.pictures import write_class_montage, write_curves

    number = figures["round"]
    last = number == settings.rounds
    stem = f"classification_{context.job.number}_{number:03d}"
    endings = {
        "averages": ".mrc", "particles": ".npy", "picture": ".png", "curves": "_curves.png",
        **({"star": ".star"} if last else {}),
    }  # fmt: skip
    files = {role: context.results / f"{stem}{ending}" for role, ending in endings.items()}
    averages = working.enlarge(state.averages)
    write_mrc(files["averages"], averages, package["pixel_size_A"])
    made = classified_table(table, images.rows, rows["number"], rows["psi"], rows["displacements_A"],
                            rows["log_likelihood"], rows["weight"])  # fmt: skip
    made.save(files["particles"])
    if last:
        write_particles(made, files["star"])
    title = f"round {number} of {settings.rounds}, {figures['particles_used']} particles, to {figures['limit_A']:.1f} A"
    write_class_montage(files["picture"], averages, state.occupancy, state.resolution_A, title)
    write_curves(files["curves"], dict(zip(HISTORY, history.T, strict=True)), title)
    context.figures(**figures)
    qualities = qualities_of(state, rows, settings, working, number)
    values = {
        **figures, "package": package["id"], "classes": settings.classes, "rounds": settings.rounds,
        "continued_from": None if start is None else start["id"],
        "box_px": package["box_px"], "pixel_size_A": package["pixel_size_A"], "mask_radius_A": settings.mask_radius_A,
        "occupancy": [round(float(one), 1) for one in state.occupancy],
        "resolution_A": [finite(one) for one in state.resolution_A], "quality": [one.score for one in qualities],
        "reasons": [list(one.reasons) for one in qualities],
    }  # fmt: skip
    context.result(round_name(number), "classification", files, values)


def qualities_of(
    state: ClassState, rows: dict[str, np.ndarray], settings: ClassificationSettings, working: WorkingImages,
    number: int,
) -> list[ClassQuality]:  # fmt: skip
    """Score the classes of a round."""
    import numpy as np

    from verglas.stages.classification2d.quality import class_quality

    used = rows["number"] >= 0
    held = np.bincount(rows["number"][used], minlength=settings.classes)
    gained = np.bincount(rows["number"][used], rows["log_likelihood"][used], settings.classes) / np.maximum(held, 1)
    return class_quality(
        state.averages, state.frc, state.resolution_A, state.occupancy, gained,
        pixel_size_A=working.working_pixel_size_A, mask_radius_A=settings.mask_radius_A,
        limit_A=settings.limit_A(number),
    )  # fmt: skip
