"""The images that ab-initio works on: cropped, whitened, cut to a band, all in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages, ParticleStack, normalise, prepare_images
from verglas.engine.background import background_noise, background_radius_A
from verglas.engine.band_sums import working_box
from verglas.signal import resize
from verglas.stages.abinitio.settings import AbInitioSettings

AT_ONCE = 256
BYTES_A_COMPONENT = 12


def chosen_places(
    stack: ParticleStack, most: int, seed: int, defocus_A: tuple[float, float] | None = None
) -> NDArray[np.int64]:
    """Return the places of the particles to work on, in order: within a range of defocus, at most some, by chance."""
    places: NDArray[np.int64] = np.arange(len(stack))
    if defocus_A is not None:
        mean = stack.defocus(places)[:, :2].mean(axis=1)
        places = places[(mean >= defocus_A[0]) & (mean <= defocus_A[1])]
    if len(places) > most:
        random = np.random.Generator(np.random.Philox([seed, 1]))
        places = np.sort(random.choice(places, most, replace=False))
    return places


def memory_needed(images: int, width_A: float, limit_A: float) -> int:
    """Return the bytes that so many prepared images take."""
    return int(BYTES_A_COMPONENT * images * 0.5 * np.pi * (width_A / limit_A + 1.0) ** 2)


def prepared(
    stack: ParticleStack, places: NDArray[np.int64], settings: AbInitioSettings, limit_A: float, *,
    noise: NDArray[np.float64] | None = None, threads: int = 1,
) -> ParticleImages:  # fmt: skip
    """Return images of all optics groups as one set of prepared images, in the order of the places.

    Parameters
    ----------
    stack
        The particles.
    places
        Which.
    settings
        Radius and coarsest resolution.
    limit_A
        Finest resolution.
    noise
        Spectrum of the noise of each optics group, as of :func:`verglas.engine.background_noise`; measured when None.
    threads
        Threads.

    Notes
    -----
    The transfer of each image is that of its own optics group; uneven magnification, which moves components by a part
    of a percent, is left to refinement.
    """
    box, pixel_A = stack.box, stack.pixel_size_A
    small = min(box, working_box(box * pixel_A, limit_A))
    small_A = pixel_A * box / small
    inner = background_radius_A(settings.radius_A, box, pixel_A)
    if noise is None:
        noise = background_noise(stack, settings.radius_A, threads=threads)
    noise = noise[:, : small // 2 + 1] * (small / box) ** 2
    parts: list[ParticleImages] = []
    order: list[NDArray[np.int64]] = []
    for first in range(0, len(places), AT_ONCE):
        some = places[first : first + AT_ONCE]
        pixels = normalise(stack.read(some), inner, pixel_A)
        if small != box:
            pixels = np.asarray(resize(pixels, (small, small), workers=threads), np.float32)
        for group, inside in stack.by_group(some):
            found = prepare_images(
                pixels[inside], replace(stack.optics(group), pixel_size_A=small_A), stack.defocus(some[inside]), noise,
                limit_A, group=np.full(len(inside), group), low_A=settings.low_A,
                contrast_inverted=stack.is_inverted(group), threads=threads,
            )  # fmt: skip
            parts.append(found)
            order.append(first + inside)
    back = np.argsort(np.concatenate(order), kind="stable")
    whole = replace(
        parts[0],
        data=np.concatenate([one.data for one in parts]),
        transfer=np.concatenate([one.transfer for one in parts]),
        group=np.concatenate([one.group for one in parts]),
        defocus=np.concatenate([one.defocus for one in parts]),
    )
    return whole.select(back)


def cut(images: ParticleImages, limit_A: float) -> ParticleImages:
    """Return images to a coarser resolution."""
    part = images.band.up_to(limit_A)
    points = len(part)
    return replace(
        images, band=part, data=np.ascontiguousarray(images.data[:, :points]),
        transfer=np.ascontiguousarray(images.transfer[:, :points]), whitening=images.whitening[:, :points],
    )  # fmt: skip
