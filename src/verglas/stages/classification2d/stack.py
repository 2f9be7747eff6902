"""The images of a package, read from its stack by their places, with what its table says of optics and defocus."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats import MrcStack, ParticleTable
from verglas.microscopy import Optics


class PackageImages:
    """The active particles of a table, in its order, and their images.

    Parameters
    ----------
    table
        Particles of one pixel size and microscope.
    folder
        What relative names of stacks are relative to.

    Raises
    ------
    InputError
        No particle is active, an image is not named, or microscopes are mixed.
    FormatError
        A stack is damaged.
    """

    def __init__(self, table: ParticleTable, folder: str | os.PathLike[str]) -> None:
        self.rows = np.flatnonzero(table["active"] > 0)
        if not self.rows.size:
            raise InputError("no particle of the package is active, so there is nothing to classify.")
        sections = table["image_section"][self.rows]
        names = table.names_of("image_name")
        self._names = [names[row] for row in self.rows]
        if not all(self._names) or (sections < 1).any():
            raise InputError("some particles name no stack or no section of it, so their images cannot be read.")
        self._sections = np.asarray(sections, np.int64) - 1
        self._stacks = {name: MrcStack(Path(folder) / name) for name in dict.fromkeys(self._names)}
        shapes = {stack.shape[1:] for stack in self._stacks.values()}
        self.box = next(iter(shapes))[0]
        if shapes != {(self.box, self.box)}:
            raise InputError(f"particle images must be squares of one size, but there are {sorted(shapes)}.")
        self.optics = _optics(table, self.rows)
        white = {bool(group.contrast_inverted) for group in table.optics}
        if len(white) != 1:
            raise InputError("protein is dark in some optics groups and white in others; make a package of each.")
        self.contrast_inverted = white.pop()
        self.defocus = np.stack(
            [
                table["defocus_u_A"], table["defocus_v_A"], np.deg2rad(table["defocus_angle_deg"]),
                np.deg2rad(table["phase_shift_deg"]),
            ],
            axis=1,
        )[self.rows].astype(np.float64)  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    def __enter__(self) -> PackageImages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the stacks."""
        for stack in self._stacks.values():
            stack.close()

    def read(self, places: Any) -> NDArray[np.float32]:
        """Return images by their places among the active particles, shape (n, box, box)."""
        images = np.empty((len(places), self.box, self.box), np.float32)
        for out, place in zip(images, places, strict=True):
            out[:] = self._stacks[self._names[place]].section(int(self._sections[place]))
        return images


def _optics(table: ParticleTable, rows: NDArray[np.int64]) -> Optics:
    """Return the microscope that all particles share."""
    found = {}
    for column in ("voltage_kV", "spherical_aberration_mm", "amplitude_contrast", "pixel_size_A"):
        values = table[column][rows]
        if np.ptp(values) > 1e-3 * max(abs(float(values[0])), 1e-6):
            raise InputError(f"the particles differ in {column} ({values.min():g} to {values.max():g}); split them.")
        found[column] = float(values[0])
    if not (found["voltage_kV"] > 0.0 and found["pixel_size_A"] > 0.0):
        raise InputError("the table does not say voltage or pixel size; import the particles with both.")
    return Optics(
        found["voltage_kV"], found["spherical_aberration_mm"], found["amplitude_contrast"], found["pixel_size_A"]
    )
