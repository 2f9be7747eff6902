"""Noise with Thon rings of known defocus, made from the textbook formula alone."""

from __future__ import annotations

import numpy as np

LAMBDA_300 = 0.0196875  # A, at 300 kV


def ringed_noise(
    u_A,
    v_A,
    angle_deg,
    *,
    n=1024,
    pixel=1.2,
    cs_mm=2.7,
    phase_deg=0.0,
    b_A2=80.0,
    snr=0.3,
    ice=0.0,
    seed=0,
    thickness_A=0.0,
):
    """Return noise whose amplitude spectrum is that of |CTF|, a falling background and an ice ring if asked for."""
    random = np.random.Generator(np.random.Philox(seed))
    ky, kx = np.fft.fftfreq(n, pixel)[:, None], np.fft.rfftfreq(n, pixel)[None]
    k2 = kx**2 + ky**2
    along = np.cos(2 * (np.arctan2(ky, kx) - np.deg2rad(angle_deg)))
    defocus = (u_A + v_A) / 2 + (u_A - v_A) / 2 * along
    chi = np.pi * LAMBDA_300 * defocus * k2 - np.pi / 2 * cs_mm * 1e7 * LAMBDA_300**3 * k2**2
    chi = chi + np.arcsin(0.07) + np.deg2rad(phase_deg)
    rings = 0.5 - 0.5 * np.sinc(LAMBDA_300 * k2 * thickness_A) * np.cos(2 * chi)
    signal = snr * np.exp(-b_A2 * k2 / 2) * rings
    signal = signal + ice * np.exp(-(((np.sqrt(k2) - 1 / 3.7) / 0.004) ** 2))
    background = 1 + 2 * np.exp(-np.sqrt(k2) * 20)
    transform = np.fft.rfft2(random.standard_normal((n, n))) * np.sqrt(signal + background)
    return np.fft.irfft2(transform, (n, n)).astype(np.float32)


def tilted_noise(mean_A, axis_deg, angle_deg, *, n=2048, pixel=1.2, step_A=100.0, **other):
    """Return noise with rings of a defocus that is a plane: mixed, pixel by pixel, from images of one defocus each."""
    along = np.arange(n) - n // 2
    axis = np.deg2rad(axis_deg)
    across = (-along[None] * np.sin(axis) + along[:, None] * np.cos(axis)) * pixel
    level = across * np.tan(np.deg2rad(angle_deg)) / step_A
    half = other.pop("astigmatism_A", 0.0) / 2
    angle = other.pop("astigmatism_deg", 0.0)
    image = np.zeros((n, n), np.float32)
    for number in range(int(np.floor(level.min())), int(np.ceil(level.max())) + 1):
        middle = mean_A + number * step_A
        weight = np.maximum(1.0 - np.abs(level - number), 0.0).astype(np.float32)
        image += weight * ringed_noise(middle + half, middle - half, angle, n=n, pixel=pixel, **other)
    return image
