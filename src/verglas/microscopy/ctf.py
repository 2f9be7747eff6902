"""The contrast transfer function, on grids and at points, with aberrations, envelopes and the specimen's thickness.

    CTF(k) = -sin(chi(k)),  chi = pi lambda D(az) k^2 - pi/2 Cs lambda^3 k^4 + phase shift + asin(amplitude contrast)

with the defocus D positive for underfocus: dark protein, negative at low frequency, as in cisTEM and CTFFIND.
``D(az) = (u + v)/2 + (u - v)/2 cos 2(az - angle)``.

References
----------
A. Rohou, N. Grigorieff, "CTFFIND4", J. Struct. Biol. 192 (2015) 216. J. Elferich et al., "CTFFIND5", eLife 13 (2024).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.kernels.arrays import array_namespace
from verglas.microscopy.optics import Optics, wavelength_A
from verglas.microscopy.zernike import even_phase, odd_phase


def rfft_frequencies(shape: tuple[int, int], pixel_size_A: float, like: Any = None) -> tuple[Any, Any]:
    """Return kx and ky in 1/A of the half-plane that ``rfft2`` of an image fills.

    Parameters
    ----------
    shape
        Rows and columns of the image.
    pixel_size_A
        Pixel size in A.
    like
        An array of the library wanted (CuPy's, say).

    Returns
    -------
    kx, ky : arrays, shape (rows, columns // 2 + 1)
        float64.
    """
    xp = array_namespace(like)
    rows, columns = shape
    ky = xp.fft.fftfreq(rows, pixel_size_A)[:, None]
    kx = xp.fft.rfftfreq(columns, pixel_size_A)[None, :]
    return tuple(xp.broadcast_arrays(kx, ky))


def true_frequencies(kx_per_A: Any, ky_per_A: Any, optics: Optics) -> tuple[Any, Any]:
    """Return frequencies after the optics' magnification matrix."""
    (xx, xy), (yx, yy) = optics.magnification
    return xx * kx_per_A + xy * ky_per_A, yx * kx_per_A + yy * ky_per_A


def ctf(
    kx_per_A: Any,
    ky_per_A: Any,
    optics: Optics,
    defocus_u_A: Any,
    defocus_v_A: Any = None,
    astigmatism_angle: Any = 0.0,
    phase_shift: Any = 0.0,
    *,
    dtype: Any = np.float32,
) -> Any:
    """Return the real contrast transfer function of particles at points of the Fourier plane.

    Parameters
    ----------
    kx_per_A, ky_per_A
        Nominal spatial frequencies in 1/A, shapes that broadcast to ``[points...]``.
    optics
        The optics group. Odd aberrations are not in here: see :func:`odd_aberration_factor`.
    defocus_u_A, defocus_v_A
        Largest and smallest defocus in A, underfocus positive; equal if v is not given.
    astigmatism_angle
        Direction of u in radians, from +x towards +y.
    phase_shift
        Phase plate's shift in radians.
    dtype
        Type of the result; phases are always computed in double precision.

    Returns
    -------
    array, shape (particles..., points...)
        The four defocus parameters broadcast to ``[particles...]``.
    """
    xp = array_namespace(kx_per_A, ky_per_A, defocus_u_A)
    kx, ky = _points(xp, kx_per_A, ky_per_A, optics)
    particles = _particles(xp, optics, defocus_u_A, defocus_v_A, astigmatism_angle, phase_shift)
    shape = particles.shape[:-1] + kx.shape
    if xp is np:
        from verglas.kernels.ctf import ctf_values

        flat = np.empty((int(np.prod(particles.shape[:-1])), kx.size), dtype)
        higher = even_aberration_phase(kx_per_A, ky_per_A, optics).ravel()
        ctf_values(kx.ravel(), ky.ravel(), higher, particles.reshape(-1, 4), *_constants(optics), flat)
        return flat.reshape(shape)
    return -xp.sin(_phase(xp, kx, ky, even_aberration_phase(kx_per_A, ky_per_A, optics), particles, optics)).astype(
        dtype
    )


def ctf_and_gradient(
    kx_per_A: Any,
    ky_per_A: Any,
    optics: Optics,
    defocus_u_A: Any,
    defocus_v_A: Any = None,
    astigmatism_angle: Any = 0.0,
    phase_shift: Any = 0.0,
    *,
    dtype: Any = np.float32,
) -> tuple[Any, Any]:
    """Return the transfer function and its derivatives; parameters as :func:`ctf`.

    Returns
    -------
    values : array, shape (particles..., points...)
    gradient : array, shape (particles..., 4, points...)
        Derivatives with respect to the mean defocus ``(u + v) / 2``, to ``(u - v) / 2 cos 2a`` and to
        ``(u - v) / 2 sin 2a`` (per A; smooth where astigmatism vanishes, unlike those of u, v and the angle a), and to
        the phase shift (per radian).
    """
    xp = array_namespace(kx_per_A, ky_per_A, defocus_u_A)
    kx, ky = _points(xp, kx_per_A, ky_per_A, optics)
    particles = _particles(xp, optics, defocus_u_A, defocus_v_A, astigmatism_angle, phase_shift)
    batch = particles.shape[:-1]
    if xp is np:
        from verglas.kernels.ctf import ctf_values_and_gradient

        count = int(np.prod(batch))
        values = np.empty((count, kx.size), dtype)
        gradient = np.empty((count, 4, kx.size), dtype)
        higher = even_aberration_phase(kx_per_A, ky_per_A, optics).ravel()
        ctf_values_and_gradient(
            kx.ravel(), ky.ravel(), higher, particles.reshape(-1, 4), *_constants(optics), values, gradient
        )
        return values.reshape(batch + kx.shape), gradient.reshape((*batch, 4, *kx.shape))
    phase = _phase(xp, kx, ky, even_aberration_phase(kx_per_A, ky_per_A, optics), particles, optics)
    factors = np.pi * optics.wavelength_A * xp.stack([kx**2 + ky**2, kx**2 - ky**2, 2.0 * kx * ky])
    factors = xp.concatenate([factors, xp.ones_like(factors[:1])])
    gradient = -xp.expand_dims(xp.cos(phase), len(batch)) * factors
    return -xp.sin(phase).astype(dtype), gradient.astype(dtype)


def ctf_2d(
    shape: tuple[int, int],
    optics: Optics,
    defocus_u_A: Any,
    defocus_v_A: Any = None,
    astigmatism_angle: Any = 0.0,
    phase_shift: Any = 0.0,
    *,
    pixel_size_A: float | None = None,
    dtype: Any = np.float32,
) -> Any:
    """Return the transfer function on the half-plane of ``rfft2``; parameters as :func:`ctf`.

    Parameters
    ----------
    shape
        Rows and columns of the image.
    pixel_size_A
        Pixel size, if not the optics' own (images cropped in Fourier space).

    Returns
    -------
    array, shape (particles..., rows, columns // 2 + 1)
    """
    kx, ky = rfft_frequencies(shape, pixel_size_A or optics.pixel_size_A, like=defocus_u_A)
    return ctf(kx, ky, optics, defocus_u_A, defocus_v_A, astigmatism_angle, phase_shift, dtype=dtype)


def even_aberration_phase(kx_per_A: Any, ky_per_A: Any, optics: Optics) -> Any:
    """Return what even aberrations beyond defocus and Cs add to chi, in radians: fourfold astigmatism and the others.

    ``-pi/2 lambda^3 A4 k^4 cos 4(az - angle)``, and minus the sum of Zernike polynomials.
    """
    xp = array_namespace(kx_per_A, ky_per_A)
    kx, ky = _points(xp, kx_per_A, ky_per_A, optics)
    phase = -even_phase(optics.even_zernike, kx, ky)
    if optics.tetrafoil_A:
        # k^4 cos 4(az - a) from (kx + i ky)^4.
        angle, xx, yy = 4.0 * optics.tetrafoil_angle, kx * kx, ky * ky
        cosine, sine = (xx - yy) ** 2 - 4.0 * xx * yy, 4.0 * kx * ky * (xx - yy)
        fourfold = np.cos(angle) * cosine + np.sin(angle) * sine
        phase = phase - 0.5 * np.pi * optics.wavelength_A**3 * optics.tetrafoil_A * fourfold
    return phase


def odd_aberration_phase(kx_per_A: Any, ky_per_A: Any, optics: Optics) -> Any:
    """Return the odd part of the aberration phase in radians: coma of the tilted beam, trefoil, and the others.

    ``2 pi Cs lambda^2 k^2 (k . tilt) + 2 pi/3 lambda^2 A3 k^3 cos 3(az - angle)``, the first being cisTEM's phase, and
    the sum of Zernike polynomials.
    """
    xp = array_namespace(kx_per_A, ky_per_A)
    kx, ky = _points(xp, kx_per_A, ky_per_A, optics)
    tilt = 1e-3 * (optics.beam_tilt_x_mrad * kx + optics.beam_tilt_y_mrad * ky)
    coma = 2.0 * np.pi * optics.spherical_aberration_mm * 1e7 * (kx * kx + ky * ky) * tilt
    # k^3 cos 3(az - a) is the real part of (kx + i ky)^3 exp(-3 i a).
    cosine = kx * (kx * kx - 3.0 * ky * ky)
    sine = ky * (3.0 * kx * kx - ky * ky)
    angle = 3.0 * optics.trefoil_angle
    trefoil = 2.0 * np.pi / 3.0 * optics.trefoil_A * (np.cos(angle) * cosine + np.sin(angle) * sine)
    return optics.wavelength_A**2 * (coma + trefoil) + odd_phase(optics.odd_zernike, kx, ky)


def odd_aberration_factor(kx_per_A: Any, ky_per_A: Any, optics: Optics, *, dtype: Any = np.complex64) -> Any:
    """Return ``exp(i phase)`` by which odd aberrations multiply the Fourier transform of images.

    Multiply images by its conjugate to undo it.
    """
    xp = array_namespace(kx_per_A, ky_per_A)
    return xp.exp(1j * odd_aberration_phase(kx_per_A, ky_per_A, optics)).astype(dtype)


def thickness_modulation(frequency_per_A: Any, voltage_kV: float, thickness_A: Any) -> Any:
    """Return the factor by which a thick specimen weakens Thon rings: ``sinc(pi lambda k^2 t)``.

    Parameters
    ----------
    frequency_per_A
        Spatial frequencies in 1/A.
    voltage_kV
        Acceleration voltage in kV.
    thickness_A
        Thickness of the specimen in A.

    References
    ----------
    D. Tichelaar et al., Ultramicroscopy 208 (2020) 112841.
    """
    xp = array_namespace(frequency_per_A, thickness_A)
    return xp.sinc(wavelength_A(voltage_kV) * xp.asarray(frequency_per_A, dtype=xp.float64) ** 2 * thickness_A)


def power_with_thickness(
    kx_per_A: Any,
    ky_per_A: Any,
    optics: Optics,
    defocus_u_A: Any,
    defocus_v_A: Any,
    astigmatism_angle: Any,
    phase_shift: Any,
    thickness_A: float,
) -> Any:
    """Return the expected squared CTF of a specimen of some thickness, ``(1 - sinc(..) cos 2 chi) / 2``, as CTFFIND5.

    Parameters as :func:`ctf`; the thickness is in A. Returns shape ``(particles..., points...)``, float64.
    """
    xp = array_namespace(kx_per_A, ky_per_A, defocus_u_A)
    kx, ky = _points(xp, kx_per_A, ky_per_A, optics)
    particles = _particles(xp, optics, defocus_u_A, defocus_v_A, astigmatism_angle, phase_shift)
    modulation = thickness_modulation(xp.hypot(kx, ky), optics.voltage_kV, thickness_A)
    return 0.5 * (
        1.0
        - modulation
        * xp.cos(2.0 * _phase(xp, kx, ky, even_aberration_phase(kx_per_A, ky_per_A, optics), particles, optics))
    )


def b_factor_envelope(frequency_per_A: Any, b_factor_A2: Any) -> Any:
    """Return ``exp(-B k^2 / 4)``, the fading of amplitudes by a B-factor in A^2."""
    xp = array_namespace(frequency_per_A, b_factor_A2)
    return xp.exp(-0.25 * b_factor_A2 * xp.asarray(frequency_per_A, dtype=xp.float64) ** 2)


def spatial_coherence_envelope(frequency_per_A: Any, optics: Optics, defocus_A: Any, semi_angle_mrad: float) -> Any:
    """Return the envelope of a source seen under a Gaussian angle (1/e semi-angle in mrad).

    ``exp(-(pi a)^2 (Cs lambda^2 k^3 - D k)^2)``.

    References
    ----------
    L. Reimer, H. Kohl, "Transmission Electron Microscopy", 5th ed. (2008), section 6.4.2.
    """
    xp = array_namespace(frequency_per_A, defocus_A)
    k = xp.asarray(frequency_per_A, dtype=xp.float64)
    slope = optics.spherical_aberration_mm * 1e7 * optics.wavelength_A**2 * k**3 - defocus_A * k
    return xp.exp(-((np.pi * semi_angle_mrad * 1e-3 * slope) ** 2))


def temporal_coherence_envelope(frequency_per_A: Any, optics: Optics, focal_spread_A: float) -> Any:
    """Return ``exp(-(pi lambda s k^2)^2 / 2)``, the envelope of a Gaussian spread of focus of deviation s in A."""
    xp = array_namespace(frequency_per_A)
    k = xp.asarray(frequency_per_A, dtype=xp.float64)
    return xp.exp(-0.5 * (np.pi * optics.wavelength_A * focal_spread_A * k * k) ** 2)


def _points(xp: Any, kx_per_A: Any, ky_per_A: Any, optics: Optics) -> tuple[Any, Any]:
    """Return true frequencies of one shape, float64."""
    kx, ky = true_frequencies(xp.asarray(kx_per_A, dtype=xp.float64), xp.asarray(ky_per_A, dtype=xp.float64), optics)
    return tuple(xp.broadcast_arrays(kx, ky))


def _particles(
    xp: Any, optics: Optics, defocus_u_A: Any, defocus_v_A: Any, astigmatism_angle: Any, phase_shift: Any
) -> Any:
    """Return mean defocus, cosine and sine part of astigmatism, and constant phase, shape (particles..., 4)."""
    if defocus_v_A is None:
        defocus_v_A = defocus_u_A
    given = (defocus_u_A, defocus_v_A, astigmatism_angle, phase_shift)
    u, v, angle, shift = xp.broadcast_arrays(*(xp.asarray(value, dtype=xp.float64) for value in given))
    half = 0.5 * (u - v)
    parts = [0.5 * (u + v), half * xp.cos(2.0 * angle), half * xp.sin(2.0 * angle), shift + optics.amplitude_phase]
    return xp.stack(parts, axis=-1)


def _constants(optics: Optics) -> tuple[float, float]:
    """Return pi lambda and pi/2 Cs lambda^3."""
    wavelength = optics.wavelength_A
    return np.pi * wavelength, 0.5 * np.pi * optics.spherical_aberration_mm * 1e7 * wavelength**3


def _phase(xp: Any, kx: Any, ky: Any, higher: Any, particles: Any, optics: Optics) -> Any:
    """Return chi, shape (particles..., points...), as array operations; ``higher`` is what further aberrations add."""
    pi_wavelength, sphere = _constants(optics)
    columns = [particles[..., j].reshape(particles.shape[:-1] + (1,) * kx.ndim) for j in range(4)]
    xx, yy = kx * kx, ky * ky
    squared = xx + yy
    defocus = columns[0] * squared + columns[1] * (xx - yy) + columns[2] * (2.0 * kx * ky)
    return pi_wavelength * defocus - sphere * squared**2 + columns[3] + higher
