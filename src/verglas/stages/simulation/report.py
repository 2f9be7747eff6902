"""A page to look at what was simulated: pictures of the first images, their spectrum, and the parameters."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.formats import open_movie, read_image, read_section, write_whole

LARGEST_PX = 900
MONTAGE = 24


def as_png(image: NDArray[Any], *, low: float = 1.0, high: float = 99.0) -> bytes:
    """Return an image [y, x] as PNG with row 0 at the bottom, grey levels between two percentiles."""
    import imagecodecs

    step = -(-max(image.shape) // LARGEST_PX)
    rows, columns = (n // step * step for n in image.shape)
    small = image[:rows, :columns].reshape(rows // step, step, columns // step, step).mean(axis=(1, 3))
    floor, ceiling = np.percentile(small, [low, high])
    grey = np.clip((small - floor) / max(float(ceiling - floor), 1e-12), 0, 1) * 255
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(grey[::-1]).astype(np.uint8)))


def power_spectrum(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithm of the power spectrum averaged over tiles, zero frequency in the middle."""
    tile = min(512, *image.shape)
    total = np.zeros((tile, tile))
    window = np.hanning(tile)[:, None] * np.hanning(tile)[None, :]
    for y in range(0, image.shape[0] - tile + 1, max(1, tile // 2)):
        for x in range(0, image.shape[1] - tile + 1, max(1, tile // 2)):
            part = image[y : y + tile, x : x + tile]
            total += np.abs(scipy.fft.fft2((part - part.mean()) * window)) ** 2
    return np.asarray(np.log(scipy.fft.fftshift(total) + 1e-12))


def pictures(folder: Path, report: dict[str, Any]) -> dict[str, bytes]:
    """Return captions and PNG pictures of a simulation's first images."""
    if report["kind"] == "stack":
        count = min(MONTAGE, report["particles"])
        images = [read_section(folder / report["files"][0], i)[0] for i in range(count)]
        images += [np.full_like(images[0], images[0].mean())] * (-count % 6)
        rows = [np.concatenate(images[i : i + 6], axis=1) for i in range(0, len(images), 6)]
        return {"First particles": as_png(np.concatenate(rows[::-1], axis=0))}
    first = json.loads((folder / "truth.json").read_text())["movies"][0]["name"]
    if report["kind"] == "movies":
        with open_movie(folder / first) as movie:
            image = np.sum([np.asarray(frame, dtype=np.float32) for frame in movie.frames()], axis=0)
        gain, _ = read_image(folder / "gain.mrc")
        image = image * gain
        image[:, gain.max(axis=0) == 0] = np.median(image)
    else:
        image, _ = read_image(folder / first)
    image = np.minimum(image, np.median(image) + 8 * np.sqrt(np.median(image)))
    return {f"{first}: sum of frames": as_png(image), "its power spectrum": as_png(power_spectrum(image))}


def write_page(folder: str | Path) -> Path:
    """Write ``report.html`` beside the ``report.json`` of a simulation, and return its path."""
    folder = Path(folder)
    report = json.loads((folder / "report.json").read_text())
    figures = "".join(
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, png in pictures(folder, report).items()
    )
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(json.dumps(value))}</td></tr>"
        for name, value in report["parameters"].items()
    )
    page = (
        "<!doctype html><meta charset=utf-8><title>Simulation</title>"
        "<style>body{font:15px sans-serif;margin:2em}figure{display:inline-block;margin:0 1em 1em 0}"
        "img{max-width:45vw}td{padding:0 1em 0 0}</style>"
        f"<h1>Simulated {report['kind']}: {report['particles']} particles</h1>{figures}<h2>Parameters</h2>"
        f"<table>{rows}</table>\n"
    )
    path = folder / "report.html"
    with write_whole(path) as temporary:
        temporary.write_text(page)
    return path
