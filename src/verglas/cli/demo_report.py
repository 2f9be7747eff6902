"""The demo's report: one HTML page with its pictures inside, and the same figures as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.formats.atomic_write import write_whole
from verglas.formats.html_report import Section, page

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["Section", "image_row", "png", "shift_curves", "write_report"]


def png(figure: Figure) -> bytes:
    """Return a matplotlib figure as PNG bytes and close it."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()


def image_row(images: Sequence[tuple[str, NDArray[np.floating[Any]]]]) -> bytes:
    """Return images side by side, each with its title and grey values from the 1st to the 99th percentile."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(1, len(images), figsize=(5.2 * len(images), 5.2), squeeze=False)
    for axis, (title, image) in zip(axes[0], images, strict=True):
        low, high = np.percentile(image, [1, 99])
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
        axis.set_title(title, fontsize=11)
        axis.set_axis_off()
    figure.tight_layout()
    return png(figure)


def shift_curves(
    found_A: Sequence[NDArray[np.float64]], true_A: Sequence[NDArray[np.float64]], names: Sequence[str]
) -> bytes:
    """Return found (points) and true (lines) tracks of the first movies, and the error over the frames of all.

    Parameters
    ----------
    found_A, true_A
        One array (frames, 2) a movie: shifts to apply, as x, y.
    names
        Of the movies.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, (track, error) = plt.subplots(1, 2, figsize=(11, 4.4))
    for number, (found, true, name) in enumerate(zip(found_A, true_A, names, strict=True)):
        if number < 4:
            (line,) = track.plot(true[:, 0], true[:, 1], lw=1.2)
            track.plot(found[:, 0], found[:, 1], ".", color=line.get_color(), label=name)
        error.plot(np.hypot(*(found - true).T), lw=1, alpha=0.7)
    track.set_xlabel("x (A)")
    track.set_ylabel("y (A)")
    track.set_aspect("equal", "datalim")
    track.legend(fontsize=8, frameon=False)
    track.set_title("Shift to apply: true (line), found (points)", fontsize=11)
    error.set_xlabel("frame")
    error.set_ylabel("error (A)")
    error.set_ylim(0)
    error.set_title("Error of each frame's shift", fontsize=11)
    figure.tight_layout()
    return png(figure)


def write_report(folder: Path, title: str, sections: Sequence[Section], figures: dict[str, Any]) -> None:
    """Write ``report.html`` and ``report.json``, each whole or not at all."""
    with write_whole(folder / "report.html") as temporary:
        temporary.write_text(page(title, sections), encoding="utf-8")
    with write_whole(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
