"""Measures of the CTF at given poses and half maps, on workers: chunks of micrographs, then fits; each part is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.errors import JobError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.ctf_refinement import CtfImages, CtfRefinementSettings, GroupFits

CHUNK = 2_000
"""Particles of one partial sum; micrographs are kept whole. Part of the answer, so not a setting."""
ESTIMATE = ("change_A", "deviation_A", "plane_A", "alone_A", "alone_deviation_A")


@dataclass(frozen=True)
class CtfSource:
    """What a CTF is refined from; it travels to workers.

    Attributes
    ----------
    tables
        Path of each class's particles, absolute or from the project folder.
    half_maps
        Likewise of its half maps, a pair.
    settings
        What is refined.
    mask
        Likewise of a mask volume; None: as the settings say.
    """

    tables: tuple[str, ...]
    half_maps: tuple[tuple[str, str], ...]
    settings: CtfRefinementSettings
    mask: str | None = None

    def table(self, project: Path, number: int = 0) -> ParticleTable:
        """Return the particles of one class."""
        from verglas.formats import ParticleTable

        return ParticleTable.load(project / self.tables[number])


def images_of(
    project: Path, source: CtfSource, threads: int, noise: NDArray[np.float64] | None = None
) -> CtfImages:  # fmt: skip
    """Return the particles with the half maps that they are compared to; close its stack when done."""
    from verglas.engine import ParticleStack
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.ctf_refinement import CtfImages

    tables = [source.table(project, number) for number in range(len(source.tables))]
    maps = [
        (read_mrc_volume(project / first)[0], read_mrc_volume(project / second)[0])
        for first, second in source.half_maps
    ]
    settings = source.settings
    if source.mask is not None:
        volume = read_mrc_volume(project / source.mask)[0]
        settings = replace(settings, mask=replace(settings.mask, volume=volume))
    return CtfImages(ParticleStack(tables[0], project), tables, maps, settings, noise=noise, threads=threads)


def prepare_chunks(context: JobContext, source: CtfSource) -> list[list[int]]:
    """Keep the noise, and return the places of each chunk: whole micrographs."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.stages.ctf_refinement.defocus import micrographs_of

    settings = source.settings
    if context.kept("noise") is None:
        context.progress(0, 1, "noise")
        work = images_of(context.project, source, context.threads)
        with work.stack:
            context.keep("noise", {"noise": work.noise})
        context.message(f"Images are compared with maps from {settings.low_A:g} to {settings.limit_A:.2f} A.")
    with ParticleStack(source.table(context.project), context.project) as stack:
        chunks: list[list[int]] = [[]]
        for mine in micrographs_of(stack, np.arange(len(stack))):
            if len(chunks[-1]) >= CHUNK:
                chunks.append([])
            chunks[-1] += mine.tolist()
    return chunks


def measured_defocus(context: JobContext, source: CtfSource, chunks: list[list[int]]) -> dict[str, np.ndarray]:
    """Return the new defocus of all particles, shape (n, 4), and what it follows from, by name; it is kept."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays
    from verglas.stages.ctf_refinement import DefocusMeasures
    from verglas.stages.ctf_refinement.refine import refined_defocus

    known = context.kept("defocus")
    if known is not None:
        return known
    settings = source.settings
    found: dict[str, np.ndarray] = {}
    with ParticleStack(source.table(context.project), context.project) as stack:
        if settings.of_micrographs:
            paths = [context.scratch / f"measures-{number:06d}.npz" for number in range(len(chunks))]
            missing = [(path, chunk) for path, chunk in zip(paths, chunks, strict=True) if not path.exists()]
            work = partial(measure_chunk, source=source)
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


def measure_chunk(item: tuple[Path, list[int]], task: Task, source: CtfSource) -> None:
    """Measure the particles of some micrographs on a worker; what they say is left in Scratch."""
    import numpy as np

    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.stages.ctf_refinement import measure_defocus

    path, places = item
    noise = load_arrays(task.scratch / "noise.npz")["noise"]
    work = images_of(task.project, source, task.threads, noise)
    with work.stack:
        save_arrays(path, measure_defocus(work, np.asarray(places), task.check).arrays())


def measured_groups(
    context: JobContext, source: CtfSource, chunks: list[list[int]], defocus: dict[str, np.ndarray]
) -> dict[int, GroupFits]:
    """Return the fits of each optics group, and draw the picture."""
    from verglas.stages.ctf_refinement import GroupSums
    from verglas.stages.ctf_refinement.pictures import draw, phase_images
    from verglas.stages.ctf_refinement.planes import DefocusEstimate
    from verglas.stages.ctf_refinement.refine import fit_groups
    from verglas.stages.ctf_refinement.sums import group_band

    settings = source.settings
    noise = context.kept("noise")
    assert noise is not None
    estimate = None
    if "spread_A" in defocus:
        known: dict[str, Any] = {name: defocus[name] for name in ESTIMATE}
        estimate = DefocusEstimate(**known, spread_A=float(defocus["spread_A"]))
    if not settings.of_groups:
        draw(context.results / f"{stem_of(context)}.png", {}, estimate, {})
        return {}
    work = partial(sum_chunk, source=source)
    total = context.chunk_sums("aberrations", work, chunks, chunk_size=1, phase="aberrations")
    images = images_of(context.project, source, context.threads, noise["noise"])
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


def sum_chunk(chunk: Sequence[list[int]], task: Task, source: CtfSource) -> dict[str, np.ndarray]:
    """Return the sums of some particles for each optics group, on a worker."""
    import numpy as np

    from verglas.execution.reduction import load_arrays
    from verglas.stages.ctf_refinement import GroupSums, measure_aberrations
    from verglas.stages.ctf_refinement.sums import group_band

    noise = load_arrays(task.scratch / "noise.npz")["noise"]
    defocus = load_arrays(task.scratch / "defocus.npz")["defocus"]
    work = images_of(task.project, source, task.threads, noise)
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


def written_files(context: JobContext) -> dict[str, Path]:
    """Return what :func:`measured_groups` has written, by role."""
    stem = stem_of(context)
    files = {"ctf_picture": context.results / f"{stem}.png"}
    for path in sorted(context.results.glob(f"{stem}_phases_*.mrc")):
        files[f"phase_difference_{path.stem.rsplit('_', 1)[1]}"] = path
    return files
