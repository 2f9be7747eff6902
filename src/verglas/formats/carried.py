"""Columns that a format has no place for travel under ``verglas`` labels, so that nothing is lost on the way."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError
from verglas.formats.particle_table import COLUMNS, ParticleTable
from verglas.formats.star import Column, Loop, TextColumn

CARRIED_COLUMN = re.compile(r"verglasColumn_([fiub])(\d+)((?:x\d+)*)_(\d*)_(.+)\Z")


def label_of(name: str) -> str:
    """Return the star label of a known column: ``score_change`` is ``verglasScoreChange``."""
    return "verglas" + "".join(part[0].upper() + part[1:] for part in name.split("_"))


NAME_OF_LABEL = {label_of(name): name for name in COLUMNS}


def known_column(table: ParticleTable, name: str) -> Column:
    """Return a column of the table as a column of a star loop."""
    if table.is_text(name):
        return TextColumn(names_with_blank(table, name), [*table.names, "None"])
    return table[name]


def names_with_blank(table: ParticleTable, name: str) -> NDArray[np.int32]:
    """Return indices into ``[*table.names, blank]``."""
    indices = table[name].astype(np.int32)
    return np.where(indices < 0, np.int32(len(table.names)), indices)


def carry_known(table: ParticleTable, names: Iterable[str]) -> dict[str, Column]:
    """Return the known columns that the target lacks and that say something, under their ``verglas`` labels."""
    return {label_of(name): known_column(table, name) for name in names if not table.is_default(name)}


def carry_extra(table: ParticleTable, native: str) -> dict[str, Column]:
    """Return the additional columns: those whose name begins with ``native`` as they are, others carried."""
    columns: dict[str, Column] = {}
    for name in table.extra_columns:
        if table.is_text(name):
            columns[name if name.startswith(native) else f"verglasText_{name}"] = known_column(table, name)
            continue
        values = table[name]
        if name.startswith(native) and values.ndim == 1:
            columns[name] = values
            continue
        kind = f"{values.dtype.kind}{values.dtype.itemsize}" + "".join(f"x{edge}" for edge in values.shape[1:])
        flat = values.reshape(len(table), -1) if len(table) else values.reshape(0, int(np.prod(values.shape[1:])))
        for k in range(flat.shape[1]):
            part = flat[:, k].astype(np.float64 if values.dtype.kind == "f" else np.int64)
            columns[f"verglasColumn_{kind}_{k if values.ndim > 1 else ''}_{name}"] = part
    return columns


def take_carried(table: ParticleTable, loop: Loop, labels: Iterable[str], path: str) -> None:
    """Put the columns of a loop that the reader did not know itself back into the table."""
    vectors: dict[str, NDArray[Any]] = {}
    plain: dict[str, NDArray[Any]] = {}
    for label in labels:
        carried = CARRIED_COLUMN.match(label)
        known = NAME_OF_LABEL.get(label)
        if known is not None:
            if table.is_text(known):
                set_text(table, known, loop.text(label))
            elif table[known].dtype.kind == "i":
                table[known] = loop.integers(label)
            else:
                table[known] = loop.floats(label)
        elif label.startswith("verglasText_"):
            set_text(table, label.removeprefix("verglasText_"), loop.text(label))
        elif carried:
            kind, size, edges, part, name = carried.groups()
            try:
                dtype = np.dtype(f"{kind}{size}")
            except TypeError:
                raise FormatError(path, f"the label _{label} names no type of number.") from None
            values = loop.floats(label) if kind == "f" else loop.integers(label)
            if not edges:
                plain[name] = values.astype(dtype)
                continue
            shape = tuple(int(edge) for edge in edges[1:].split("x"))
            if len(shape) > 4 or np.prod(shape, dtype=float) > len(loop.labels) or int(part or 0) >= np.prod(shape):
                raise FormatError(path, f"the label _{label} does not fit the other columns.")
            vector = vectors.setdefault(name, np.zeros((len(table), int(np.prod(shape))), dtype))
            vector[:, int(part or 0)] = values.astype(dtype)
            plain[name] = vector.reshape(len(table), *shape)
        elif is_text_label(label) or isinstance(column := loop.column(label), TextColumn):
            set_text(table, label, loop.text(label))
        else:
            plain[label] = column
    reserved = [name for name in plain if name in COLUMNS]
    if reserved:
        raise FormatError(path, f"the label {reserved[0]} is one of verglas' own.", "Rename that column.")
    if plain:
        table.add_columns(plain)


def is_text_label(label: str) -> bool:
    """Whether values under this label are names even where they look like numbers."""
    return label.endswith(("Name", "File", "Filename", "FileName"))


def set_text(table: ParticleTable, name: str, column: TextColumn) -> None:
    """Set a column of names from a star loop; ``None`` is no name."""
    table.set_name_indices(name, column.indices, ["" if word == "None" else word for word in column.names])
