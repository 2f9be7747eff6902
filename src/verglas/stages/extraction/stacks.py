"""Stacks on disk: a micrograph's particles as a part, the parts as one stack, and a picture of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from verglas.formats.atomic_write import write_whole
from verglas.formats.mrc import MrcStack, MrcStackWriter
from verglas.stages.extraction.boxes import BoxSettings, extract_particles

Array = np.ndarray[Any, Any]
AT_ONCE = 64


def write_part(
    path: Path, micrograph: Array, centres_px: Array, settings: BoxSettings, pixel_size_A: float, *,
    half_precision: bool = False, threads: int = 1, progress: Callable[[], None] | None = None,
) -> Array:  # fmt: skip
    """Write the particles of one micrograph as a stack and return their shifts in its pixels, shape (n, 2)."""
    shifts = []
    with MrcStackWriter(path, settings.made_box, settings.made_box, pixel_size_A, stored(half_precision)) as writer:
        for images, moved in extract_particles(micrograph, centres_px, settings, threads=threads):
            if progress is not None:
                progress()
            writer.append(images)
            shifts.append(moved)
    return np.concatenate(shifts)


def join_parts(
    path: Path, parts: Sequence[Path], box: int, pixel_size_A: float, *, half_precision: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:  # fmt: skip
    """Write parts after each other as one stack, some images at a time.

    Parameters
    ----------
    path
        The stack; it appears when it is whole.
    parts
        Stacks of one box size.
    box, pixel_size_A
        Of the images.
    half_precision
        Store float16.
    progress
        Called with the number of parts done.
    """
    with MrcStackWriter(path, box, box, pixel_size_A, stored(half_precision)) as writer:
        for number, part in enumerate(parts):
            with MrcStack(part) as stack:
                for first in range(0, len(stack), AT_ONCE):
                    writer.append(stack.read(range(first, min(first + AT_ONCE, len(stack)))))
            if progress is not None:
                progress(number + 1)


def stored(half_precision: bool) -> str:
    """Return the type in which images are stored."""
    return "float16" if half_precision else "float32"


def write_montage(path: Path, stack: Path, title: str, count: int = 40) -> None:
    """Write a PNG of images spread evenly over a stack.

    Parameters
    ----------
    path
        Where to.
    stack
        The stack.
    title
        Heading.
    count
        At most how many images.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with MrcStack(stack) as source:
        chosen = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int))
        images = source.read(chosen)
    columns = min(10, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(columns * 1.15, rows * 1.15 + 0.4), dpi=90, layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    low, high = np.percentile(images, (0.5, 99.5))
    for axis in axes:
        axis.set_axis_off()
    for axis, image in zip(axes, images, strict=False):
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
    with write_whole(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png")
