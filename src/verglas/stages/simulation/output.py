"""Write what the simulator made: TIFF or MRC movies, MRC images, and truth as RELION 3.1 star files and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.stages.simulation.parameters import OpticsParameters

Progress = Callable[[int, int], None]


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name, then rename it."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain JSON whole."""
    write_whole(path, json.dumps(content, indent=1) + "\n")


def write_movie(path: Path, frames: NDArray[Any], pixel_size_A: float) -> None:
    """Write counts (frames, ny, nx): ``.tif`` is LZW with rows flipped as verglas, cisTEM and RELION read them."""
    if path.suffix == ".tif":
        import tifffile

        part = path.with_name(path.name + ".part")
        with tifffile.TiffWriter(part) as tiff:
            for frame in frames:
                tiff.write(
                    frame[::-1], compression="lzw", photometric="minisblack", metadata=None, contiguous=False,
                    resolution=(1e8 / pixel_size_A, 1e8 / pixel_size_A), resolutionunit="CENTIMETER",
                )  # fmt: skip
        os.replace(part, path)
    else:
        write_mrc(path, frames.astype(np.int16) if frames.dtype == np.uint8 else frames, pixel_size_A)


def write_mrc(path: Path, data: NDArray[Any], pixel_size_A: float, *, volume: bool = False) -> None:
    """Write an image, a stack of images or (``volume``) a map."""
    import mrcfile

    part = path.with_name(path.name + ".part")
    with mrcfile.new(part, overwrite=True) as file:
        file.set_data(data)
        if data.ndim == 3 and not volume:
            file.set_image_stack()
        file.voxel_size = pixel_size_A
    os.replace(part, path)


def star_block(name: str, columns: Mapping[str, Sequence[Any]]) -> str:
    """Return one loop of a star file."""
    lines = [f"data_{name}", "", "loop_"]
    lines += [f"_{key} #{number}" for number, key in enumerate(columns, start=1)]
    for row in zip(*columns.values(), strict=True):
        lines.append(" ".join(f"{value:.6f}" if isinstance(value, float) else str(value) for value in row))
    return "\n".join(lines) + "\n\n"


def optics_block(optics: OpticsParameters, *, box: int | None, kind: str) -> str:
    """Return the optics group of a RELION 3.1 star file (``kind`` is Image, Micrograph or MicrographOriginal)."""
    columns: dict[str, Sequence[Any]] = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnVoltage": [float(optics.voltage_kV)],
        "rlnSphericalAberration": [float(optics.cs_mm)],
        "rlnAmplitudeContrast": [float(optics.amplitude_contrast)],
        f"rln{kind}PixelSize": [float(optics.pixel_size_A)],
        "rlnBeamTiltX": [float(optics.beam_tilt_x_mrad)],
        "rlnBeamTiltY": [float(optics.beam_tilt_y_mrad)],
    }
    if box is not None:
        columns |= {"rlnImageSize": [box], "rlnImageDimensionality": [2]}
    return star_block("optics", columns)
