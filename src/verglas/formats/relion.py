"""RELION's star files of particles and micrographs, versions 2 to 5, to and from the particle table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError
from verglas.formats.carried import carry_extra, carry_known, known_column, names_with_blank, set_text, take_carried
from verglas.formats.particle_table import COLUMNS, OpticsGroup, ParticleTable
from verglas.formats.star import Block, Column, Loop, PathLike, TextColumn, find_loop, read_star
from verglas.formats.star_writer import write_star

PARTICLE_LABELS = {
    "rlnCoordinateX": "coordinate_x_px",
    "rlnCoordinateY": "coordinate_y_px",
    "rlnAngleRot": "rot_deg",
    "rlnAngleTilt": "tilt_deg",
    "rlnAnglePsi": "psi_deg",
    "rlnOriginXAngst": "origin_x_A",
    "rlnOriginYAngst": "origin_y_A",
    "rlnDefocusU": "defocus_u_A",
    "rlnDefocusV": "defocus_v_A",
    "rlnDefocusAngle": "defocus_angle_deg",
    "rlnPhaseShift": "phase_shift_deg",
    "rlnClassNumber": "class_number",
    "rlnRandomSubset": "half_set",
    "rlnLogLikeliContribution": "log_likelihood",
    "rlnMicrographPreExposure": "pre_exposure",
}
ALWAYS_WRITTEN = frozenset(PARTICLE_LABELS) - {
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnClassNumber",
    "rlnRandomSubset",
    "rlnLogLikeliContribution",
    "rlnMicrographPreExposure",
}
OPTICS_LABELS = {
    "rlnImagePixelSize": "pixel_size_A",
    "rlnVoltage": "voltage_kV",
    "rlnSphericalAberration": "spherical_aberration_mm",
    "rlnAmplitudeContrast": "amplitude_contrast",
    "rlnBeamTiltX": "beam_tilt_x_mrad",
    "rlnBeamTiltY": "beam_tilt_y_mrad",
}
OTHER_SIGN = frozenset({"rlnBeamTiltX", "rlnBeamTiltY"})
"""Labels whose numbers are minus ours: RELION's phase of a tilted beam has the other sign than cisTEM's."""
OPTICS_ALWAYS_WRITTEN = ("rlnImagePixelSize", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
CARRIED = (
    *("position", "reference_name", "image_shift_x", "image_shift_y", "particle_group", "active"),
    *("occupancy", "sigma", "score", "score_change", "total_exposure"),
)


def read_relion(path: PathLike) -> ParticleTable:
    """Read particles (or micrographs, or coordinates) from a RELION star file.

    Parameters
    ----------
    path
        A star file of RELION 2, 3.0 (one table, origins in pixels, magnification) or 3.1 to 5 (optics table).

    Raises
    ------
    FormatError
        The file is damaged, holds no such table, or a shift in pixels cannot be given in A for want of a pixel size.
    """
    name = str(path)
    blocks = read_star(path)
    loop = particle_loop(name, blocks)
    table = ParticleTable.empty(len(loop))
    left = set(loop.labels)

    def take(label: str) -> bool:
        found = label in loop
        left.discard(label)
        return found

    for label, column in PARTICLE_LABELS.items():
        if take(label):
            table[column] = number_column(loop, label, column)
    if take("rlnImageName"):
        images = loop.text("rlnImageName", sections=True)
        set_text(table, "image_name", images)
        assert images.sections is not None
        table["image_section"] = checked_range(name, "rlnImageName", np.maximum(images.sections, 0))
    if take("rlnMicrographName"):
        set_text(table, "micrograph", loop.text("rlnMicrographName"))
    if take("rlnOpticsGroup"):
        table["optics_group"] = checked_range(name, "rlnOpticsGroup", loop.integers("rlnOpticsGroup"))
    optics = find_loop(blocks, "optics")
    if optics is not None:
        read_optics(name, table, optics)
    for label, column in OPTICS_LABELS.items():
        if take(label):
            table[column] = optics_numbers(loop, label)
    if "rlnMagnification" in loop and "rlnDetectorPixelSize" in loop and not table["pixel_size_A"].any():
        magnification = loop.floats("rlnMagnification", finite=True)
        if (magnification <= 0).any():
            row = int(np.argmax(magnification <= 0))
            raise FormatError(name, f"line {loop.line_of('rlnMagnification', row)}: the magnification is not positive.")
        table["pixel_size_A"] = loop.floats("rlnDetectorPixelSize", finite=True) * 1e4 / magnification
    elif "rlnPixelSize" in loop and not table["pixel_size_A"].any():
        table["pixel_size_A"] = loop.floats("rlnPixelSize", finite=True)
    for axis in "xy":
        label = f"rlnOrigin{axis.upper()}"
        if take(label) and f"{label}Angst" not in loop:
            origin_px = loop.floats(label, finite=True)
            if origin_px.any() and not (table["pixel_size_A"] > 0).all():
                raise FormatError(
                    name, f"_{label} is in pixels, and the file names no pixel size.", "Add an optics table."
                )
            table[f"origin_{axis}_A"] = origin_px * np.where(origin_px == 0, 1.0, table["pixel_size_A"])
    restore_groups(name, table, loop, left)
    take_carried(table, loop, [label for label in loop.labels if label in left], name)
    return table


def number_column(loop: Loop, label: str, column: str) -> NDArray[Any]:
    """Return a column of a loop in the kind of number that the table's column holds."""
    if COLUMNS[column].dtype == "f8":
        return loop.floats(label, finite=True)
    return checked_range(loop.path, label, loop.integers(label))


def checked_range(path: str, label: str, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole numbers, or say that they do not fit into 32 bits."""
    if len(values) and max(int(values.max()), -int(values.min())) > 2**31 - 1:
        raise FormatError(path, f"a value of _{label} is too large.", "Correct or remove it.")
    return values


def particle_loop(path: str, blocks: list[Block]) -> Loop:
    """Return the loop that holds particles, micrographs or coordinates."""
    for wanted in ("rlnImageName", "rlnCoordinateX", "rlnMicrographName", "rlnDefocusU", "rlnAngleRot"):
        for block in blocks:
            for loop in block.loops:
                if block.name != "optics" and wanted in loop:
                    return loop
    raise FormatError(
        path, "no table of particles, micrographs or coordinates is in this star file.", "Choose another."
    )


def read_optics(path: str, table: ParticleTable, optics: Loop) -> None:
    """Fill the table's optics groups, and the columns that they fix, from an optics table."""
    if "rlnOpticsGroup" not in optics:
        raise FormatError(path, "its optics table has no column _rlnOpticsGroup.")
    numbers = optics.integers("rlnOpticsGroup").tolist()
    unknown = sorted(set(np.unique(table["optics_group"]).tolist()) - set(numbers))
    if unknown or len(set(numbers)) < len(numbers):
        what = f"there is no optics group {unknown[0]}" if unknown else "an optics group is defined twice"
        raise FormatError(path, f"{what} (groups: {numbers[:20]}).", "Mend its optics table.")
    words = {label: [optics.word(label, row) for row in range(len(optics))] for label in optics.labels}
    table.optics = []
    for row, number in enumerate(numbers):
        extra = {label: word[row] for label, word in words.items() if label != "rlnOpticsGroup"}
        try:
            table.optics.append(optics_group(checked_number(number), extra))
        except (ValueError, OverflowError) as error:
            raise FormatError(path, f"optics group {number} is damaged ({error}).", "Mend its optics table.") from None
    order = np.argsort(numbers)
    places = np.empty(0, np.int64)
    if numbers:
        places = order[np.searchsorted(np.array(numbers)[order], table["optics_group"])]
    for label, column in OPTICS_LABELS.items():
        if label == "rlnImagePixelSize" and label not in optics:
            label = next(
                (other for other in ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize") if other in optics),
                label,
            )
        if label in optics:
            table[column] = optics_numbers(optics, label)[places]


def optics_numbers(loop: Loop, label: str) -> NDArray[Any]:
    """Return a column of optics in our sign."""
    values = loop.floats(label, finite=True)
    return 0.0 - values if label in OTHER_SIGN else values


def optics_group(number: int, words: dict[str, str]) -> OpticsGroup:
    """Return an optics group from one row of an optics table."""
    extra = {label.removeprefix("verglasOptics_"): word for label, word in words.items()}
    name = extra.pop("rlnOpticsGroupName", f"opticsGroup{number}")
    contrast = {"1": True, "0": False}.get(extra.pop("verglasContrastInverted", ""))
    micrograph = extra.get("rlnMicrographPixelSize") or extra.get("rlnMicrographOriginalPixelSize") or "0"
    size_px = checked_number(float(extra.get("rlnImageSize", "0")))
    checked_number(float(extra.get("verglasOpticsGroup", "0")))
    if not np.isfinite(float(micrograph)):
        raise ValueError(f"pixel size {micrograph}")
    return OpticsGroup(number, name, size_px, float(micrograph), contrast, extra)


def checked_number(value: float) -> int:
    """Return a whole number of at most 31 bits, or raise ValueError."""
    if not abs(value) < 2**31 or value != int(value):
        raise ValueError(f"{value} is no usable whole number")
    return int(value)


def restore_groups(path: str, table: ParticleTable, loop: Loop, left: set[str]) -> None:
    """Undo the splitting of optics groups that the writer had to do."""
    label = "verglasOpticsGroup"
    if label not in loop:
        present = set(np.unique(table["optics_group"]).tolist()) - {group.number for group in table.optics}
        table.optics += [OpticsGroup(number, f"opticsGroup{number}") for number in sorted(present)]
        return
    left.discard(label)
    original = checked_range(path, label, loop.integers(label))
    by_number: dict[int, OpticsGroup] = {}
    for group in table.optics:
        number = int(float(group.extra.pop("verglasOpticsGroup", "0")))
        name = group.extra.pop("verglasOpticsGroupName", group.name)
        if number:
            group.number, group.name = number, name
            by_number.setdefault(number, group)
    missing = set(np.unique(original).tolist()) - set(by_number)
    if missing:
        raise FormatError(path, f"_{label} names the group {min(missing)}, which the optics table lacks.")
    table["optics_group"], table.optics = original, list(by_number.values())


def write_relion(table: ParticleTable, path: PathLike) -> None:
    """Write a table as RELION 3.1 star file (which RELION 4 and 5 read too).

    Origins are in A, optics groups numbered from 1; groups whose particles differ in pixel size, voltage, aberration,
    amplitude contrast or beam tilt are split, as RELION wants. Columns that RELION lacks get ``_verglas...`` labels.

    Raises
    ------
    InputError
        A name cannot stand in a star file.
    """
    numbers, optics = relion_groups(table)
    columns: dict[str, Column] = {}
    if (table["image_name"] >= 0).any():
        indices = names_with_blank(table, "image_name")
        columns["rlnImageName"] = TextColumn(indices, [*table.names, "None"], table["image_section"].astype(np.int64))
    if (table["micrograph"] >= 0).any():
        columns["rlnMicrographName"] = known_column(table, "micrograph")
    for label, column in PARTICLE_LABELS.items():
        if label in ALWAYS_WRITTEN or not table.is_default(column):
            columns[label] = table[column]
    columns["rlnOpticsGroup"] = numbers
    if not np.array_equal(numbers, table["optics_group"]):
        columns["verglasOpticsGroup"] = table["optics_group"]
    columns |= carry_known(table, CARRIED)
    if (table["image_name"] < 0).any():
        columns |= carry_known(table, ("image_section",))
    columns |= {label: column for label, column in carry_extra(table, "rln").items() if label not in columns}
    write_star(path, [Block("optics", loops=[optics]), Block("particles", loops=[Loop(columns)])])


def relion_groups(table: ParticleTable) -> tuple[NDArray[np.int32], Loop]:
    """Return RELION's group number of each particle, and its optics table."""
    groups = {group.number: group for group in table.optics}
    columns = list(OPTICS_LABELS.values())
    rows: list[dict[str, str]] = []
    numbers = np.empty(len(table), np.int32)
    present = np.unique(table["optics_group"]).tolist()
    split_or_renumbered = sorted({*present, *groups}) != list(range(1, len({*present, *groups}) + 1))
    for number in sorted({*present, *groups}):
        group = groups.get(number, OpticsGroup(number, f"opticsGroup{number}"))
        members = np.flatnonzero(table["optics_group"] == number)
        values = np.stack([table[column][members] for column in columns], axis=1)
        if len(members) and (values == values[0]).all():
            different, which = values[:1], np.zeros(len(members), np.int64)
        else:
            different, which = np.unique(values, axis=0, return_inverse=True)
        split_or_renumbered |= len(different) > 1
        numbers[members] = len(rows) + 1 + which.reshape(-1)
        shared = [dict(zip(OPTICS_LABELS, row)) for row in different.tolist()] or [{}]
        for k, fixed in enumerate(shared):
            row = {"rlnOpticsGroup": str(len(rows) + 1), "rlnOpticsGroupName": group.name + (f"_{k + 1}" if k else "")}
            row |= {label: word for label, word in group.extra.items() if "/" not in label}
            for label, own in fixed.items():
                value = 0.0 - own if label in OTHER_SIGN else own
                if label in OPTICS_ALWAYS_WRITTEN or value or label in row:
                    row[label] = same_number(row.get(label), value)
            if group.image_size_px:
                row |= {"rlnImageSize": str(group.image_size_px), "rlnImageDimensionality": "2"}
            if group.micrograph_pixel_size_A and "rlnMicrographOriginalPixelSize" not in row:
                row["rlnMicrographPixelSize"] = repr(group.micrograph_pixel_size_A)
            if group.contrast_inverted is not None:
                row["verglasContrastInverted"] = str(int(group.contrast_inverted))
            row |= {"verglasOpticsGroup": str(number), "verglasOpticsGroupName": group.name}
            row |= {f"verglasOptics_{label}": word for label, word in group.extra.items() if "/" in label}
            rows.append(row)
    if not split_or_renumbered:
        rows = [
            {k: v for k, v in row.items() if k not in {"verglasOpticsGroup", "verglasOpticsGroupName"}} for row in rows
        ]
    labels = list(dict.fromkeys(label for row in rows for label in row))
    return numbers, Loop({label: [row.get(label, "0") for row in rows] for label in labels})


def same_number(word: str | None, value: float) -> str:
    """Return the word that was read where it still says this value, else the value."""
    try:
        if word is not None and float(word) == value:
            return word
    except ValueError:
        pass
    return repr(value)
