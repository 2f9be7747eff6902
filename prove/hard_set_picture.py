"""A picture of the hard set's classes: slices through the domain that turns, beside the true maps.

``python -m prove.hard_set_picture FOLDER``, where a demo of that set was written to.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tools.measured import REPOSITORY

from verglas.cli.demo_hard import HardSet
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.signal import apply_filter, cosine_lowpass
from verglas.stages.simulation import projected_map

PICTURE = REPOSITORY / "docs" / "images" / "hard_set.png"
LIMIT_A, WIDTH_A = 9.0, 130.0


def found_maps(folder: Path) -> list[NDArray[np.float32]]:
    """Return the maps of the last refinement of a demo's project."""
    with Project.open(folder / "project") as project:
        details = project.assets("refinement")[-1]["details"]
        return [read_mrc_volume(project.folder / one["volume_path"])[0].astype(np.float32) for one in details]


def draw(folder: Path, to: Path = PICTURE) -> None:
    """Draw the maps of a demo in a folder, low-passed as the true ones, and how the two classes differ."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    asked = HardSet()
    parameters, pixel_A = asked.parameters(folder), asked.pixel_size_A
    lowpass = cosine_lowpass(LIMIT_A, 0.02)
    true, found = (
        [apply_filter(one, pixel_A, lowpass) for one in maps]
        for maps in ([projected_map(parameters, shape, 1.0) for shape in parameters.conformations], found_maps(folder))
    )
    apart = true[0] - true[1]
    if np.sum((found[0] - found[1]) * apart) < 0.0:
        found.reverse()
    alike = np.corrcoef((found[0] - found[1]).ravel(), apart.ravel())[0, 1]
    sys.stdout.write(f"correlation of the classes' difference with the true one, to {LIMIT_A:g} A: {alike:.3f}\n")
    z = int(np.argmax((apart**2).sum(axis=(1, 2))))
    middle, reach = asked.box // 2, round(0.5 * WIDTH_A / pixel_A)
    seen = (z, slice(middle - reach, middle + reach), slice(middle - reach, middle + reach))
    figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.2))
    for row, (kind, maps) in enumerate((("truth", true), ("found", found))):
        for column, (name, volume) in enumerate(zip(("straight", "turned"), maps, strict=True)):
            low, high = np.percentile(volume, (1.0, 99.95))
            _show(axes[row, column], volume[seen], f"{kind}: {name}", cmap="gray", vmin=low, vmax=high)
        difference = maps[0] - maps[1]
        most = 0.6 * float(np.abs(difference).max())
        _show(axes[row, 2], difference[seen], f"{kind}: difference", cmap="RdBu", vmin=-most, vmax=most)
    figure.tight_layout()
    figure.savefig(to, dpi=70)
    plt.close(figure)


def _show(axis: Any, image: NDArray[np.float32], title: str, **options: Any) -> None:
    axis.imshow(image, **options)
    axis.set_title(title, fontsize=10)
    axis.axis("off")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
