"""What the header of an image file says, in one shape for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ImageKind = Literal["mrc", "tiff", "eer", "dm", "png"]


@dataclass(frozen=True)
class ImageHeader:
    """What a file of images holds, learnt without reading a pixel.

    Attributes
    ----------
    path
        The file.
    kind
        The format, told from the content, not from the name.
    n_x, n_y, n_sections
        Columns, rows and sections (frames, slices) as they lie in the file, before any change of axis order.
    dtype
        Name of the numpy type of one pixel as read (4-bit data read as ``uint8``).
    pixel_size_A
        Length of a pixel along x in Angstrom, or None where the file does not say.
    is_volume
        Whether the sections are the slices of one map (MRC space group 1 and above).
    voxel_size_A
        Length of a voxel along x, y, z in Angstrom, or None where the file does not say.
    origin_A
        Position of the first voxel along x, y, z in Angstrom as the header gives it.
    axis_order
        Which axis (1 = x, 2 = y, 3 = z) columns, rows and sections run along.
    start
        Index of the first column, row and section in the cell's grid.
    """

    path: Path
    kind: ImageKind
    n_x: int
    n_y: int
    n_sections: int
    dtype: str
    pixel_size_A: float | None
    is_volume: bool = False
    voxel_size_A: tuple[float, float, float] | None = None
    origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axis_order: tuple[int, int, int] = (1, 2, 3)
    start: tuple[int, int, int] = (0, 0, 0)
