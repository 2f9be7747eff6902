"""Local Resolution: how fine each part of a map is, and the map low-passed everywhere at its own resolution."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.volume_masks import check_grids, half_map_paths, kept_values, mask_for, outer_radius_A
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task

INTERPRETER_BYTES = 300 * 2**20
BYTES_PER_VOXEL = 90
SECONDS_PER_VOXEL_AND_BAND = 4e-7
FIT_FROM_A = 10.0


class LocalResolution(Action):
    """The local resolution of each volume, and the volume filtered by it."""

    name = "local-resolution"
    title = "Local Resolution"
    summary = "Estimate the resolution of each part of a map and filter the map by it."

    class Parameters(ActionParameters):
        """Where and how finely resolution is looked at."""

        window_A: float = field(20.0, help="Full width of the window around each place.", unit="A", gt=0)
        threshold: float = field(0.143, help="Correlation at which the resolution is read.", gt=0, lt=1)
        coarsest_A: float = field(40.0, help="Coarsest resolution that is told.", unit="A", gt=0)
        finest_A: float | None = field(None, help="Finest one; none: twice the pixel size.", unit="A", gt=0)
        b_factor_A2: float | None = field(
            None, help="B-factor of the filtered map, negative to sharpen; none: from the Guinier plot.", unit="A^2"
        )
        automask: bool = field(
            True, help="Mask of the volume, or one found in it; otherwise a sphere. A mask volume goes first."
        )
        outer_radius_A: float | None = field(
            None, help="Outer radius of the mask; none: 0.6 of the largest dimension, or the box.", unit="A", gt=0
        )

    inputs = (
        Input("volumes", "volume", "Volumes with half maps."),
        Input("mask", "volume", "Mask, 0 to 1, on the same grid.", required=False),
        Input("halves", "volume", "Two half maps, where the volume's own are not known.", required=False),
    )
    outputs = ("local_resolution", "locally_filtered")

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the volumes will take, from their records alone."""
        from verglas.execution.resources import Estimate
        from verglas.stages.local_resolution import Bands

        masks, halves = inputs.get("mask") or [], inputs.get("halves") or []
        if len(masks) > 1 or len(halves) not in (0, 2):
            raise InputError("give one mask at most, and two half maps or none.")
        if halves and len(inputs["volumes"]) != 1:
            raise InputError("two half maps belong to one volume: choose it with --volumes.")
        check_grids(inputs["volumes"], masks + halves)
        memory, disk, seconds = 0, 0, 0.0
        for volume in inputs["volumes"]:
            if len(half_map_paths(volume, halves)) != 2:
                raise InputError(
                    f"{volume['name']} has no half maps, without which there is no resolution: give two with --halves, "
                    "or choose other volumes with --volumes."
                )
            voxels = (volume["n_x"] or 0) ** 3
            finest_A = max(parameters.finest_A or 0.0, 2.04 * (volume["pixel_size_A"] or 1.0))
            bands = len(Bands.spanning(parameters.coarsest_A, finest_A, parameters.window_A))
            memory, disk = max(memory, BYTES_PER_VOXEL * voxels), disk + 9 * voxels
            seconds += 3 * bands * voxels * SECONDS_PER_VOXEL_AND_BAND + 5.0
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + memory, disk_bytes=disk, core_seconds=seconds, tasks=len(inputs["volumes"])
        )

    def run(self, context: JobContext) -> None:
        """Work on every volume that has no filtered map yet."""
        masks = context.inputs.get("mask") or []
        work = partial(
            resolve_one, parameters=context.parameters.model_dump(), mask=masks[0] if masks else None,
            halves=context.inputs.get("halves") or [], job=context.job.number,
        )  # fmt: skip
        volumes = context.inputs["volumes"]
        todo = context.pending(volumes, key=lambda volume: f"locally_filtered-{volume['id']}")
        done = context.map(
            work, todo, key=lambda volume: str(volume["id"]), phase="local resolution", total=len(volumes),
            finished=len(volumes) - len(todo),
        )  # fmt: skip
        titles = {"local_resolution": "Local Resolution", "locally_filtered": "Locally Filtered"}
        for volume, found in done:
            for kind, (files, values) in found.items():
                context.result(
                    f"{kind}-{volume['id']}", kind, {role: Path(path) for role, path in files.items()},
                    {**values, "name": f"{volume['name']} - {titles[kind]}"},
                )  # fmt: skip


def resolve_one(
    volume: dict[str, Any], task: Task, parameters: dict[str, Any], mask: dict[str, Any] | None,
    halves: list[dict[str, Any]], job: int,
) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:  # fmt: skip
    """Find one volume's local resolution on a worker and write files into the job's results, by kind of result."""
    import numpy as np

    from verglas.engine.half_maps import guinier_fit, judge_halves
    from verglas.formats import read_volume
    from verglas.project.result_kinds.derived_volumes import derived_stem
    from verglas.signal import guinier_plot
    from verglas.stages.local_resolution import (
        local_filter,
        local_resolution,
        resolution_values,
        write_filtered,
        write_resolution,
    )

    if task.device != "cpu":
        raise InputError("Local Resolution runs on CPUs; start it with the device cpu.")
    checked = LocalResolution.Parameters.model_validate(parameters)
    paths = half_map_paths(volume, halves)
    first, second = (read_volume(task.project / path)[0] for path in paths)
    pixel_size_A, mass_kDa = volume["pixel_size_A"], volume.get("mass_kDa")
    mean = np.float32(0.5) * (first + second)
    within = mask_for(
        volume, mean, task.project, given=mask, automask=checked.automask,
        radius_A=outer_radius_A(volume, checked.outer_radius_A), inner_radius_A=0.0, mass_kDa=mass_kDa,
        threads=task.threads,
    )  # fmt: skip
    curves = judge_halves(first, second, within, pixel_size_A, threads=task.threads)
    found = local_resolution(
        first, second, within, pixel_size_A, window_A=checked.window_A, threshold=checked.threshold,
        coarsest_A=checked.coarsest_A, finest_A=checked.finest_A, threads=task.threads,
        step=lambda _done, _total: task.check(),
    )  # fmt: skip
    b_A2 = checked.b_factor_A2
    if b_A2 is None:
        plot = guinier_plot(mean, pixel_size_A, fsc=curves.corrected, workers=task.threads)
        fit = guinier_fit(plot, FIT_FROM_A, curves.resolution_A or FIT_FROM_A)
        b_A2 = min(0.0, fit.b_factor_A2) if fit is not None else 0.0
    filtered = local_filter(mean, found, pixel_size_A, b_factor_A2=b_A2, threads=task.threads)
    stems = {kind: derived_stem(kind, job, str(volume["id"])) for kind in ("local_resolution", "locally_filtered")}
    files = {
        "local_resolution": write_resolution(
            found, mean, task.results, stems["local_resolution"], pixel_size_A, curves.resolution_A
        ),
        "locally_filtered": write_filtered(
            filtered, mean, task.results, stems["locally_filtered"], pixel_size_A
        ),
    }  # fmt: skip
    shared = {
        "n_x": len(mean), "n_y": len(mean), "n_z": len(mean), "pixel_size_A": pixel_size_A,
        "resolution_A": curves.resolution_A, **resolution_values(found),
    }  # fmt: skip
    own = {"local_resolution": {}, "locally_filtered": {"b_factor_A2": round(b_A2, 3)}}
    # A map of resolutions has no halves.
    of_halves: dict[str, list[str]] = {"local_resolution": [], "locally_filtered": paths}
    return {
        kind: (
            {role: str(path) for role, path in made.items()},
            {**shared, **own[kind], **kept_values(volume, of_halves[kind], mass_kDa, made["map"])},
        )
        for kind, made in files.items()
    }
