"""Rotations, symmetry, view grids, CTF and dose beside cisTEM, RELION and cryojax over large grids of settings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from tests.support.microscope_oracles import (
    blob_projections,
    blob_volume,
    cistem_ctf,
    cistem_grid_counts,
    cistem_projections,
    correlations,
    cryojax_ctf,
    ctf_settings,
    polar_points,
    random_angles_deg,
    relion_operators,
    relion_projections,
)
from tests.support.oracles import ask_oracle
from tools.measured import record

from verglas.geometry import (
    cistem_views,
    euler_to_matrix,
    measure_directions,
    measure_poses,
    name_for_relion,
    point_group,
    pose_grid,
    sphere_directions,
)
from verglas.microscopy import (
    Optics,
    critical_dose,
    ctf,
    ctf_2d,
    dose_filters,
    odd_aberration_phase,
    power_with_thickness,
    rfft_frequencies,
    thickness_modulation,
    wavelength_A,
)

GROUPS = [
    "C1",
    "C2",
    "C3",
    "C4",
    "C5",
    "C6",
    "C7",
    "C13",
    "D2",
    "D3",
    "D4",
    "D5",
    "D7",
    "T2",
    "O",
    "I",
    "I2",
    "I3",
    "I4",
]

DOSE = """
from pycistem.core import ElectronDose
critical = np.zeros((len(voltages), len(frequencies)))
weights = np.zeros((len(voltages), len(doses), len(frequencies)))
for v, voltage in enumerate(voltages):
    dose = ElectronDose(float(voltage), 1.0)
    for f, frequency in enumerate(frequencies):
        critical[v, f] = dose.ReturnCriticalDose(float(frequency) ** 2)
        for d, end in enumerate(doses):
            weights[v, d, f] = dose.ReturnDoseFilter(float(end), float(critical[v, f]))
answer.update(critical=critical, weights=weights)
"""


def matched(row: np.ndarray, wavelength: float) -> Optics:
    """Return optics at the voltage that has the other program's wavelength."""
    voltage = brentq(lambda kv: wavelength_A(kv) - wavelength, 0.9 * row[0], 1.1 * row[0], xtol=1e-12)
    return Optics(voltage, row[1], row[2], 1.0, beam_tilt_x_mrad=row[7], beam_tilt_y_mrad=row[8])


def ctf_parity(folder: Path) -> dict[str, Any]:
    settings = ctf_settings(1000, seed=21)
    k, azimuth = polar_points(400, seed=22)
    kx, ky = k * np.cos(azimuth), k * np.sin(azimuth)
    cistem, cryojax = cistem_ctf(settings, k, azimuth, folder), cryojax_ctf(settings, kx, ky, folder)
    worst: dict[str, float] = dict.fromkeys(
        ("ctf_cistem", "ctf_cistem_own_wavelength", "ctf_cryojax", "power_with_thickness_cistem",
         "thickness_modulation_cistem", "beam_tilt_phase_cistem_rad", "wavelength_cistem_relative",
         "wavelength_cryojax_relative"), 0.0)  # fmt: skip

    def note(key: str, difference: Any) -> None:
        worst[key] = max(worst[key], float(np.max(np.abs(difference))))

    for i, row in enumerate(settings):
        parameters = (row[3], row[4], np.deg2rad(row[5]), row[6])
        own = Optics(row[0], row[1], row[2], 1.0)
        optics = matched(row, cistem["wavelengths"][i])
        other = matched(row, cryojax["wavelengths"][i])
        note("ctf_cistem", ctf(kx, ky, optics, *parameters, dtype=np.float64) - cistem["values"][i])
        note("ctf_cistem_own_wavelength", ctf(kx, ky, own, *parameters, dtype=np.float64) - cistem["values"][i])
        note("ctf_cryojax", ctf(kx, ky, other, *parameters, dtype=np.float64) - cryojax["values"][i])
        note(
            "power_with_thickness_cistem",
            power_with_thickness(kx, ky, optics, *parameters, row[9]) - cistem["thick"][i],
        )
        note("thickness_modulation_cistem",
             thickness_modulation(k, optics.voltage_kV, row[9]) - cistem["modulation"][i])  # fmt: skip
        turns = (odd_aberration_phase(kx, ky, optics) - cistem["tilt"][i]) / (2 * np.pi)
        note("beam_tilt_phase_cistem_rad", 2 * np.pi * (turns - np.round(turns)))
        note("wavelength_cistem_relative", wavelength_A(row[0]) / cistem["wavelengths"][i] - 1)
        note("wavelength_cryojax_relative", wavelength_A(row[0]) / cryojax["wavelengths"][i] - 1)
    return {
        "settings": len(settings),
        "points_each": len(k),
        "highest_frequency_per_A": 0.4,
        "varied": "kV 80-300, Cs 0.01-2.7 mm, amplitude contrast 0-0.3, defocus 0.05-4 um, astigmatism 0-3000 A at any "
        "angle, phase shift 0-2.5 rad, beam tilt up to 2 mrad in x and y, thickness 100-2000 A",
        "note": "compared at the other program's wavelength, which both programs round, except in *_own_wavelength; "
        "cisTEM computes in single precision",
        "largest_absolute_difference": worst,
    }


def euler_parity(folder: Path) -> dict[str, Any]:
    size, angles = 64, random_angles_deg(500, seed=23)
    exact = blob_projections(size, euler_to_matrix(*np.deg2rad(angles.T)))
    volume = blob_volume(size)
    rng = np.random.Generator(np.random.Philox(24))
    origins = rng.uniform(-6.0, 6.0, (len(angles), 2))
    u = rng.uniform(4000.0, 20000.0, len(angles))
    defocus = np.stack([u, u - rng.uniform(0.0, 3500.0, len(angles)), rng.uniform(0.0, 180.0, len(angles))], axis=-1)
    kx, ky = rfft_frequencies((size, size), 1.0)
    shift = np.exp(2j * np.pi * (kx * origins[:, 0, None, None] + ky * origins[:, 1, None, None]))
    transfer = ctf_2d(
        (size, size), Optics(300.0, 2.7, 0.1, 1.0), defocus[:, 0], defocus[:, 1], np.deg2rad(defocus[:, 2])
    )
    images = np.fft.irfft2(np.fft.rfft2(exact) * shift * transfer, (size, size))
    found = {
        "relion_project_minus_ctf_and_shifts": -correlations(
            images, relion_projections(volume, angles, folder, origins_A=origins, ctf=defocus)
        ),
        "relion_project": correlations(exact, relion_projections(volume, angles, folder)),
        "cistem_extract_slice": correlations(exact, cistem_projections(volume, angles, folder)),
    }
    return {
        "angles": len(angles),
        "note": "exact projections of Gaussians turned by our matrices beside each program's projections of their map; "
        "what is missing from 1 is interpolation (cisTEM's slices here are not padded); "
        "RELION's images with CTF have the opposite sign",
        **{
            name: {"lowest_correlation": float(c.min()), "mean_correlation": float(c.mean())}
            for name, c in found.items()
        },
    }


def symmetry_parity() -> dict[str, Any]:
    table = {}
    for name in GROUPS:
        theirs, mine = relion_operators(name_for_relion(name)), point_group(name).operators
        difference = np.abs(theirs[:, None] - mine[None]).max(axis=(2, 3))
        worst = max(difference.min(axis=0).max(), difference.min(axis=1).max())
        table[name] = {"operators": len(mine), "in_relion": len(theirs), "largest_difference": float(worst)}
    return {"note": "RELION states its axes with six digits; its I1 is I here, its T is T2", "groups": table}


def grid_parity(folder: Path) -> dict[str, Any]:
    names = ["C1", "C2", "C3", "C4", "C7", "D2", "D3", "D7", "T", "T2", "O", "I", "I2"]
    pairs = [(n, s) for n in names for s in (20.0, 15.0, 10.0, 7.5, 5.0, 4.3, 3.0, 2.5, 1.5)]
    theirs = cistem_grid_counts([p[0] for p in pairs], [p[1] for p in pairs], folder)
    equal = [len(cistem_views(step, name)[0]) == count for (name, step), count in zip(pairs, theirs)]
    coverings: dict[str, Any] = {}
    for name in ("C1", "C3", "D2", "D7", "T", "T2", "O", "I", "I2"):
        for mirror in (False, True):
            d = sphere_directions(np.deg2rad(5.0), name, mirror=mirror)
            c = measure_directions(d, name, mirror=mirror)
            coverings[name + (" with mirrors" if mirror else "")] = {
                "views": len(d),
                "ideal_views": 4 * np.pi / np.deg2rad(5.0) ** 2 / point_group(name).order / (1 + mirror),
                "covering_radius_deg": float(np.rad2deg(c.largest_angle)),
                "mean_angle_deg": float(np.rad2deg(c.mean_angle)),
            }
    phi, theta = cistem_views(5.0)
    views = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    c = measure_directions(views, "C1", mirror=True)
    poses = pose_grid(np.deg2rad(7.5))
    covered = measure_poses(poses)
    return {
        "cistem_view_counts_equal": int(sum(equal)),
        "cistem_view_counts_compared": len(equal),
        "views_at_5_deg": coverings,
        "cistem_views_at_5_deg_C1_with_mirrors": {
            "views": len(views),
            "covering_radius_deg": float(np.rad2deg(c.largest_angle)),
            "mean_angle_deg": float(np.rad2deg(c.mean_angle)),
        },
        "poses_at_7.5_deg_C1": {"poses": len(poses), "covering_radius_deg": float(np.rad2deg(covered.largest_angle))},
    }


def dose_parity(folder: Path) -> dict[str, Any]:
    voltages = np.array([100.0, 200.0, 300.0])
    frequencies = np.linspace(0.002, 0.7, 200)
    doses = np.concatenate([[0.0], np.linspace(0.5, 120.0, 60)])
    theirs = ask_oracle(DOSE, folder, voltages=voltages, frequencies=frequencies, doses=doses)
    critical = np.array([critical_dose(frequencies, v) for v in voltages])
    weights = np.array([dose_filters(frequencies, doses, v) for v in voltages])
    return {
        "voltages_kV": voltages.tolist(),
        "frequencies": len(frequencies),
        "doses": len(doses) - 1,
        "critical_dose_largest_relative_difference": float(np.max(np.abs(critical / theirs["critical"] - 1))),
        "filter_largest_absolute_difference": float(np.max(np.abs(weights - theirs["weights"][:, 1:]))),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record(
            "parity_geometry_microscopy",
            {
                "ctf": ctf_parity(folder),
                "euler_angles": euler_parity(folder),
                "symmetry_operators": symmetry_parity(),
                "view_grids": grid_parity(folder),
                "dose": dose_parity(folder),
            },
        )


if __name__ == "__main__":
    main()
