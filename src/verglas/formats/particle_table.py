"""The one table of particles that every file of particles is read into and written from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.atomic_write import write_whole
from verglas.formats.npy import read_npy

SCHEMA_VERSION = 1
TRAILER_MAGIC = b"VERGLAS1"


class Column(NamedTuple):
    """What a known column holds: numpy type, default where it is missing, unit and meaning."""

    dtype: str
    default: float
    unit: str
    meaning: str


COLUMNS: dict[str, Column] = {
    "position": Column("i8", 0, "", "number of the particle in the file it was read from, from 1 (0: none)"),
    "image_name": Column("i4", -1, "name", "file that holds the particle's image"),
    "image_section": Column("i4", 0, "", "section of that file, from 1 (0: none)"),
    "micrograph": Column("i4", -1, "name", "micrograph that the particle was picked from"),
    "reference_name": Column("i4", -1, "name", "reference map that the particle was aligned to"),
    "coordinate_x_px": Column("f8", 0, "px", "centre in the micrograph, from the first column"),
    "coordinate_y_px": Column("f8", 0, "px", "centre in the micrograph, from the first row"),
    "rot_deg": Column("f8", 0, "deg", "first Euler angle (phi), about z"),
    "tilt_deg": Column("f8", 0, "deg", "second Euler angle (theta), about the new y"),
    "psi_deg": Column("f8", 0, "deg", "third Euler angle (in-plane), about the new z"),
    "origin_x_A": Column("f8", 0, "A", "shift in x to apply to the image to centre it"),
    "origin_y_A": Column("f8", 0, "A", "shift in y to apply to the image to centre it"),
    "defocus_u_A": Column("f8", 0, "A", "larger underfocus"),
    "defocus_v_A": Column("f8", 0, "A", "smaller underfocus"),
    "defocus_angle_deg": Column("f8", 0, "deg", "direction of the larger underfocus, from +x towards +y"),
    "phase_shift_deg": Column("f8", 0, "deg", "additional phase shift (phase plate)"),
    "pixel_size_A": Column("f8", 0, "A", "pixel size of the particle's image (0: unknown)"),
    "voltage_kV": Column("f8", 0, "kV", "acceleration voltage (0: unknown)"),
    "spherical_aberration_mm": Column("f8", 0, "mm", "spherical aberration Cs"),
    "amplitude_contrast": Column("f8", 0, "", "fraction of amplitude contrast"),
    "beam_tilt_x_mrad": Column("f8", 0, "mrad", "beam tilt in x"),
    "beam_tilt_y_mrad": Column("f8", 0, "mrad", "beam tilt in y"),
    "image_shift_x": Column("f8", 0, "", "image shift of the microscope in x, as the source gives it"),
    "image_shift_y": Column("f8", 0, "", "image shift of the microscope in y, as the source gives it"),
    "optics_group": Column("i4", 1, "", "optics group, from 1"),
    "half_set": Column("i4", 0, "", "independent half of the data, 1 or 2 (0: not assigned)"),
    "particle_group": Column("i4", 0, "", "particles that belong together (frames of one particle, say)"),
    "class_number": Column("i4", 0, "", "best class, from 1 (0: none)"),
    "active": Column("i4", 1, "", "1: used in refinement; 0 or negative: left out"),
    "occupancy": Column("f8", 100, "%", "probability of the class, in percent"),
    "log_likelihood": Column("f8", 0, "", "logarithm of the likelihood"),
    "sigma": Column("f8", 0, "", "standard deviation of the noise"),
    "score": Column("f8", 0, "", "score of the alignment"),
    "score_change": Column("f8", 0, "", "change of the score in the last round"),
    "pre_exposure": Column("f8", 0, "e/A^2", "exposure before this image"),
    "total_exposure": Column("f8", 0, "e/A^2", "exposure at the end of this image"),
}
"""The known columns; a table holds all of them, and any others beside them."""

NAME_COLUMNS = frozenset(name for name, column in COLUMNS.items() if column.unit == "name")
DTYPE = np.dtype([(name, "<" + column.dtype) for name, column in COLUMNS.items()])


@dataclass
class OpticsGroup:
    """What the particles of one optics group share beside the columns of the table.

    Attributes
    ----------
    number
        From 1.
    name
        Its name in RELION.
    image_size_px
        Edge of the square particle images (0: unknown).
    micrograph_pixel_size_A
        Pixel size in which the coordinates are measured (0: the particles' own).
    contrast_inverted
        True: protein is white; False: dark, as in the micrograph; None: not known.
    extra
        Other columns of its file's optics table (label without underscore, and value).
    """

    number: int = 1
    name: str = "opticsGroup1"
    image_size_px: int = 0
    micrograph_pixel_size_A: float = 0.0
    contrast_inverted: bool | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> OpticsGroup:
        """Return a group from what ``asdict`` made of one; TypeError or ValueError where it is damaged."""
        group = cls(**entry)
        numbers = (group.number, group.image_size_px, group.micrograph_pixel_size_A)
        texts = (group.name, *group.extra, *group.extra.values())
        kinds = isinstance(group.number, int) and isinstance(group.image_size_px, int)
        if not kinds or not all(isinstance(text, str) for text in texts) or not np.isfinite(numbers).all():
            raise TypeError("an optics group has entries of the wrong kind")
        if abs(group.number) >= 2**31 or not 0 <= group.image_size_px < 2**31:
            raise ValueError("an optics group has numbers that are too large")
        return group


class ParticleTable:
    """Particles with their poses, CTF parameters, occupancies and everything else that is known of them.

    Parameters
    ----------
    particles
        Structured array with all of :data:`COLUMNS` and any others.
    names
        Side table: columns that hold names hold indices into it (-1: none).
    optics
        The optics groups.
    text_columns
        Which of the additional columns hold names.

    Examples
    --------
    >>> table = ParticleTable.empty(2)
    >>> table["rot_deg"] = [10.0, 370.0]
    >>> table.set_names("micrograph", ["a.mrc", "a.mrc"])
    >>> table.select(table["rot_deg"] > 20).names_of("micrograph")
    ['a.mrc']
    """

    def __init__(
        self,
        particles: NDArray[np.void],
        names: Iterable[str] = (),
        optics: Iterable[OpticsGroup] = (),
        text_columns: Iterable[str] = (),
    ) -> None:
        self.particles = particles
        self.names = list(names)
        self.optics = list(optics) or [OpticsGroup()]
        self.text_columns = set(text_columns)

    @classmethod
    def empty(cls, count: int, columns: Mapping[str, ArrayLike] | None = None) -> ParticleTable:
        """Return a table of ``count`` particles with every column at its default, then with ``columns`` set."""
        particles = np.empty(count, DTYPE)
        for name, column in COLUMNS.items():
            particles[name] = column.default
        table = cls(particles)
        for name, values in (columns or {}).items():
            table[name] = values
        return table

    def __len__(self) -> int:
        return len(self.particles)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise InputError(f"The table has no column {name!r}; it has {', '.join(self.columns)}.")
        return self.particles[name]

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        if name not in self:
            raise InputError(f"The table has no column {name!r}; add it with add_column.")
        self.particles[name] = values

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, the known ones first."""
        return self.particles.dtype.names or ()

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns beyond the known ones."""
        return tuple(name for name in self.columns if name not in COLUMNS)

    def is_text(self, name: str) -> bool:
        """Whether a column holds names."""
        return name in NAME_COLUMNS or name in self.text_columns

    def is_default(self, name: str) -> bool:
        """Whether a known column says nothing: all its values are the default."""
        return bool((self.particles[name] == COLUMNS[name].default).all())

    def add_column(self, name: str, values: ArrayLike) -> None:
        """Add a column (numbers, shape (n,) or (n, ...)); a column that is there is replaced."""
        self.add_columns({name: values})

    def add_columns(self, columns: Mapping[str, ArrayLike]) -> None:
        """Add several columns at once."""
        arrays = {name: np.asarray(values) for name, values in columns.items()}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub" or array.shape[:1] != (len(self),):
                raise InputError(
                    f"Column {name!r} must hold one number a particle ({len(self)}), not {array.dtype} {array.shape}."
                )
        kept = {name: self.particles.dtype[name] for name in self.columns}
        known = [(name, dtype) for name, dtype in kept.items() if name in COLUMNS or name not in arrays]
        new = [(name, array.dtype, array.shape[1:]) for name, array in arrays.items() if name not in COLUMNS]
        particles = np.empty(len(self), np.dtype([*known, *new]))
        for name, _ in known:
            particles[name] = self.particles[name]
        for name, array in arrays.items():
            particles[name] = array
        self.particles = particles

    def names_of(self, name: str) -> list[str]:
        """Return a column of names as strings ('' where there is none)."""
        lookup = [*self.names, ""]
        return [lookup[k] for k in self[name].tolist()]

    def image_numbers(self) -> NDArray[np.int64]:
        """Return which image each row shows, shape (n,): numbers from 0, in the order in which images first appear.

        A row that names none is counted as showing one of its own.
        """
        both = np.stack([self["image_name"], self["image_section"]], axis=1).astype(np.int64)
        none = np.flatnonzero((both[:, 0] < 0) | (both[:, 1] < 1))
        both[none] = np.stack([np.full(none.size, -1), none], axis=1)
        _, first, of = np.unique(both, axis=0, return_index=True, return_inverse=True)
        order: NDArray[np.int64] = np.argsort(np.argsort(first))
        return order[of.ravel()]

    def set_names(self, name: str, values: Iterable[str]) -> None:
        """Set a column of names, adding it if need be; equal names are stored once."""
        words = list(values)
        different = list(dict.fromkeys(words))
        lookup = {word: k for k, word in enumerate(different)}
        self.set_name_indices(name, np.array([lookup[word] for word in words], np.int32), different)

    def set_name_indices(self, name: str, indices: NDArray[np.int32], names: list[str]) -> None:
        """Set a column of names from indices into ``names`` (-1 or an empty name: none)."""
        lookup = {known: k for k, known in enumerate(self.names)}
        places = np.full(len(names) + 1, -1, np.int32)
        for k, word in enumerate(names):
            if word:
                places[k] = lookup.setdefault(word, len(lookup))
        self.names = list(lookup)
        if name not in COLUMNS:
            self.text_columns.add(name)
        if name in self:
            self[name] = places[indices]
        else:
            self.add_column(name, places[indices])

    def select(self, rows: ArrayLike | slice) -> ParticleTable:
        """Return a table of its own with the chosen rows (mask, indices or slice)."""
        chosen = self.particles[rows if isinstance(rows, slice) else np.asarray(rows)]
        return ParticleTable(chosen.copy(), self.names, self.optics, self.text_columns)

    def copy(self) -> ParticleTable:
        """Return an independent copy."""
        optics = [OpticsGroup(**asdict(group)) for group in self.optics]
        return ParticleTable(self.particles.copy(), self.names, optics, self.text_columns)

    @staticmethod
    def concatenate(tables: Iterable[ParticleTable]) -> ParticleTable:
        """Return all particles in one table; optics groups that differ get numbers of their own.

        Additional columns that a table lacks are 0 (names: none) for its particles.
        """
        parts = list(tables)
        if not parts:
            return ParticleTable.empty(0)
        dtypes: dict[str, np.dtype[Any]] = {name: DTYPE[name] for name in COLUMNS}
        text: set[str] = set()
        for part in parts:
            text |= part.text_columns
            for name in part.extra_columns:
                dtype = part.particles.dtype[name]
                if name in dtypes and dtypes[name].shape != dtype.shape:
                    raise InputError(f"Column {name!r} has different shapes in these tables; they cannot be joined.")
                dtypes[name] = np.result_type(dtypes[name], dtype) if name in dtypes else dtype
        names: dict[str, int] = {}
        groups: list[OpticsGroup] = []
        joined = np.zeros(sum(map(len, parts)), np.dtype(list(dtypes.items())))
        start = 0
        for part in parts:
            view = joined[start : start + len(part)]
            start += len(part)
            places = np.array([*(names.setdefault(name, len(names)) for name in part.names), -1], np.int32)
            for name in dtypes:
                if name not in part:
                    view[name] = -1 if name in text else 0
                else:
                    view[name] = places[part[name]] if part.is_text(name) else part[name]
            for group in part.optics:
                number = _number_of_group(groups, group)
                view["optics_group"][part["optics_group"] == group.number] = number
        return ParticleTable(joined, names, groups, text)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as ``.npy``, whole or not at all.

        numpy reads the particles; names, optics groups and the schema version follow them as JSON.
        """
        trailer = json.dumps(
            {
                "schema_version": SCHEMA_VERSION,
                "count": len(self),
                "names": self.names,
                "text_columns": sorted(self.text_columns),
                "optics": [asdict(group) for group in self.optics],
                "units": {name: COLUMNS[name].unit for name in COLUMNS},
            }
        ).encode()
        with write_whole(Path(path)) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(self.particles), version=(2, 0), allow_pickle=False)
            file.write(trailer + len(trailer).to_bytes(8, "little") + TRAILER_MAGIC)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, memory_map: bool = True) -> ParticleTable:
        """Open a table that :meth:`save` wrote; by default its particles stay on disk, read-only.

        Raises
        ------
        FormatError
            The file is no such table, is cut short, or was written by a newer verglas.
        """
        name = str(path)
        trailer = _read_trailer(name)
        particles = read_npy(name, memory_map=memory_map)
        fields = particles.dtype.names
        if fields is None or particles.ndim != 1 or len(particles) != trailer.get("count"):
            raise FormatError(name, "this is no table of particles.", "Choose a particle table.")
        wrong = [field for field in fields if field in COLUMNS and particles.dtype[field] != DTYPE[field]]
        if wrong:
            raise FormatError(name, f"column {wrong[0]} has type {particles.dtype[wrong[0]]}, not {DTYPE[wrong[0]]}.")
        try:
            groups = [OpticsGroup.from_json(group) for group in trailer["optics"]]
            names, text = [str(word) for word in trailer["names"]], [str(word) for word in trailer["text_columns"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(name, f"its description is damaged ({error}).", "Copy the file again.") from None
        absent = [column for column in COLUMNS if column not in fields]
        table = cls(particles, names, groups, text)
        if absent:
            complete = cls.empty(len(particles))
            complete.names, complete.optics, complete.text_columns = table.names, table.optics, table.text_columns
            complete.add_columns({field: particles[field] for field in fields})
            table = complete
        for column in table.columns:
            if table.is_text(column) and len(table) and int(table[column].max()) >= len(names):
                raise FormatError(name, f"column {column} names an entry beyond the {len(names)} names.")
        return table


def _number_of_group(groups: list[OpticsGroup], group: OpticsGroup) -> int:
    """Return the number that a group has, or now gets, in a list of groups numbered from 1."""
    for known in groups:
        if {**asdict(known), "number": 0} == {**asdict(group), "number": 0}:
            return known.number
    groups.append(OpticsGroup(**{**asdict(group), "number": len(groups) + 1}))
    return len(groups)


def _read_trailer(name: str) -> dict[str, Any]:
    """Return what stands in JSON behind the particles."""
    size = os.path.getsize(name)
    with open(name, "rb") as file:
        file.seek(max(size - 16, 0))
        end = file.read(16)
        length = int.from_bytes(end[:8], "little")
        if end[8:] != TRAILER_MAGIC or length > size - 16:
            raise FormatError(name, "this is no particle table of verglas, or it is cut short.", "Copy it again.")
        file.seek(size - 16 - length)
        try:
            trailer = json.loads(file.read(length))
        except ValueError:
            raise FormatError(name, "its description is damaged.", "Copy the file again.") from None
    if not isinstance(trailer, dict) or not isinstance(trailer.get("schema_version"), int):
        raise FormatError(name, "its description is damaged.", "Copy the file again.")
    if trailer["schema_version"] > SCHEMA_VERSION:
        raise FormatError(
            name, f"it was written by a newer verglas (schema {trailer['schema_version']}).", "Update verglas."
        )
    return trailer
