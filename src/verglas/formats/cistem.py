"""cisTEM's particle parameters, as star file and as binary ``.cistem``, to and from the particle table."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.atomic_write import write_whole
from verglas.formats.carried import carry_extra, carry_known, label_of, names_with_blank, take_carried
from verglas.formats.particle_table import OpticsGroup, ParticleTable
from verglas.formats.star import Block, Column, Loop, PathLike, TextColumn, read_star, text_column
from verglas.formats.star_writer import write_star
from verglas.formats.units import scaled, to_degrees, to_radians


class Parameter(NamedTuple):
    """One of cisTEM's parameters: its bit in the binary file, star label, binary type and column of the table."""

    bit: int
    label: str
    kind: str
    column: str


# In cisTEM's order of writing. Kinds: I uint32, i int32, f float32, s text.
PARAMETERS = (
    Parameter(0, "PositionInStack", "I", "position"),
    Parameter(2, "AnglePsi", "f", "psi_deg"),
    Parameter(22, "AngleTheta", "f", "tilt_deg"),
    Parameter(23, "AnglePhi", "f", "rot_deg"),
    Parameter(3, "XShift", "f", "origin_x_A"),
    Parameter(4, "YShift", "f", "origin_y_A"),
    Parameter(5, "Defocus1", "f", "defocus_u_A"),
    Parameter(6, "Defocus2", "f", "defocus_v_A"),
    Parameter(7, "DefocusAngle", "f", "defocus_angle_deg"),
    Parameter(8, "PhaseShift", "f", "phase_shift_deg"),
    Parameter(1, "ImageActivity", "i", "active"),
    Parameter(9, "Occupancy", "f", "occupancy"),
    Parameter(10, "LogP", "f", "log_likelihood"),
    Parameter(11, "Sigma", "f", "sigma"),
    Parameter(12, "Score", "f", "score"),
    Parameter(13, "ScoreChange", "f", "score_change"),
    Parameter(14, "PixelSize", "f", "pixel_size_A"),
    Parameter(15, "MicroscopeVoltagekV", "f", "voltage_kV"),
    Parameter(16, "MicroscopeCsMM", "f", "spherical_aberration_mm"),
    Parameter(17, "AmplitudeContrast", "f", "amplitude_contrast"),
    Parameter(18, "BeamTiltX", "f", "beam_tilt_x_mrad"),
    Parameter(19, "BeamTiltY", "f", "beam_tilt_y_mrad"),
    Parameter(20, "ImageShiftX", "f", "image_shift_x"),
    Parameter(21, "ImageShiftY", "f", "image_shift_y"),
    Parameter(27, "Best2DClass", "i", "class_number"),
    Parameter(28, "BeamTiltGroup", "i", "optics_group"),
    Parameter(24, "StackFilename", "s", "image_name"),
    Parameter(25, "OriginalImageFilename", "s", "micrograph"),
    Parameter(26, "Reference3DFilename", "s", "reference_name"),
    Parameter(29, "ParticleGroup", "i", "particle_group"),
    Parameter(32, "AssignedSubset", "i", "half_set"),
    Parameter(30, "PreExposure", "f", "pre_exposure"),
    Parameter(31, "TotalExposure", "f", "total_exposure"),
    Parameter(33, "OriginalXPosition", "f", "coordinate_x_px"),
    Parameter(34, "OriginalYPosition", "f", "coordinate_y_px"),
)
BY_LABEL = {f"cisTEM{parameter.label}": parameter for parameter in PARAMETERS}
BY_BIT = {parameter.bit: parameter for parameter in PARAMETERS}
MATCHING_TYPE = {"I": 9, "i": 2, "f": 3, "s": 8}
TYPES = {2: "<i4", 3: "<f4", 4: "i1", 5: "<i8", 6: "<f8", 7: "i1", 9: "<u4"}
MOST_COLUMNS = 64
OPTICS_MARK = "; optics groups: "


def read_cistem_star(path: PathLike) -> ParticleTable:
    """Read cisTEM's star file of particle parameters.

    Raises
    ------
    FormatError
        The file is damaged or is not cisTEM's.
    """
    name = str(path)
    loop = next((loop for block in read_star(path) for loop in block.loops if any(x in loop for x in BY_LABEL)), None)
    if loop is None:
        raise FormatError(name, "it holds none of cisTEM's labels.", "Is this a star file of RELION's?")
    columns: dict[str, Any] = {}
    for label in loop.labels:
        parameter = BY_LABEL.get(label)
        if parameter is not None and parameter.kind == "s":
            columns[parameter.column] = loop.text(label)
        elif parameter is not None:
            columns[parameter.column] = (
                loop.floats(label, finite=True) if parameter.kind == "f" else loop.integers(label)
            )
    table = table_from(name, columns, len(loop))
    take_carried(table, loop, [label for label in loop.labels if label not in BY_LABEL], name)
    return with_groups(table, read_optics_comment(path))


def table_from(path: str, columns: dict[str, Any], count: int) -> ParticleTable:
    """Return a table from columns in cisTEM's units and signs."""
    table = ParticleTable.empty(count)
    for column, values in columns.items():
        if isinstance(values, TextColumn):
            table.set_name_indices(column, values.indices, values.names)
            continue
        if table[column].dtype == np.int32 and len(values) and np.abs(values.astype(np.int64)).max() >= 2**31:
            raise FormatError(path, f"a value of {column} is too large.", "Correct or remove it.")
        table[column] = values
    for column in ("origin_x_A", "origin_y_A"):
        table[column] = 0.0 - table[column]
    table["phase_shift_deg"] = to_degrees(table["phase_shift_deg"])
    table["image_section"] = np.clip(table["position"], 0, 2**31 - 1)
    known = table["pixel_size_A"] > 0
    for column in ("coordinate_x_px", "coordinate_y_px"):
        if table[column].any() and not known.all():
            raise FormatError(path, "positions are in A, and the pixel size of some particles is not given.")
        if table[column].any():
            table[column] = table[column] / table["pixel_size_A"]
    return table


def with_groups(table: ParticleTable, given: Sequence[OpticsGroup] = ()) -> ParticleTable:
    """Return the table with an optics group for each number that its particles have."""
    known = {group.number for group in given}
    numbers = sorted(set(np.unique(table["optics_group"]).tolist()) - known)
    new = [OpticsGroup(number, f"opticsGroup{number}") for number in numbers]
    table.optics = [*given, *new] or [OpticsGroup()]
    return table


def cistem_values(table: ParticleTable, parameter: Parameter) -> NDArray[Any]:
    """Return a column of the table in cisTEM's unit and sign."""
    values = table[parameter.column]
    if parameter.column in {"origin_x_A", "origin_y_A"}:
        return 0.0 - values
    if parameter.column == "phase_shift_deg":
        return to_radians(values)
    if parameter.column == "position" and not values.any():
        return table["image_section"] if table["image_section"].any() else np.arange(1, len(table) + 1)
    if parameter.column in {"coordinate_x_px", "coordinate_y_px"}:
        pixel = coordinate_pixel_size_A(table)
        return scaled(values, pixel) if (pixel > 0).all() else np.zeros(len(table))
    return values


def coordinate_pixel_size_A(table: ParticleTable) -> NDArray[np.float64]:
    """Return the pixel size in which each particle's coordinates are measured, in A (0: unknown)."""
    pixel = table["pixel_size_A"].copy()
    for group in table.optics:
        if group.micrograph_pixel_size_A > 0:
            pixel[table["optics_group"] == group.number] = group.micrograph_pixel_size_A
    return pixel


def write_cistem_star(table: ParticleTable, path: PathLike) -> None:
    """Write a table as cisTEM's star file; what cisTEM has no column for follows under ``_verglas...`` labels.

    ``PositionInStack`` is the table's position, else the section of its image, else the row.
    """
    columns: dict[str, Column] = {}
    for parameter in PARAMETERS:
        label = f"cisTEM{parameter.label}"
        if parameter.kind == "s":
            columns[label] = TextColumn(names_with_blank(table, parameter.column), [*table.names, ""])
        else:
            columns[label] = cistem_values(table, parameter)
    carried: dict[str, Column] = {}
    for column in ("position", "image_section"):
        if not np.array_equal(cistem_values(table, PARAMETERS[0]), table[column]):
            carried[label_of(column)] = table[column]
    if not np.array_equal(coordinate_pixel_size_A(table), table["pixel_size_A"]) or not table["pixel_size_A"].all():
        carried |= carry_known(table, ("coordinate_x_px", "coordinate_y_px"))
    block = Block("", loops=[Loop(columns | carried | carry_extra(table, "cisTEM"))])
    optics = json.dumps([asdict(group) for group in table.optics], ensure_ascii=True)
    write_star(path, [block], f"Written by verglas{OPTICS_MARK}{optics}", quote_all=True)


def read_optics_comment(path: PathLike) -> list[OpticsGroup]:
    """Return the optics groups that :func:`write_cistem_star` left in the first comment; none in other files."""
    with open(path, "rb") as file:
        lines = [file.readline(1 << 22) for _ in range(2)]
    for line in lines:
        before, mark, text = line.decode("utf-8", "replace").partition(OPTICS_MARK)
        if before.startswith("#") and mark:
            try:
                return [OpticsGroup.from_json(group) for group in json.loads(text)]
            except (ValueError, TypeError, AttributeError):
                raise FormatError(path, "the optics groups in its first comment are damaged.", "Delete them.") from None
    return []


def read_cistem_binary(path: PathLike) -> ParticleTable:
    """Read cisTEM's binary parameter file.

    Raises
    ------
    FormatError
        The file is damaged, cut short or no such file.
    """
    name = str(path)
    content = Path(path).read_bytes()
    if len(content) < 8:
        raise FormatError(name, "the file is empty or cut short.", "Copy it again.")
    count, rows = struct.unpack_from("<ii", content)
    start = 8 + 9 * count
    if not 0 < count <= MOST_COLUMNS or rows < 0 or len(content) < start:
        raise FormatError(name, f"its header announces {count} columns and {rows} rows.", "This is no .cistem file.")
    head = [struct.unpack_from("<qB", content, 8 + 9 * k) for k in range(count)]
    for identity, kind in head:
        if kind not in TYPES and kind not in {1, 8}:
            raise FormatError(
                name, f"its header names a column of the unknown type {kind}.", "This is no .cistem file."
            )
        parameter = BY_BIT.get(identity.bit_length() - 1)
        if parameter and (identity != 1 << parameter.bit or (kind in {1, 8}) != (parameter.kind == "s")):
            raise FormatError(name, f"the column {parameter.label} has the type {kind}.", "The file is damaged.")
    if len({identity for identity, _ in head}) < count:
        raise FormatError(name, "a column is given twice.", "The file is damaged.")
    least = sum(4 if kind in {1, 8} else np.dtype(TYPES[kind]).itemsize for _, kind in head)
    if rows * least > len(content) - start:
        raise FormatError(name, f"it announces {rows} rows and is cut short.", "Copy it again.")
    found = _read_rows(name, content, start, rows, [kind for _, kind in head])
    columns: dict[str, Any] = {}
    for (identity, _), values in zip(head, found):
        parameter = BY_BIT.get(identity.bit_length() - 1)
        if parameter is None:
            continue
        if isinstance(values, np.ndarray) and values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise FormatError(name, f"row {row + 1}: {parameter.label} is {values[row]}.", "Remove that particle.")
        columns[parameter.column] = values
    return with_groups(table_from(name, columns, rows))


def _read_rows(path: str, content: bytes, start: int, rows: int, kinds: list[int]) -> list[Any]:
    """Return the columns that follow the header: arrays and :class:`TextColumn`."""
    fixed = [k for k, kind in enumerate(kinds) if kind in TYPES]
    if len(fixed) == len(kinds):
        packed = np.dtype([(f"c{k}", TYPES[kind]) for k, kind in enumerate(kinds)])
        if start + rows * packed.itemsize != len(content):
            raise FormatError(path, "bytes are left over after the last row.", "The file is damaged.")
        table = np.frombuffer(content, packed, rows, start)
        return [table[f"c{k}"] for k in range(len(kinds))]
    words: dict[int, list[bytes]] = {k: [] for k, kind in enumerate(kinds) if kind not in TYPES}
    pieces: list[bytes] = []
    runs = _runs(kinds)
    place = start
    for _ in range(rows):
        for width, text in runs:
            if text < 0:
                pieces.append(content[place : place + width])
                place += width
                continue
            length = int.from_bytes(content[place : place + 4], "little", signed=True)
            if length < 0 or place + 4 + length > len(content):
                raise FormatError(path, f"row {len(words[text]) + 1}: a name is cut short.", "The file is damaged.")
            words[text].append(content[place + 4 : place + 4 + length])
            place += 4 + length
    if place != len(content):
        raise FormatError(path, "it is cut short, or bytes are left over after the last row.", "Copy it again.")
    packed = np.dtype([(f"c{k}", TYPES[kinds[k]]) for k in fixed])
    table = np.frombuffer(b"".join(pieces), packed, rows) if fixed else np.empty(rows, packed)
    try:
        texts = {k: text_column(word.rstrip(b"\0").decode() for word in column) for k, column in words.items()}
    except UnicodeDecodeError:
        raise FormatError(path, "a name is not text in UTF-8.", "The file is damaged.") from None
    return [texts[k] if k in texts else table[f"c{k}"] for k in range(len(kinds))]


def _runs(kinds: list[int]) -> list[tuple[int, int]]:
    """Return what makes up a row: (bytes, -1) for numbers side by side, (0, column) for a text."""
    runs: list[tuple[int, int]] = []
    for k, kind in enumerate(kinds):
        if kind not in TYPES:
            runs.append((0, k))
        elif runs and runs[-1][1] < 0:
            runs[-1] = runs[-1][0] + np.dtype(TYPES[kind]).itemsize, -1
        else:
            runs.append((np.dtype(TYPES[kind]).itemsize, -1))
    return runs


def write_cistem_binary(table: ParticleTable, path: str | os.PathLike[str]) -> None:
    """Write a table as cisTEM's binary parameter file (numbers in float32, cisTEM's columns alone).

    Raises
    ------
    InputError
        A number does not fit into the type that cisTEM has for it.
    """
    head = struct.pack("<ii", len(PARAMETERS), len(table))
    head += b"".join(struct.pack("<qB", 1 << p.bit, MATCHING_TYPE[p.kind]) for p in PARAMETERS)
    numbers = [parameter for parameter in PARAMETERS if parameter.kind != "s"]
    packed = np.empty(len(table), np.dtype([(p.column, TYPES[MATCHING_TYPE[p.kind]]) for p in numbers]))
    for parameter in numbers:
        values = cistem_values(table, parameter)
        limit = {"I": 2.0**32, "i": 2.0**31, "f": 3.4e38}[parameter.kind]
        if len(values) and not (np.abs(values) < limit).all():
            raise InputError(f"{parameter.column} holds values that cisTEM's file cannot hold.")
        packed[parameter.column] = values
    rows = packed.tobytes()
    names = {
        p.column: [struct.pack("<i", len(word.encode())) + word.encode() for word in table.names_of(p.column)]
        for p in PARAMETERS
        if p.kind == "s"
    }
    before = sum(packed.dtype[p.column].itemsize for p in PARAMETERS[:26])
    size = packed.dtype.itemsize
    with write_whole(path) as temporary, temporary.open("wb") as file:
        file.write(head)
        for row, three in enumerate(zip(names["image_name"], names["micrograph"], names["reference_name"])):
            file.write(rows[row * size : row * size + before] + b"".join(three))
            file.write(rows[row * size + before : (row + 1) * size])
