"""Make the README's picture out of the report that ``make demo`` left: ``python -m tools.demo_picture``."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[1]
WIDTH = 1200


def pictures(report: Path) -> list[np.ndarray]:
    """Return the pictures of a report as arrays (rows, columns, 3) with values from 0 to 1."""
    import matplotlib.image

    encoded = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", report.read_text())
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(text)), format="png")[..., :3] for text in encoded]


def scaled(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image at another width, by cubic splines after smoothing away what the smaller one cannot hold."""
    from scipy import ndimage

    factor = width / image.shape[1]
    smooth = ndimage.gaussian_filter(image, (0.4 / factor, 0.4 / factor, 0)) if factor < 1 else image
    return np.clip(ndimage.zoom(smooth, (factor, factor, 1), order=3), 0, 1)


def main() -> None:
    import matplotlib.image

    rows = [scaled(image, WIDTH) for image in pictures(REPOSITORY / "demo" / "report.html")]
    width = min(row.shape[1] for row in rows)
    matplotlib.image.imsave(
        REPOSITORY / "docs" / "images" / "demo.png", np.concatenate([row[:, :width] for row in rows])
    )


if __name__ == "__main__":
    main()
