"""A refinement: one round's poses, occupancies and maps of a package, class by class, whatever action made it."""

from __future__ import annotations

from typing import Any

from verglas.project.result_kinds.kind import Record, ResultKind

COLUMNS = ("package", "method", "symmetry", "classes", "round", "rounds", "particles_used", "limit_A", "resolution_A")
FOLDER = "Assets/Parameters"
PHASES = "Assets/PhaseDifferenceImages"


def _columns(_of: Record, result: Record) -> Record:
    values, files = result["values"], result["files"]
    details = [
        {**one, "particles_path": files[f"particles_{number}"], "star_path": files.get(f"star_{number}")}
        for number, one in enumerate(values["details"], start=1)
    ]
    return {
        "path": details[0]["particles_path"],
        "details": details,
        **{name: values.get(name) for name in COLUMNS},
    }


def start_parameters(package: Record) -> Record:
    """Return what a package began with, random or imported parameters, in the form of a refinement of one class.

    Parameters
    ----------
    package
        The package's record.

    Returns
    -------
    dict
        As the record of a refinement, numbered 0, without volumes.
    """
    detail: dict[str, Any] = {
        "particles_path": package["particles_path"], "star_path": package["star_path"], "volume_path": None,
        "half_map_1_path": None, "half_map_2_path": None, "statistics_path": None, "volume_key": None,
        "resolution_A": None, "resolution_kind": None, "average_occupancy": 100.0,
    }  # fmt: skip
    return {
        "kind": "refinement", "id": 0, "name": package["start"] or "Starting Parameters",
        "path": package["particles_path"], "details": [detail], "package": package["id"], "method": "start",
        "symmetry": package["symmetry"], "classes": 1, "round": 0, "rounds": 0, "particles_used": package["count"],
        "limit_A": None, "resolution_A": None, "creation": None,
    }  # fmt: skip


REFINEMENT = ResultKind(
    name="refinement",
    of_kind="refinement",
    product_kind="refinement",
    product_name=lambda number: f"Refinement #{number}",
    file_stem=lambda made, _: f"output_par_{made['id']}",
    folders={"particles": FOLDER, "star": FOLDER, "phase_difference": PHASES, "ctf_picture": PHASES},
    endings={"phase_difference": "_phase_difference", "ctf_picture": "_ctf"},
    product_columns=_columns,
    parent_column="id",
    active_column="creation",
    makes_asset=True,
)
