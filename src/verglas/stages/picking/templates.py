"""What is looked for: a disc, a hollow shell, a Laplacian of Gaussian, images in all rotations, or views of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.signal import resample, sphere_mask

Array = np.ndarray[Any, Any]
EDGE_PIXELS = 2.5  # half the soft edge of discs, in pixels of the small image


@dataclass(frozen=True)
class TemplateImages:
    """Images of the particle.

    Attributes
    ----------
    images
        float32, shape (n, box, box): density positive, centre at pixel box // 2, zero far from it.
    pixel_size_A
        Their pixel size.
    source
        Which view (or 2D image) each was made from, shape (n,).
    psi
        In-plane rotation of each in radians, shape (n,).
    uses_ctf
        Whether they are projections to be multiplied by the CTF.
    """

    images: Array
    pixel_size_A: float
    source: Array
    psi: Array
    uses_ctf: bool = True


def disc(radius_A: float, pixel_size_A: float) -> TemplateImages:
    """Return a soft disc, as Sigworth and cisTEM use it for particles of unknown shape."""
    distance = _distance(radius_A + 2 * EDGE_PIXELS * pixel_size_A, pixel_size_A)
    inner, width = radius_A - EDGE_PIXELS * pixel_size_A, 2 * EDGE_PIXELS * pixel_size_A
    inner = max(inner, 0.0)
    fall = np.clip((distance - inner) / width, 0.0, 1.0)
    return _single(0.5 + 0.5 * np.cos(np.pi * fall), pixel_size_A)


def shell(radius_A: float, inner_radius_A: float, pixel_size_A: float) -> TemplateImages:
    """Return the projection of a hollow sphere, a ring: for capsids, ferritin, vesicles; inner radius 0: a ball.

    Raises
    ------
    InputError
        The inner radius is not below the outer one.
    """
    if not 0 <= inner_radius_A < radius_A:
        raise InputError(f"a shell's inner radius ({inner_radius_A:g} A) must lie below its radius ({radius_A:g} A).")
    fine = 4
    distance = _distance(radius_A + 2 * pixel_size_A, pixel_size_A, fine)
    chords = [np.sqrt(np.maximum(r * r - distance * distance, 0.0)) for r in (radius_A, inner_radius_A)]
    box = len(distance) // fine
    return _single(_bin(chords[0] - chords[1], box, fine), pixel_size_A)


def log(radius_A: float, pixel_size_A: float) -> TemplateImages:
    """Return the negative Laplacian of a Gaussian that answers most to a disc of a radius; used without CTF."""
    sigma = radius_A / np.sqrt(2.0)
    distance = _distance(4.0 * sigma, pixel_size_A)
    u = 0.5 * (distance / sigma) ** 2
    image = (1.0 - u) * np.exp(-u)
    image -= image.mean()
    return _single(image, pixel_size_A, uses_ctf=False)


def template_images(
    images: Array, images_pixel_size_A: float, pixel_size_A: float, *, rotation_step_deg: float = 5.0,
    diameter_A: float | None = None, protein_is_white: bool = True, symmetry: int = 1,
) -> TemplateImages:  # fmt: skip
    """Return 2D images (class averages, say) in all in-plane rotations.

    Parameters
    ----------
    images
        Shape (n, box, box) or (box, box), centre at box // 2.
    images_pixel_size_A
        Their pixel size.
    pixel_size_A
        The pixel size wanted, that of the small micrograph.
    rotation_step_deg
        Step of the rotations.
    diameter_A
        A soft mask of this diameter is applied; none: the box.
    protein_is_white
        Whether the images show protein brighter than ice, as class averages do.
    symmetry
        Rotational symmetry of the images about their centre.

    Raises
    ------
    InputError
        The images are not square, or are empty.
    """
    from scipy.ndimage import affine_transform

    stack = images if images.ndim == 3 else images[None]
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2] or not len(stack):
        raise InputError(f"templates must be square images, not of shape {images.shape}.")
    small = resample(np.asarray(stack, np.float32), images_pixel_size_A, pixel_size_A, ndim=2)
    new = small.shape[-1]
    radius_A = 0.5 * min(diameter_A or np.inf, (new - 4) * pixel_size_A)
    mask = sphere_mask((new, new), radius_A, pixel_size_A, edge_A=2 * pixel_size_A)
    outside = np.sum(small * (1 - mask), axis=(1, 2), keepdims=True) / np.sum(1 - mask)
    small = (small - outside) * mask
    if not protein_is_white:
        small = -small
    angles = np.deg2rad(np.arange(0.0, 360.0 / max(symmetry, 1) - 1e-6, rotation_step_deg))
    turned, source, psi = [], [], []
    centre = np.array([new // 2, new // 2], float)
    for number, image in enumerate(small):
        for angle in angles:
            cosine, sine = np.cos(angle), np.sin(angle)
            matrix = np.array([[cosine, -sine], [sine, cosine]])
            turned.append(affine_transform(image, matrix, centre - matrix @ centre, order=3, mode="constant"))
            source.append(number)
            psi.append(angle)
    return TemplateImages(np.array(turned, np.float32), pixel_size_A, np.array(source), np.array(psi))


def map_projections(
    volume: Array,
    volume_pixel_size_A: float,
    pixel_size_A: float,
    *,
    step_deg: float = 15.0,
    symmetry: str = "C1",
    threads: int = 1,
) -> TemplateImages:
    """Return projections of a map over all views and in-plane rotations.

    Parameters
    ----------
    volume
        Shape (box, box, box), protein positive, centred.
    volume_pixel_size_A
        Its pixel size.
    pixel_size_A
        The pixel size wanted, that of the small micrograph.
    step_deg
        Angular step of views and rotations.
    symmetry
        Point group of the map; only its asymmetric unit of views is used.
    threads
        Threads.

    Raises
    ------
    InputError
        The volume is no cube.
    """
    from verglas.engine import prepare_reference, project
    from verglas.geometry import matrix_to_euler, pose_grid

    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise InputError(f"a template map must be a cube, not of shape {volume.shape}.")
    small = resample(np.asarray(volume, np.float32), volume_pixel_size_A, pixel_size_A)
    reference = prepare_reference(small, pixel_size_A, limit_A=2.0 * pixel_size_A, threads=threads)
    poses = pose_grid(np.deg2rad(step_deg), symmetry)
    images = project(reference, poses, threads=threads)
    source = np.repeat(np.arange(len(poses)), 1)
    return TemplateImages(images.astype(np.float32), pixel_size_A, source, matrix_to_euler(poses)[2])


def _single(image: Array, pixel_size_A: float, *, uses_ctf: bool = True) -> TemplateImages:
    return TemplateImages(image[None].astype(np.float32), pixel_size_A, np.zeros(1, int), np.zeros(1), uses_ctf)


def _distance(reach_A: float, pixel_size_A: float, fine: int = 1) -> Array:
    """Return the distance in A from the centre of a box that reaches so far, with ``fine`` samples a pixel and axis."""
    box = 2 * int(np.ceil(reach_A / pixel_size_A)) + 2
    along = ((np.arange(box * fine) + 0.5) / fine - 0.5 - box // 2) * pixel_size_A
    return np.asarray(np.hypot(along[:, None], along[None]))


def _bin(image: Array, box: int, fine: int) -> Array:
    return np.asarray(image.reshape(box, fine, box, fine).mean(axis=(1, 3)))
