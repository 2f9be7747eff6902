"""Refine CTF: defocus, astigmatism, beam tilt and other aberrations of a refinement's particles, then its maps anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.selection import only
from verglas.errors import InputError, JobError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.engine.reconstructed_map import ReconstructedMap
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.ctf_refinement import CtfImages, CtfRefinementSettings, GroupFits

MASK_PART = 0.65
FINEST_A = 3.5
CHUNK = 2_000
"""Particles of one partial sum; micrographs are kept whole. Part of the answer, so not a setting."""
INTERPRETER_BYTES = 300 * 2**20
SECONDS_A_PIXEL = 1.2e-7
SECONDS_A_VOXEL = 1e-5


class RefineCTF(Action):
    """CTF parameters of one refinement."""

    name = "refine-ctf"
    title = "Refine CTF"
    summary = "Refine defocus, beam tilt and other aberrations at the poses of a refinement."

    class Parameters(ActionParameters):
        """What is refined."""

        defocus: bool = field(True, help="Refine each particle's defocus, drawn towards its micrograph's plane.")
        beam_tilt: bool = field(True, help="Refine the beam tilt of each optics group.")
        astigmatism: bool = field(False, help="Refine the astigmatism of each micrograph.")
        trefoil: bool = field(False, help="Refine the threefold astigmatism of each optics group.")
        tetrafoil: bool = field(False, help="Refine the fourfold astigmatism of each optics group.")
        magnification: bool = field(False, help="Refine the uneven magnification of each optics group.")
        high_resolution_A: float | None = field(
            None, help="Finest resolution used; none: what the halves agree on, 3.5 A at the finest.", unit="A", gt=0
        )
        low_resolution_A: float = field(30.0, help="Coarsest resolution used.", unit="A", gt=0, expert=True)
        defocus_range_A: float = field(500.0, help="Largest change of defocus.", unit="A", gt=0)
        defocus_step_A: float = field(20.0, help="Step of the search of defocus.", unit="A", gt=0, expert=True)
        least_significance: float = field(
            10.0, help="Aberrations are changed only where the log-likelihood gains more.", ge=0, expert=True
        )
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.65 of its largest dimension.", unit="A", gt=0
        )
        auto_mask: bool = field(True, help="Find the particle in the maps and mask its surroundings.", expert=True)
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (
        Input("refinement", "refinement", "The refinement: one, with maps.", with_parents=True, default_all=False),
    )
    outputs = ("reconstruction", "refinement")

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what it will take, from the records alone."""
        from verglas.engine.reconstruction import memory_needed
        from verglas.execution.resources import Estimate

        refinement, package = chosen(inputs)
        settings_of(parameters, inputs)
        box, particles, classes = package["box_px"], package["count"], refinement["classes"]
        sums = memory_needed(box, parameters.oversampling)
        chunks = -(-particles // CHUNK)
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + sums + 12 * (2 * box) ** 3 + 2 * classes * 4 * (2 * box) ** 3
            + 128 * 90 * box**2,
            disk_bytes=(chunks + 2) * classes * sums + classes * (12 * box**3 + 500 * particles),
            core_seconds=3 * particles * box**2 * SECONDS_A_PIXEL
            + (4 * chunks + 6 * classes) * box**3 * SECONDS_A_VOXEL,
            tasks=chunks,
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Measure, fit, and make the maps anew."""
        if context.device != "cpu":
            raise InputError("Refine CTF runs on CPUs; start it with the device cpu.")
        if not context.pending([RESULT], key=str):
            return
        chunks = begin(context)
        context.check()
        defocus = measured_defocus(context, chunks)
        context.check()
        groups = measured_groups(context, chunks, defocus)
        context.check()
        finish(context, defocus, groups)


RESULT = "refinement"
ESTIMATE = ("change_A", "deviation_A", "plane_A", "alone_A", "alone_deviation_A")


def chosen(inputs: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the refinement and its package.

    Raises
    ------
    InputError
        It has no half maps.
    """
    refinement = only("refinement", inputs["refinement"])
    lacking = [number for number, one in enumerate(refinement["details"], start=1) if not one["half_map_1_path"]]
    if lacking:
        raise InputError(
            f"{refinement['name']} has no half maps of class {lacking[0]}, to which its images could be compared; "
            "choose a round of a refinement, or run auto-refine or manual-refine first."
        )
    return refinement, refinement["parent"]


def settings_of(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> CtfRefinementSettings:
    """Return the stage's settings, with what is not given from refinement and package."""
    from verglas.engine import MaskSettings
    from verglas.stages.ctf_refinement import CtfRefinementSettings

    refinement, package = chosen(inputs)
    size, reached = package["largest_dimension_A"], refinement["resolution_A"]
    if size is None and parameters.mask_radius_A is None:
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius.")
    if reached is None and parameters.high_resolution_A is None:
        raise InputError(f"{refinement['name']} has no resolution; give --high-resolution.")
    nyquist = 2.0 * package["pixel_size_A"]
    limit = parameters.high_resolution_A or max(FINEST_A, reached)
    return CtfRefinementSettings(
        mask_radius_A=parameters.mask_radius_A or MASK_PART * size, limit_A=max(limit, nyquist / 0.95),
        low_A=parameters.low_resolution_A, defocus=parameters.defocus, astigmatism=parameters.astigmatism,
        beam_tilt=parameters.beam_tilt, trefoil=parameters.trefoil, tetrafoil=parameters.tetrafoil,
        magnification=parameters.magnification, defocus_range_A=parameters.defocus_range_A,
        defocus_step_A=parameters.defocus_step_A, least_significance=parameters.least_significance,
        mask=MaskSettings(automatic=parameters.auto_mask),
    )  # fmt: skip


def tables_of(project: Path, inputs: dict[str, list[dict[str, Any]]]) -> list[ParticleTable]:
    """Return the particles of each class."""
    from verglas.formats import ParticleTable

    refinement, package = chosen(inputs)
    tables = [ParticleTable.load(project / one["particles_path"]) for one in refinement["details"]]
    for table in tables:
        if len(table) != package["count"]:
            raise InputError(f"{refinement['name']} has {len(table)} particles, not {package['count']}.")
    return tables


def images_of(
    project: Path, inputs: dict[str, list[dict[str, Any]]], settings: CtfRefinementSettings, threads: int,
    noise: NDArray[np.float64] | None = None,
) -> CtfImages:  # fmt: skip
    """Return the particles with the half maps that they are compared to; close its stack when done."""
    from verglas.engine import ParticleStack
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.ctf_refinement import CtfImages

    refinement, _ = chosen(inputs)
    tables = tables_of(project, inputs)
    maps = [
        (read_mrc_volume(project / one["half_map_1_path"])[0], read_mrc_volume(project / one["half_map_2_path"])[0])
        for one in refinement["details"]
    ]
    return CtfImages(ParticleStack(tables[0], project), tables, maps, settings, noise=noise, threads=threads)


def begin(context: JobContext) -> list[list[int]]:
    """Keep the noise, and return the places of each chunk: whole micrographs."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.stages.ctf_refinement.defocus import micrographs_of

    settings = settings_of(context.parameters, context.inputs)
    if context.kept("noise") is None:
        context.progress(0, 1, "noise")
        work = images_of(context.project, context.inputs, settings, context.threads)
        with work.stack:
            context.keep("noise", {"noise": work.noise})
        context.message(f"Images are compared with maps from {settings.low_A:g} to {settings.limit_A:.2f} A.")
    with ParticleStack(tables_of(context.project, context.inputs)[0], context.project) as stack:
        chunks: list[list[int]] = [[]]
        for mine in micrographs_of(stack, np.arange(len(stack))):
            if len(chunks[-1]) >= CHUNK:
                chunks.append([])
            chunks[-1] += mine.tolist()
    return chunks


def measured_defocus(context: JobContext, chunks: list[list[int]]) -> dict[str, np.ndarray]:
    """Return the new defocus of all particles, shape (n, 4), and what it follows from, by name; it is kept."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays
    from verglas.stages.ctf_refinement import DefocusMeasures
    from verglas.stages.ctf_refinement.refine import refined_defocus

    known = context.kept("defocus")
    if known is not None:
        return known
    settings = settings_of(context.parameters, context.inputs)
    found: dict[str, np.ndarray] = {}
    with ParticleStack(tables_of(context.project, context.inputs)[0], context.project) as stack:
        if settings.of_micrographs:
            paths = [context.scratch / f"measures-{number:06d}.npz" for number in range(len(chunks))]
            missing = [(path, chunk) for path, chunk in zip(paths, chunks, strict=True) if not path.exists()]
            work = partial(measure_chunk, parameters=context.parameters.model_dump(), inputs=context.inputs)
            done = len(paths) - len(missing)
            for _ in context.map(
                work, missing, key=lambda item: item[0].stem, phase="defocus", total=len(paths), finished=done
            ):
                pass
            lost = [path.stem for path in paths if not path.exists()]
            if lost:
                raise JobError(
                    f"{len(lost)} part(s) of the particles failed twice ({lost[0]} first); log.txt says why."
                )
            parts = [load_arrays(path) for path in paths]
            measures = DefocusMeasures.concatenate([DefocusMeasures(**part) for part in parts])
            found["defocus"], estimate = refined_defocus(stack, measures, settings)
            found["astigmatism"] = measures.astigmatism
            if estimate is not None:
                for name in ESTIMATE:
                    found[name] = getattr(estimate, name)
                found["spread_A"] = np.array(estimate.spread_A)
        else:
            found["defocus"] = stack.defocus(np.arange(len(stack)))
    context.keep("defocus", found)
    return found


def measure_chunk(
    item: tuple[Path, list[int]], task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]]
) -> None:
    """Measure the particles of some micrographs on a worker; what they say is left in Scratch."""
    import numpy as np

    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.stages.ctf_refinement import measure_defocus

    path, places = item
    settings = settings_of(RefineCTF.Parameters.model_validate(parameters), inputs)
    noise = load_arrays(task.scratch / "noise.npz")["noise"]
    work = images_of(task.project, inputs, settings, task.threads, noise)
    with work.stack:
        save_arrays(path, measure_defocus(work, np.asarray(places), task.check).arrays())


def measured_groups(
    context: JobContext, chunks: list[list[int]], defocus: dict[str, np.ndarray]
) -> dict[int, GroupFits]:
    """Return the fits of each optics group, and draw the picture."""
    from verglas.stages.ctf_refinement import GroupSums
    from verglas.stages.ctf_refinement.pictures import draw, phase_images
    from verglas.stages.ctf_refinement.planes import DefocusEstimate
    from verglas.stages.ctf_refinement.refine import fit_groups
    from verglas.stages.ctf_refinement.sums import group_band

    settings = settings_of(context.parameters, context.inputs)
    noise = context.kept("noise")
    assert noise is not None
    estimate = None
    if "spread_A" in defocus:
        known: dict[str, Any] = {name: defocus[name] for name in ESTIMATE}
        estimate = DefocusEstimate(**known, spread_A=float(defocus["spread_A"]))
    if not settings.of_groups:
        draw(context.results / f"{stem_of(context)}.png", {}, estimate, {})
        return {}
    work = partial(sum_chunk, parameters=context.parameters.model_dump(), inputs=context.inputs)
    total = context.chunk_sums("aberrations", work, chunks, chunk_size=1, phase="aberrations")
    images = images_of(context.project, context.inputs, settings, context.threads, noise["noise"])
    with images.stack:
        sums = {}
        for group in sorted({int(name.split("_")[0]) for name in total}):
            one = GroupSums(len(group_band(images, group)))
            one.add_arrays({name.split("_", 1)[1]: values for name, values in total.items()
                            if name.startswith(f"{group}_")})  # fmt: skip
            if one.particles[0]:
                sums[group] = one
        fits = fit_groups(images, sums)
        names = {group: images.stack.table.optics[group].name for group in sums}
        phases = {
            names[group]: phase_images(sums[group], fit, group_band(images, group))
            for group, fit in fits.items() if fit.odd is not None
        }  # fmt: skip
    words = {names[group]: one for group, fit in fits.items() for one in sentences(fit)[:1]}
    draw(context.results / f"{stem_of(context)}.png", phases, estimate, words)
    write_phases(context, list(phases.values()))
    for group, fit in fits.items():
        for sentence in sentences(fit):
            context.message(f"{names[group]}: {sentence}.")
    return fits


def sum_chunk(
    chunk: Sequence[list[int]], task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]]
) -> dict[str, np.ndarray]:
    """Return the sums of some particles for each optics group, on a worker."""
    import numpy as np

    from verglas.execution.reduction import load_arrays
    from verglas.stages.ctf_refinement import GroupSums, measure_aberrations
    from verglas.stages.ctf_refinement.sums import group_band

    settings = settings_of(RefineCTF.Parameters.model_validate(parameters), inputs)
    noise = load_arrays(task.scratch / "noise.npz")["noise"]
    defocus = load_arrays(task.scratch / "defocus.npz")["defocus"]
    work = images_of(task.project, inputs, settings, task.threads, noise)
    with work.stack:
        places = np.concatenate([np.asarray(one) for one in chunk])
        found = measure_aberrations(work, places, defocus[places], task.check)
        for group in np.unique(work.stack.group).tolist():
            found.setdefault(group, GroupSums(len(group_band(work, group))))
    return {f"{group}_{name}": array for group, one in sorted(found.items()) for name, array in one.arrays().items()}


def sentences(fits: GroupFits) -> list[str]:
    """Return what was found of an optics group, in words."""
    import math

    said = []
    if fits.odd is not None:
        found = fits.odd.as_dict()
        parts = []
        if "beam_tilt_x_mrad" in found:
            (x, deviation), (y, other) = found["beam_tilt_x_mrad"], found["beam_tilt_y_mrad"]
            parts.append(f"beam tilt {x:+.3f} +- {deviation:.3f}, {y:+.3f} +- {other:.3f} mrad")
        if "trefoil_cos_A" in found:
            (x, deviation), (y, _) = found["trefoil_cos_A"], found["trefoil_sin_A"]
            parts.append(f"trefoil {math.hypot(x, y):.0f} +- {deviation:.0f} A")
        said.append(f"{', '.join(parts)} (significance {fits.odd.significance:.0f}{_left(fits.odd.accepted)})")
    if fits.even is not None:
        (x, deviation), (y, _) = fits.even.as_dict().values()
        said.append(f"tetrafoil {math.hypot(x, y):.0f} +- {deviation:.0f} A "
                    f"(significance {fits.even.significance:.0f}{_left(fits.even.accepted)})")  # fmt: skip
    if fits.magnification is not None:
        one = fits.magnification
        said.append(f"magnification uneven by {200 * math.hypot(*one.parts[1:]):.2f} +- {200 * one.deviations[1]:.2f} %"
                    f" (significance {one.significance:.0f}{_left(one.accepted)})")  # fmt: skip
    return said


def _left(accepted: bool) -> str:
    return "" if accepted else ", so it was left as it was"


def stem_of(context: JobContext) -> str:
    """Return the beginning of the job's file names."""
    return f"ctf_refine_{context.job.number}"


def write_phases(context: JobContext, phases: list[NDArray[np.float32]]) -> None:
    """Write measured and fitted phases of each optics group."""
    from verglas.formats import write_mrc

    for number, pair in enumerate(phases, start=1):
        write_mrc(context.results / f"{stem_of(context)}_phases_{number}.mrc", pair, 1.0)


def title_of(parameters: Any) -> str:
    """Return what such a refinement is called, as cisTEM calls it."""
    shared = parameters.beam_tilt or parameters.trefoil or parameters.tetrafoil or parameters.magnification
    own = parameters.defocus or parameters.astigmatism
    odd = "Beam Tilt" if parameters.beam_tilt else "Aberration"
    return " & ".join(word for word, used in (("Defocus", own), (odd, shared)) if used) + " Refinement"


def finish(context: JobContext, defocus: dict[str, np.ndarray], groups: dict[int, GroupFits]) -> None:
    """Write the new tables, make the maps anew, say what they gained and record it all."""
    import numpy as np

    from verglas.actions.refinement_results import RefinedClass, record_refinement
    from verglas.engine import ParticleStack
    from verglas.stages.ctf_refinement.refine import updated_table

    refinement, package = chosen(context.inputs)
    settings, number = settings_of(context.parameters, context.inputs), context.job.number
    tables = tables_of(context.project, context.inputs)
    with ParticleStack(tables[0], context.project) as stack:
        changed = [updated_table(table, stack, defocus["defocus"], groups) for table in tables]
    classes, gains = [], []
    for k, table in enumerate(changed):
        found, before = remade(context, k, table, settings)
        after = found.resolution.resolution_A if found.resolution is not None else np.inf
        gains.append([_finite(before), _finite(after)])
        context.message(
            f"Class #{k + 1}: the halves agree to {after:.2f} A, to {before:.2f} A with the CTF as it was "
            "(within the same mask)."
        )
        classes.append(RefinedClass(table, found))
    values: dict[str, Any] = {"resolution_before_and_after_A": gains, "groups": [
        {"group": group, "beam_tilt_mrad": [fit.after.beam_tilt_x_mrad, fit.after.beam_tilt_y_mrad],
         "found": sentences(fit)} for group, fit in groups.items()
    ]}  # fmt: skip
    if "change_A" in defocus:
        values |= {
            "defocus_change_rms_A": float(np.sqrt(np.mean(defocus["change_A"] ** 2))),
            "defocus_deviation_A": float(np.sqrt(np.mean(defocus["deviation_A"] ** 2))),
            "defocus_spread_A": float(defocus["spread_A"]),
        }  # fmt: skip
    context.figures(**{name: value for name, value in values.items() if isinstance(value, float)})
    record_refinement(
        context, package, classes, key=RESULT, name=f"{title_of(context.parameters)} #{number}",
        volume_name=f"CTF Refine #{number}", stem=f"volume_{number}_ctf", method="ctf",
        symmetry=refinement["symmetry"], number=1, rounds=1, limit_A=settings.limit_A,
        particles_used=package["count"], final=True, values=values, files=_more_files(context),
    )  # fmt: skip


def _finite(value: float) -> float | None:
    import math

    return round(float(value), 3) if math.isfinite(value) else None


def _more_files(context: JobContext) -> dict[str, Path]:
    stem = stem_of(context)
    files = {"ctf_picture": context.results / f"{stem}.png"}
    for path in sorted(context.results.glob(f"{stem}_phases_*.mrc")):
        files[f"phase_difference_{path.stem.rsplit('_', 1)[1]}"] = path
    return files


def remade(
    context: JobContext, k: int, table: ParticleTable, settings: CtfRefinementSettings
) -> tuple[ReconstructedMap, float]:
    """Return a class's maps at its new CTF, and the resolution that its maps had before within the same mask."""
    from verglas.engine import reference_mask
    from verglas.engine.half_maps import judge_halves
    from verglas.engine.reconstruction import Reconstruction
    from verglas.formats.mrc import read_mrc_volume

    refinement, package = chosen(context.inputs)
    box, pixel_size_A = package["box_px"], package["pixel_size_A"]
    path = context.scratch / f"particles_{k}.npy"
    if not path.exists():
        table.save(path)
    total = context.chunk_sums(
        f"map-{k}", partial(insert_chunk, k=k, parameters=context.parameters.model_dump(), inputs=context.inputs),
        range(package["count"]), chunk_size=5 * CHUNK, phase=f"map of class {k + 1}",
    )  # fmt: skip
    work = Reconstruction(
        box, pixel_size_A, refinement["symmetry"], oversampling=context.parameters.oversampling,
        threads=context.threads,
    )  # fmt: skip
    work.add(total)
    detail = refinement["details"][k]
    first, second = (read_mrc_volume(context.project / detail[f"half_map_{half}_path"])[0] for half in (1, 2))
    mask = reference_mask(
        0.5 * (first + second), pixel_size_A, settings.mask_radius_A, settings.mask, context.threads
    )  # fmt: skip
    before = judge_halves(first, second, mask, pixel_size_A, threads=context.threads)
    found = work.finish(mask=mask)
    assert found.half_maps is not None
    after = judge_halves(*found.half_maps, mask, pixel_size_A, threads=context.threads)
    found = replace(found, part_fsc=after.corrected, resolution=after.resolution)
    return found, float(before.resolution.resolution_A)


def insert_chunk(
    chunk: Sequence[int], task: Task, k: int, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]]
) -> dict[str, np.ndarray]:
    """Return the sums of some particles of a class, on a worker."""
    import numpy as np

    from verglas.engine.reconstruct_particles import reconstruct_particles
    from verglas.formats import ParticleTable

    refinement, _ = chosen(inputs)
    work = reconstruct_particles(
        ParticleTable.load(task.scratch / f"particles_{k}.npy"), task.project, refinement["symmetry"],
        oversampling=parameters["oversampling"], threads=task.threads,
        rows=np.arange(chunk[0], chunk[-1] + 1), progress=lambda _done, _total: task.check(),
    )  # fmt: skip
    arrays: dict[str, np.ndarray] = work.arrays()
    return arrays
