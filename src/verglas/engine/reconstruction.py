"""Reconstruct maps from particle images of known poses: two half maps, their FSC, and the filtered map of all.

Every component of an image is multiplied by its CTF and a weight and added along a central slice of a Fourier volume;
so is weight x CTF^2. The map is one sum over the other, regularised, and divided by the interpolation's ``sinc^2``.
On request slices are bent as the Ewald sphere is: each image then adds to both sides of it.

References
----------
N. Grigorieff, "Frealign", Methods Enzymol. 579 (2016) 191. P. A. Penczek, "Fundamentals of three-dimensional
reconstruction from projections", Methods Enzymol. 482 (2010) 1. C. J. Russo and R. Henderson, "Ewald sphere correction
using a single side-band image processing algorithm", Ultramicroscopy 187 (2018) 26.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verglas.engine.fourier_sums import (
    PLANES_AT_ONCE,
    FourierSums,
    Slices,
    make_map,
    shell_values,
    shell_weights,
    sphere,
    split_symmetry,
)
from verglas.engine.reconstructed_map import ReconstructedMap, signal_to_noise
from verglas.engine.threads import kernel_threads
from verglas.errors import FormatError, InputError, NumericalError
from verglas.formats import write_whole
from verglas.geometry import symmetry_name
from verglas.kernels.arrays import array_library, array_namespace, to_numpy
from verglas.microscopy.optics import PLAIN
from verglas.signal import (
    fourier_shell_correlation,
    part_fsc,
    resolution_at,
    rfft,
)
from verglas.signal.masks import mask_volume_A3

IMAGES_AT_ONCE = 32
LEAST_WEIGHT = 1e-3
"""Half maps are divided by weights plus this part of their shell's mean, so that voxels hardly seen stay quiet."""


def memory_needed(box: int, oversampling: int = 2, threads: int = 1) -> int:
    """Return the bytes that a reconstruction takes at its peak: sums of both halves, and the maps made from them.

    Parameters
    ----------
    box
        Pixels a side.
    oversampling
        As in :class:`Reconstruction`.
    threads
        Threads; they share the sums.

    Raises
    ------
    InputError
        If the numbers make no sense.
    """
    slices = Slices(box, 1.0, oversampling)
    layout = sphere(slices.radius)
    sums = 2 * 12 * layout.voxels + layout.starts.nbytes
    batch = IMAGES_AT_ONCE * (3 * 4 * box * box + 28 * slices.rows.size)
    # Two half maps, and six more while they are compared: masked, transformed, and the mask.
    maps = 4 * box**3 * (2 + 6) + 8 * box * box * (slices.grid // 2 + 1)
    planes = 8 * PLANES_AT_ONCE * slices.grid * slices.grid * 3
    return int(sums + batch + maps + planes + threads * 2**20)


class Reconstruction:
    """A reconstruction under way: sums of two halves, that images are added to and maps are made from.

    Parameters
    ----------
    box
        Pixels a side of images and maps.
    pixel_size_A
        Pixel size in A.
    symmetry
        Point group, in its standard setting (see :mod:`verglas.geometry.symmetry`).
    oversampling
        How many times finer than 1 / box the Fourier volume is sampled: 2, or 1 for coarse steps.
    threads
        Threads; the sums do not depend on them.
    memory_bytes
        Budget: refuse to start when :func:`memory_needed` is more.
    device
        ``cpu``, or ``cuda``: images are transformed and added on a GPU; maps are made in host memory.

    Raises
    ------
    InputError
        If a number or name makes no sense, or the memory does not suffice.
    """

    def __init__(
        self, box: int, pixel_size_A: float, symmetry: str = "C1", *, oversampling: int = 2, threads: int = 1,
        memory_bytes: int | None = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        xp = array_library(device)
        needed = memory_needed(box, oversampling, threads)
        if memory_bytes is not None and needed > memory_bytes:
            raise InputError(
                f"a reconstruction of box {box} needs {needed / 1e9:.1f} GB, and may take {memory_bytes / 1e9:.1f} GB: "
                f"crop or bin the images, or set oversampling to 1 ({memory_needed(box, 1, threads) / 1e9:.1f} GB)."
            )
        self.box, self.pixel_size_A, self.oversampling, self.threads = box, float(pixel_size_A), oversampling, threads
        self.symmetry = symmetry_name(symmetry)
        self.permutations, self._representatives = split_symmetry(self.symmetry)
        self.slices = Slices(box, pixel_size_A, oversampling)
        self.xp = xp
        self.halves = (FourierSums(self.slices, xp), FourierSums(self.slices, xp))
        self.images = np.zeros(2, np.int64)

    @property
    def frequencies_per_A(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frequencies kx, ky in 1/A, shape (points,), of the components that are used: where a CTF is asked for."""
        return self.slices.kx_per_A, self.slices.ky_per_A

    def insert(
        self,
        images: ArrayLike,
        rotations: ArrayLike,
        shifts_A: ArrayLike,
        half: ArrayLike,
        *,
        ctf: NDArray[np.float32] | None = None,
        weights: ArrayLike = 1.0,
        b_factors_A2: ArrayLike = 0.0,
        noise_power: ArrayLike | None = None,
        group: ArrayLike = 0,
        aberration: NDArray[np.complex64] | None = None,
        ctf_quadrature: NDArray[np.float32] | None = None,
        ewald_wavelength_A: float = 0.0,
        magnification: Any = PLAIN,
    ) -> None:
        """Add images.

        Parameters
        ----------
        images
            Real images, shape (n, box, box), with positive density in the CTF's sense (image = CTF x projection).
        rotations
            Rotation matrices, shape (n, 3, 3), see :mod:`verglas.geometry.rotations`.
        shifts_A
            Shift (x, y) in A to apply to each image, shape (n, 2).
        half
            0 or 1 for each image; broadcast to (n,).
        ctf
            CTF at :attr:`frequencies_per_A`, shape (n, points); 1 everywhere when None.
        weights
            Weight of each image (occupancy, soft assignment); those of weight 0 are passed over.
        b_factors_A2
            Weights fall as ``exp(-B k^2 / 4)``, for each image: B above 0 for images trusted less at high resolution.
        noise_power
            Noise spectrum by which images are weighted (1 / power), shape (shells,) or (groups, shells), shells 0 to
            box // 2; shells of power 0 are left out. White noise when None.
        group
            Row of ``noise_power`` of each image.
        aberration
            Odd aberrations at the points (:func:`verglas.microscopy.odd_aberration_factor`), which are undone.
        ctf_quadrature
            The CTF with a quarter turn (pi / 2) more of phase shift; needed for the Ewald sphere only.
        ewald_wavelength_A
            The electrons' wavelength in A: slices are bent as the Ewald sphere of a beam towards +z of the turned
            particle (atoms at larger z are farther from focus). Its negative for the other hand; 0: flat slices.
        magnification
            Matrix (2, 2) that takes nominal frequencies of the images to true ones, at which they are added; it may
            enlarge by an eighth at most.

        Raises
        ------
        InputError
            If shapes or values do not fit.
        """
        pixels = np.asarray(images, np.float32)
        count, points = len(pixels), self.slices.rows.size
        R, shift = np.asarray(rotations, np.float64), np.asarray(shifts_A, np.float64)
        if pixels.shape != (count, self.box, self.box) or R.shape != (count, 3, 3) or shift.shape != (count, 2):
            raise InputError(
                f"images {pixels.shape}, rotations {R.shape} and shifts {shift.shape} do not fit box {self.box}; give "
                f"(n, {self.box}, {self.box}), (n, 3, 3) and (n, 2)."
            )
        if ctf is not None and ctf.shape != (count, points):
            raise InputError(f"a CTF of shape {ctf.shape} does not fit {count} images of {points} components each.")
        if ewald_wavelength_A and (ctf is None or ctf_quadrature is None or ctf_quadrature.shape != ctf.shape):
            raise InputError("the Ewald sphere's curvature needs the CTF and its quadrature, of one shape.")
        weight, decay, halves = (
            np.broadcast_to(np.asarray(values, kind), count)
            for values, kind in ((weights, np.float32), (b_factors_A2, np.float32), (half, np.int64))
        )
        if not (np.isfinite(weight).all() and (weight >= 0).all() and np.isin(halves, (0, 1)).all()):
            raise InputError("weights must be finite and not negative, and halves 0 or 1.")
        curves = np.ones((1, points), np.float32)
        if noise_power is not None:
            power = np.atleast_2d(np.asarray(noise_power, np.float64))
            inverse = np.divide(1.0, power, out=np.zeros_like(power), where=power > 0.0)
            curves = shell_values(inverse, self.slices)
        curves = curves * self.slices.mates
        rows = np.broadcast_to(np.asarray(group, np.int64), count)
        if count and not 0 <= rows.min() <= rows.max() < len(curves):
            raise InputError(f"groups go from {rows.min()} to {rows.max()}, but there are {len(curves)} noise spectra.")
        for number in (0, 1):
            chosen = np.flatnonzero((halves == number) & (weight > 0.0))
            for start in range(0, chosen.size, IMAGES_AT_ONCE):
                some = chosen[start : start + IMAGES_AT_ONCE]
                transfer = np.ones((len(some), points), np.float32) if ctf is None else ctf[some]
                quadrature = transfer if ctf_quadrature is None else ctf_quadrature[some]
                copies = (R[some][:, None] @ self._representatives).astype(np.float32)
                for side in (1, -1) if ewald_wavelength_A else (0,):
                    values = self._weigh(
                        pixels[some], shift[some], transfer, weight[some], decay[some], curves, rows[some], aberration,
                        quadrature, side,
                    )  # fmt: skip
                    # Beam towards +z: what lies at larger z is farther from focus, and exp(i chi) sees -lambda k^2 / 2.
                    bend = -0.5 * side * ewald_wavelength_A / (self.box * self.pixel_size_A)
                    self.halves[number].insert(values, copies, self.threads, bend, magnification)
                self.images[number] += len(some)

    def _weigh(
        self, images: Any, shifts_A: Any, ctf: Any, weights: Any, decay: Any, curves: Any, rows: Any, aberration: Any,
        quadrature: Any, side: int,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return weighted points of a batch of images, shape (n, points, 3)."""
        s = self.slices
        transforms = rfft(self.xp.asarray(images), 2, workers=self.threads)
        if not np.isfinite(transforms[:, 0, 0]).all():
            raise NumericalError("an image holds values that are not numbers; look at the stack and leave it out.")
        # The origin n // 2 is moved to element 0 together with the shift.
        move = shifts_A / s.pixel_size_A - self.box // 2
        row_phases = np.exp(-2j * np.pi * np.fft.fftfreq(self.box) * move[:, 1:]).astype(np.complex64)
        column_phases = np.exp(-2j * np.pi * np.fft.rfftfreq(self.box) * move[:, :1]).astype(np.complex64)
        factor = np.ones(s.rows.size, np.complex64) if aberration is None else np.conj(aberration)
        squared = (s.kx_per_A**2 + s.ky_per_A**2).astype(np.float32)
        if self.xp is not np:
            given = (ctf, row_phases, column_phases, weights, decay, squared, curves, factor, quadrature)
            found: NDArray[np.float32] = weighed(
                transforms, s.rows, s.columns, rows, side, *(self.xp.asarray(one) for one in given)
            )
            return found
        from verglas.kernels.insertion import weigh_points

        values = np.empty((len(images), s.rows.size, 3), np.float32)
        with kernel_threads(self.threads):
            weigh_points(
                transforms, np.ascontiguousarray(ctf, np.float32), row_phases, column_phases, s.rows, s.columns,
                np.ascontiguousarray(weights), np.ascontiguousarray(decay), squared, curves,
                np.ascontiguousarray(rows), factor.astype(np.complex64),
                np.ascontiguousarray(quadrature, np.float32), side, values,
            )  # fmt: skip
        return values

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the sums by name, not copied on a CPU; sums of two reconstructions are the sums of these arrays."""
        named: dict[str, np.ndarray] = {"images": self.images}
        for number, one in enumerate(self.halves, start=1):
            named |= {f"half{number}": to_numpy(one.volume), f"half{number}_core": to_numpy(one.core)}
        return named

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Add the sums of another reconstruction of the same box, sampling and symmetry.

        Raises
        ------
        InputError
            If they have other shapes.
        """
        own = self.arrays()
        if {name: array.shape for name, array in own.items()} != {name: array.shape for name, array in arrays.items()}:
            raise InputError("these sums are of another box or oversampling and cannot be added.")
        self.images += arrays["images"]
        for number, one in enumerate(self.halves, start=1):
            one.volume += self.xp.asarray(arrays[f"half{number}"])
            one.core += self.xp.asarray(arrays[f"half{number}_core"])
            one.is_symmetric = False

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sums whole to an ``.npz`` file."""
        about = {"box": self.box, "pixel_size_A": self.pixel_size_A, "symmetry": self.symmetry,
                 "oversampling": self.oversampling}  # fmt: skip
        with write_whole(Path(path)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, about=np.array(json.dumps(about)), **self.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int = 1) -> Reconstruction:
        """Read sums that :meth:`save` wrote.

        Raises
        ------
        FormatError
            The file holds no such sums.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = dict(found)
            about = json.loads(str(arrays.pop("about")))
            loaded = cls(
                about["box"], about["pixel_size_A"], about["symmetry"], oversampling=about["oversampling"],
                threads=threads,
            )  # fmt: skip
            loaded.add(arrays)
        except (OSError, ValueError, KeyError, EOFError, InputError) as error:
            raise FormatError(path, f"holds no sums of a reconstruction ({error}).", "Make it again.") from None
        return loaded

    def finish(
        self, *, mask: NDArray[np.float32] | None = None, molecular_mass_kDa: float | None = None
    ) -> ReconstructedMap:
        """Make the maps; the sums stay as they are, and more images may be added afterwards.

        Parameters
        ----------
        mask
            Soft mask for the FSC, shape (box, box, box); when None the sphere that fits the box, beyond which
            maps are empty.
        molecular_mass_kDa
            Mass of the particle: corrects the FSC for the solvent within the mask.

        Raises
        ------
        InputError
            If no image was added.
        """
        if not self.images.any():
            raise InputError("no image was added, so there is nothing to reconstruct; look at selection and weights.")
        counts = (int(self.images[0]), int(self.images[1]))
        if not self.images.all():
            number = int(self.images[1] > 0)
            volume, weight = self.half_map(number)
            return ReconstructedMap(None, volume, None, None, None, None, weight, counts)
        (first, weight), (second, other) = self.half_map(0), self.half_map(1)
        weight = weight + other
        correlation = fourier_shell_correlation(first, second, self.pixel_size_A, mask=mask, workers=self.threads)
        corrected, part = correlation.fsc.copy(), None
        if molecular_mass_kDa is not None:
            volume_A3 = math.pi / 6.0 * (self.box * self.pixel_size_A) ** 3
            if mask is not None:
                volume_A3 = mask_volume_A3(mask, self.pixel_size_A)
            corrected = part = part_fsc(corrected, volume_A3, molecular_mass_kDa)
        ratio = signal_to_noise(corrected)
        volume = self.filtered_map(ratio)
        resolution = resolution_at(correlation.frequency_per_A, corrected)
        return ReconstructedMap(
            (first, second), volume, correlation, corrected, ratio, resolution, weight, counts, part
        )

    def half_map(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the unfiltered map of half 0 or 1 and its mean weight in each shell."""
        sums = self._symmetrised(number)
        weight = shell_weights([sums], self.threads)
        return make_map([sums], LEAST_WEIGHT * weight, self.threads), len(self.permutations) * weight

    def filtered_map(self, ratio: ArrayLike, number: int | None = None) -> NDArray[np.float32]:
        """Return a map filtered by its signal-to-noise ratio, voxel by voxel as they were seen.

        Parameters
        ----------
        ratio
            Spectral signal-to-noise ratio of this map, shape (box // 2 + 1,); shells where it is 0 are left empty.
        number
            Half 0 or 1; None: both together.
        """
        chosen = [self._symmetrised(one) for one in ((0, 1) if number is None else (number,))]
        values = np.asarray(ratio, np.float64)
        # SSNR = weight x signal / noise: 1 / (signal / noise) is what a Wiener filter adds to the weights.
        weight = shell_weights(chosen, self.threads)
        added = np.where(values > 0.0, weight / np.maximum(values, 1e-12), -1.0)
        return make_map(chosen, added, self.threads)

    def _symmetrised(self, number: int) -> FourierSums:
        """Return the sums of half 0 or 1 in host memory, as means over the permutations of the point group."""
        sums = self.halves[number].on_host()
        sums.symmetrise(self.permutations, self.threads)
        return sums


def weighed(
    transforms: Any, rows: NDArray[np.int64], columns: NDArray[np.int64], curve: NDArray[np.int64], side: int, ctf: Any,
    row_phases: Any, column_phases: Any, weights: Any, decay: Any, squared: Any, curves: Any, factor: Any,
    quadrature: Any,
) -> Any:  # fmt: skip
    """Return weighted points as :func:`verglas.kernels.insertion.weigh_points` does, by array operations."""
    xp = array_namespace(transforms)
    weight = weights[:, None] * curves[curve] * xp.exp(np.float32(-0.25) * decay[:, None] * squared)
    value = transforms[:, rows, columns] * row_phases[:, rows] * column_phases[:, columns] * factor
    # One side of the Ewald sphere is seen with (c - i side q) / 2.
    seen = ctf if side == 0 else 0.5 * (ctf + 1j * side * quadrature)
    product = weight * seen * value
    power = weight * ctf * ctf * (1.0 if side == 0 else 0.5)
    return xp.stack([product.real, product.imag, power], axis=-1).astype(xp.float32)
