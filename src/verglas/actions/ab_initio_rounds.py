"""The rounds of Ab-Initio 3D on workers, starts and finish, and the record of the maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.ab_initio_images import images_of
from verglas.actions.ab_initio_settings import settings_of, state_name

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task
    from verglas.stages.abinitio import AbInitioSettings, AbInitioState, FinishedMaps


def leg_of_start(
    start: int, task: Task, parameters: dict[str, Any], package: dict[str, Any], before: int, end: int
) -> dict[str, Any]:
    """Run some rounds of a start on a worker and keep its state; return figures of it."""
    from verglas.actions.ab_initio import AbInitio
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
        "gain": round(float(state.gain[before - end :].mean()), 3), "gain_on_unseen": round(gain, 3),
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


def finish_on_worker(
    number: int, task: Task, parameters: dict[str, Any], package: dict[str, Any], best: tuple[int, int]
) -> dict[str, Any]:
    """Run one round with all images on a worker; its maps and state are kept in Scratch."""
    from verglas.actions.ab_initio import AbInitio
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

    selections = context.inputs.get("selection", [])
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
            "package": package["id"], "selection": selections[0]["id"] if selections else None,
            "symmetry": settings.symmetry if bool(kept["axes_found"]) else "C1", "mass_kDa": settings.mass_kDa,
            "largest_dimension_A": package["largest_dimension_A"], "stem": stem,
            "file_bytes": files["map"].stat().st_size, "start": best[0] + 1, "limit_A": round(limit_A, 3),
            "gain_on_unseen": round(float(start["judged"]), 4),
            "occupancy_percent": round(100.0 * count / len(kept["reference"]), 2),
        })  # fmt: skip
    context.message(
        f"The maps hold what aligned images agree on to {limit_A:.1f} A; that is no resolution, for all images were "
        "aligned to one map. Their hand is not determined. Auto Refine goes on from here."
    )
