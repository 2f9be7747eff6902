"""Sharpen 3D: maps with their amplitudes restored, judged by their halves, masked and ready to deposit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.volume_masks import (
    check_grids,
    half_map_paths,
    kept_values,
    mask_for,
    outer_radius_A,
    shared_start,
    with_shared_limits,
)
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.project import Project
    from verglas.stages.sharpening import SharpenSettings

INTERPRETER_BYTES = 300 * 2**20
BYTES_PER_VOXEL = 80
SECONDS_PER_VOXEL = 8e-7


class Sharpen3D(Action):
    """One sharpened volume from each volume."""

    name = "sharpen-3d"
    title = "Sharpen 3D"
    summary = "Sharpen maps by what their halves agree on, mask them, judge their resolution."

    class Parameters(ActionParameters):
        """How maps are sharpened and masked; the defaults suit a map with half maps."""

        amplitudes: Literal["b-factor", "flatten"] = field(
            "b-factor", help="Restore amplitudes by one B-factor, or flatten them beyond a resolution."
        )
        b_factor_A2: float | None = field(
            None, help="B-factor, negative to sharpen; none: from the Guinier plot, or -90 before flattening begins.",
            unit="A^2",
        )  # fmt: skip
        flatten_from_A: float = field(12.0, help="Where flattening begins.", unit="A", gt=0)
        b_factor_beyond_A2: float = field(0.0, help="B-factor where amplitudes are flat.", unit="A^2")
        cutoff_A: float | None = field(
            None, help="Resolution of the final low-pass; none: where the corrected FSC falls below 0.143.", unit="A",
            gt=0,
        )  # fmt: skip
        filter_edge_A: float = field(20.0, help="The low-pass falls over 1/this.", unit="A", gt=0, expert=True)
        fom_weighting: bool = field(True, help="Weight by the figure of merit, from the corrected FSC.")
        ssnr_scale: float = field(
            1.0, help="Scale of the signal-to-noise ratio behind the figure of merit.", gt=0, expert=True
        )
        fit_from_A: float = field(
            10.0, help="Where the line through the Guinier plot begins.", unit="A", gt=0, expert=True
        )
        fit_to_A: float = field(
            0.0, help="Where it ends; 0: at the cut-off resolution.", unit="A", ge=0, expert=True
        )  # fmt: skip
        automask: bool = field(
            True, help="Mask around the particle, found in the map; otherwise a sphere. A mask volume goes first."
        )
        outer_radius_A: float | None = field(
            None, help="Outer radius of the mask; none: 0.6 of the largest dimension, or the box.", unit="A", gt=0
        )
        inner_radius_A: float = field(0.0, help="Inner radius of the mask.", unit="A", ge=0)
        mass_kDa: float | None = field(None, help="Mass of the particle; none: the package's.", unit="kDa", gt=0)
        invert_hand: bool = field(False, help="Make the mirror image.")
        mtf_path: str | None = field(
            None, help="Modulation transfer of the detector to divide out: a star file or two columns.", expert=True
        )
        mtf_pixel_size_A: float | None = field(
            None, help="Pixel size of the detector's own pixels; none: the map's.", unit="A", gt=0, expert=True
        )

    inputs = (
        Input("volumes", "volume", "Volumes to sharpen, with half maps (or give a cut-off)."),
        Input("mask", "volume", "Mask, 0 to 1, on the same grid.", required=False),
        Input("halves", "volume", "Two half maps, where the volume's own are not known.", required=False),
    )
    outputs = ("sharpened_volume",)

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Look up what the halves of each volume were once aligned to."""
        return {**inputs, "volumes": with_shared_limits(project, inputs["volumes"])}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the volumes will take, from their records alone."""
        from verglas.execution.resources import Estimate

        mask, halves = inputs.get("mask") or [], inputs.get("halves") or []
        if len(mask) > 1 or len(halves) not in (0, 2):
            raise InputError("give one mask at most, and two half maps or none.")
        if halves and len(inputs["volumes"]) != 1:
            raise InputError("two half maps belong to one volume: choose it with --volumes.")
        check_grids(inputs["volumes"], mask + halves)
        voxels = []
        for volume in inputs["volumes"]:
            if not (halves or volume.get("half_map_1_path")) and parameters.cutoff_A is None:
                raise InputError(
                    f"{volume['name']} has no half maps, so nothing tells its resolution: give --cutoff, or the two "
                    "with --halves, or choose other volumes with --volumes."
                )
            voxels.append((volume["n_x"] or 0) ** 3)
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + BYTES_PER_VOXEL * max(voxels, default=0),
            disk_bytes=13 * sum(voxels), core_seconds=SECONDS_PER_VOXEL * 2 * sum(voxels) + 5.0, tasks=len(voxels),
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Sharpen every volume that has no result yet."""
        masks = context.inputs.get("mask") or []
        work = partial(
            sharpen_one, parameters=context.parameters.model_dump(), mask=masks[0] if masks else None,
            halves=context.inputs.get("halves") or [], job=context.job.number,
        )  # fmt: skip
        volumes = context.inputs["volumes"]
        todo = context.pending(volumes, key=key_of)
        done = context.map(
            work, todo, key=key_of, phase="sharpening", total=len(volumes), finished=len(volumes) - len(todo)
        )
        for volume, (files, values) in done:
            for note in values["notes"]:
                context.message(f"{volume['name']}: {note}", level="warning")
            name = volume["name"]
            context.result(
                key_of(volume), "sharpened_volume", {role: Path(path) for role, path in files.items()},
                {**values, "name": f"{name} - Sharpened"},
            )  # fmt: skip


def key_of(volume: dict[str, Any]) -> str:
    """Return what a volume's result is kept under."""
    return str(volume["id"])


def settings_of(parameters: Any, pixel_size_A: float) -> SharpenSettings:
    """Return the stage's settings."""
    from verglas.formats import read_mtf
    from verglas.stages.sharpening import SharpenSettings

    mtf = None
    if parameters.mtf_path is not None:
        frequency, values = read_mtf(parameters.mtf_path)
        mtf = (frequency / (parameters.mtf_pixel_size_A or pixel_size_A), values)
    return SharpenSettings(
        amplitudes=parameters.amplitudes, b_factor_A2=parameters.b_factor_A2, fit_from_A=parameters.fit_from_A,
        fit_to_A=parameters.fit_to_A, flatten_from_A=parameters.flatten_from_A,
        b_factor_beyond_A2=parameters.b_factor_beyond_A2, weighting=parameters.fom_weighting,
        ssnr_scale=parameters.ssnr_scale, cutoff_A=parameters.cutoff_A, edge_A=parameters.filter_edge_A, mtf=mtf,
        invert_hand=parameters.invert_hand,
    )  # fmt: skip


def sharpen_one(
    volume: dict[str, Any], task: Task, parameters: dict[str, Any], mask: dict[str, Any] | None,
    halves: list[dict[str, Any]], job: int,
) -> tuple[dict[str, str], dict[str, Any]]:  # fmt: skip
    """Sharpen one volume on a worker and write its files into the job's results."""
    import numpy as np

    from verglas.engine.half_maps import mask_warnings
    from verglas.formats import read_volume
    from verglas.project.result_kinds.derived_volumes import derived_stem
    from verglas.stages.sharpening import result_values, sharpen_halves, sharpen_map, write_sharpened

    if task.device != "cpu":
        raise InputError("Sharpen 3D runs on CPUs; start it with the device cpu.")
    checked = Sharpen3D.Parameters.model_validate(parameters)
    paths = half_map_paths(volume, halves)
    pixel_size_A = volume["pixel_size_A"]
    mass_kDa = checked.mass_kDa or volume.get("mass_kDa")
    outer_A = outer_radius_A(volume, checked.outer_radius_A)
    maps = [read_volume(task.project / path)[0] for path in paths]
    original = np.float32(0.5) * (maps[0] + maps[1]) if maps else read_volume(task.project / volume["path"])[0]
    within = mask_for(
        volume, original, task.project, given=mask, automask=checked.automask, radius_A=outer_A,
        inner_radius_A=checked.inner_radius_A, mass_kDa=mass_kDa, threads=task.threads,
    )  # fmt: skip
    task.check()
    settings = settings_of(checked, pixel_size_A)
    notes: list[str] = []
    if maps:
        found = sharpen_halves(
            maps[0], maps[1], within, pixel_size_A, settings, molecular_mass_kDa=mass_kDa,
            shared=None if halves else shared_start(volume, outer_A), threads=task.threads,
        )  # fmt: skip
        assert found.curves is not None
        notes = [text] if (text := found.curves.start_words()) else []
        notes += mask_warnings(
            maps[0], maps[1], within, pixel_size_A, found.curves, molecular_mass_kDa=mass_kDa, outer_radius_A=outer_A,
            threads=task.threads,
        )  # fmt: skip
    else:
        found = sharpen_map(original, within, pixel_size_A, settings, threads=task.threads)
    stem = derived_stem("sharpened_volume", job, key_of(volume))
    files = write_sharpened(found, original, task.results, stem, pixel_size_A)
    if checked.invert_hand and maps:
        files |= write_inverted(maps, task.results, stem, pixel_size_A)
    values = result_values(found, pixel_size_A)
    values |= kept_values(volume, paths, mass_kDa, files["map"])
    values["notes"] = values["notes"] + notes
    return {role: str(path) for role, path in files.items()}, values


def write_inverted(halves: list[NDArray[np.float32]], folder: Path, stem: str, pixel_size_A: float) -> dict[str, Path]:
    """Write the half maps in the hand of the sharpened map, which they must share."""
    from verglas.formats import write_mrc
    from verglas.stages.sharpening import inverted_hand

    files = {f"half_map_{number}": folder / f"{stem}_map{number}.mrc" for number in (1, 2)}
    for path, half in zip(files.values(), halves, strict=True):
        write_mrc(path, inverted_hand(half), pixel_size_A, is_volume=True)
    return files
