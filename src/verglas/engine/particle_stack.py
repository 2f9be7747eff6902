"""The images of a particle table, read by their places in it, with the optics and defocus that the table gives them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats import MrcStack, OpticsGroup, ParticleTable
from verglas.microscopy import Optics
from verglas.signal import resize

OPEN_STACKS = 64
OPTICS_COLUMNS = (
    "voltage_kV", "spherical_aberration_mm", "amplitude_contrast", "beam_tilt_x_mrad", "beam_tilt_y_mrad",
)  # fmt: skip
TOLERANCE = 1e-3
"""Microscopes whose figures differ by a smaller part are one."""


class ParticleStack:
    """Some particles of a table and their images, wherever those lie; a place counts among these particles.

    Parameters
    ----------
    table
        Particles, each with the name of a stack and a section of it.
    folder
        What relative names of stacks are relative to.
    rows
        Rows of the table; the active ones when None.
    contrast_inverted
        Whether protein is white; None: as the table's optics groups say.

    Attributes
    ----------
    rows
        Row of the table of each place, shape (n,).
    group
        Index of each place's optics group in ``table.optics``, shape (n,).
    box
        Pixels a side.
    pixel_size_A
        Pixel size in A.

    Raises
    ------
    InputError
        There are no particles, an image is not named, images have several pixel sizes, or an optics group is not
        described.
    FormatError
        A stack is damaged.
    """

    def __init__(
        self,
        table: ParticleTable,
        folder: str | os.PathLike[str],
        rows: Any | None = None,
        *,
        contrast_inverted: bool | None = None,
    ) -> None:
        self.table, self.folder = table, Path(folder)
        self.rows: NDArray[np.int64] = (
            np.flatnonzero(table["active"] > 0) if rows is None else np.asarray(rows, np.int64)
        )
        if not self.rows.size:
            raise InputError("no particle of the table is active, so there are no images to work on.")
        self._contrast_inverted = contrast_inverted
        self._names = np.asarray(table["image_name"][self.rows])
        self._sections = np.asarray(table["image_section"][self.rows], np.int64) - 1
        if (self._names < 0).any() or (self._sections < 0).any():
            raise InputError("some particles name no stack or no section of it, so their images cannot be read.")
        self._open: OrderedDict[int, MrcStack] = OrderedDict()
        self.box = 0
        self.box = self._stack(int(self._names[0])).shape[1]
        self.pixel_size_A = _pixel_size(table, self.rows)
        numbers = np.array([group.number for group in table.optics])
        same = np.asarray(table["optics_group"])[self.rows, None] == numbers
        unknown = np.flatnonzero(~same.any(axis=1))
        if unknown.size:
            row = int(self.rows[unknown[0]])
            number = table["optics_group"][row]
            raise InputError(f"particle {row + 1} is of optics group {number}, which the table does not describe.")
        self.group: NDArray[np.int64] = same.argmax(axis=1)
        self._optics: dict[int, Optics] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the stacks."""
        while self._open:
            self._open.popitem()[1].close()

    def read(self, places: Any, box: int | None = None, *, threads: int = 1) -> NDArray[np.float32]:
        """Return images by their places.

        Parameters
        ----------
        places
            In any order, shape (n,).
        box
            Pixels a side that they are Fourier-cropped or padded to, over the same field of view; as stored when None.
        threads
            Threads of the transforms.

        Returns
        -------
        ndarray, shape (n, box, box)
            float32, whatever type the stack has.
        """
        wanted = np.asarray(places, np.int64)
        images = np.empty((len(wanted), self.box, self.box), np.float32)
        for name in np.unique(self._names[wanted]):
            stack = self._stack(int(name))
            for n in np.flatnonzero(self._names[wanted] == name):
                images[n] = stack.section(int(self._sections[wanted[n]]))
        if box is None or box == self.box:
            return images
        return np.asarray(resize(images, (box, box), workers=threads), np.float32)

    def defocus(self, places: Any) -> NDArray[np.float64]:
        """Return u and v in A, angle of u and phase shift in radians, shape (n, 4), of the particles at some places."""
        rows, table = self.rows[np.asarray(places, np.int64)], self.table
        columns = [
            table["defocus_u_A"][rows], table["defocus_v_A"][rows], np.deg2rad(table["defocus_angle_deg"][rows]),
            np.deg2rad(table["phase_shift_deg"][rows]),
        ]  # fmt: skip
        return np.stack(columns, axis=1).astype(np.float64)

    def by_group(self, places: Any) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each optics group among some places, with which of the places (indices into them) are of it."""
        of = self.group[np.asarray(places, np.int64)]
        for number in np.unique(of):
            yield int(number), np.flatnonzero(of == number)

    def optics(self, group: int) -> Optics:
        """Return the microscope of an optics group.

        Raises
        ------
        InputError
            Its particles differ, voltage is not known, or the group's aberrations are no numbers.
        """
        if group not in self._optics:
            rows = self.rows[self.group == group]
            values = higher_aberrations(self.table.optics[group])
            for name in OPTICS_COLUMNS:
                column = self.table[name][rows]
                if np.ptp(column) > 0.0:
                    raise InputError(f"particles of one optics group differ in {name}; give them groups of their own.")
                values[name] = float(column[0])
            if not values["voltage_kV"] > 0.0:
                raise InputError("the table does not say the voltage; import the particles with --voltage.")
            self._optics[group] = Optics(pixel_size_A=self.pixel_size_A, **values)
        return self._optics[group]

    def magnification(self, group: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the matrix that takes nominal frequencies of an optics group's images to true ones."""
        found: tuple[tuple[float, float], tuple[float, float]] = higher_aberrations(self.table.optics[group])[
            "magnification"
        ]
        return found

    @property
    def largest_magnification(self) -> float:
        """Largest factor between true and nominal frequencies of any optics group of these particles."""
        groups = (int(number) for number in np.unique(self.group))
        return float(max(np.linalg.norm(self.magnification(number), 2) for number in groups))

    def is_inverted(self, group: int) -> bool:
        """Tell whether protein is white in the images of an optics group.

        Raises
        ------
        InputError
            Nothing says so.
        """
        said = self._contrast_inverted
        if said is None:
            said = self.table.optics[group].contrast_inverted
        if said is None:
            raise InputError("nothing says whether protein is dark or white in these images; set contrast_inverted.")
        return bool(said)

    def one_optics(self) -> tuple[Optics, bool]:
        """Return the microscope that all particles share, and whether protein is white, for steps that know but one.

        Raises
        ------
        InputError
            Microscopes or contrasts are mixed.
        """
        groups = [int(number) for number in np.unique(self.group)]
        first = self.optics(groups[0])
        for other in map(self.optics, groups[1:]):
            for name in OPTICS_COLUMNS:
                mine, its = getattr(first, name), getattr(other, name)
                if abs(mine - its) > TOLERANCE * max(abs(mine), 1e-6):
                    raise InputError(f"the particles differ in {name} ({mine:g} and {its:g}); split them.")
            if (first.magnification, first.odd_zernike, first.even_zernike) != (
                other.magnification, other.odd_zernike, other.even_zernike
            ):  # fmt: skip
                raise InputError("the particles differ in magnification or higher aberrations; split them.")
        white = {self.is_inverted(number) for number in groups}
        if len(white) != 1:
            raise InputError("protein is dark in some optics groups and white in others; make a package of each.")
        return first, white.pop()

    def _stack(self, name: int) -> MrcStack:
        """Return an open stack; the one unused for longest is closed where too many are open."""
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        stack = MrcStack(self.folder / self.table.names[name])
        self._open[name] = stack
        if len(self._open) > OPEN_STACKS:
            self._open.popitem(last=False)[1].close()
        shape = stack.shape[1:]
        if shape[0] != shape[1] or (self.box and shape[0] != self.box):
            expected = f" of {self.box} pixels" if self.box else ""
            raise InputError(
                f"{stack.path}: its images have {shape[1]} x {shape[0]} pixels; particle images must be squares"
                f"{expected}. Crop or pad it, or leave its particles out."
            )
        return stack


def higher_aberrations(group: OpticsGroup) -> dict[str, Any]:
    """Return what an optics group's file says beyond the table's columns: magnification and Zernike coefficients.

    They are RELION's ``rlnMagMat..``, ``rlnOddZernike`` and ``rlnEvenZernike``, by the names that
    :class:`verglas.microscopy.Optics` has for them.

    Raises
    ------
    InputError
        A value is no number.
    """

    def numbers(label: str, plain: float | None = None) -> tuple[float, ...]:
        text = group.extra.get(label, "" if plain is None else str(plain))
        try:
            return tuple(float(part) for part in text.strip("[] ").split(",") if part.strip())
        except ValueError:
            raise InputError(
                f"optics group {group.name} has _{label} {text}, which is no number; correct it."
            ) from None

    matrix = [numbers(f"rlnMagMat{i}{j}", float(i == j)) for i in (0, 1) for j in (0, 1)]
    if any(len(entry) != 1 for entry in matrix):
        raise InputError(f"optics group {group.name} has an incomplete magnification matrix; correct it.")
    (a,), (b,), (c,), (d,) = matrix
    odd, even = numbers("rlnOddZernike"), numbers("rlnEvenZernike")
    return {
        "magnification": ((a, b), (c, d)), "odd_zernike": odd if any(odd) else (),
        "even_zernike": even if any(even) else (),
    }  # fmt: skip


def _pixel_size(table: ParticleTable, rows: NDArray[np.int64]) -> float:
    sizes = np.unique(table["pixel_size_A"][rows])
    if not sizes[0] > 0.0 or sizes[-1] > (1.0 + TOLERANCE) * sizes[0]:
        raise InputError(f"the particles must have one known pixel size, but the table has {sizes.tolist()} A.")
    return float(table["pixel_size_A"][rows[0]])
