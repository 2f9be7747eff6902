"""What the simulator must show: parity with relion_project, cisTEM and cryojax, likeness to real data, its cost."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
from tests.support.oracles import ask_oracle, program
from tools.measured import REPOSITORY, record

from verglas.formats import read_image, read_stack, write_mrc, write_particles
from verglas.stages.simulation import (
    Conformation,
    MicrographParameters,
    StackParameters,
    make_density,
    read_atoms,
    simulate_micrographs,
)
from verglas.stages.simulation.optics import Defocus, Microscope
from verglas.stages.simulation.parameters import OpticsParameters
from verglas.stages.simulation.stack import StackImages, draw_truth

REAL = Path(os.environ.get("VERGLAS_REAL_DATA", REPOSITORY.parent / "shared" / "data")) / "apoferritin"
BANDS_A = ((150.0, 60.0), (60.0, 30.0), (30.0, 20.0), (20.0, 10.0), (10.0, 6.0), (6.0, 4.0), (4.0, 3.1))
MICROGRAPHS = ("May08_06.30.43", "May08_04.32.27", "May08_05.53.51")


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def within(images: np.ndarray, pixel_size_A: float, low_A: float, high_A: float) -> np.ndarray:
    """Return images with the frequencies between two resolutions only."""
    n = images.shape[-1]
    k = np.hypot(scipy.fft.fftfreq(n, pixel_size_A)[:, None], scipy.fft.rfftfreq(n, pixel_size_A))
    return np.asarray(scipy.fft.irfft2(scipy.fft.rfft2(images) * ((k < 1 / high_A) & (k >= 1 / low_A)), (n, n)))


def relion_table(folder: Path) -> list[dict[str, Any]]:
    """Compare simulated images with relion_project's of a map of the same atoms, over several settings."""
    rows = []
    base: dict[str, Any] = {
        "model": "beta-galactosidase", "conformations": [Conformation(remove="/1/A-2,A-3")], "particles": 20,
        "box": 96, "pixel_size_A": 2.0, "snr": None, "padding": 1, "envelope_b_A2": 0, "extra_b_factor_A2": 200,
        "seed": 11,
    }  # fmt: skip
    settings: dict[str, dict[str, Any]] = {
        "angles": {"apply_ctf": False, "shift_sigma_A": 0.0},
        "angles and shifts": {"apply_ctf": False, "shift_sigma_A": 8.0},
        "with CTF": {"shift_sigma_A": 8.0},
        "with strong astigmatism": {"shift_sigma_A": 8.0},
        "with phase plate": {"shift_sigma_A": 8.0, "phase_shift_degrees": 60},
    }
    for name, extra in settings.items():
        parameters = StackParameters(**{**base, **extra})
        truth = draw_truth(parameters)
        if name == "with strong astigmatism":
            truth["defocus_u_A"], truth["defocus_v_A"], truth["defocus_angle_deg"] = 20000, 14000, 33
        images = StackImages(parameters, truth)
        mine = np.array([images.signal(i) for i in range(len(truth))])
        if parameters.apply_ctf:
            mine = -mine  # RELION draws protein white
        density = make_density(
            read_atoms(parameters, parameters.conformations[0]), parameters.box, parameters.pixel_size_A
        )
        write_mrc(folder / "map.mrc", density, parameters.pixel_size_A)
        rows.append({"setting": name, **project_with_relion(folder, truth, mine, ctf=parameters.apply_ctf)})
        if name == "with strong astigmatism":
            wrong = truth.copy()
            wrong["defocus_angle_deg"] = -wrong["defocus_angle_deg"]
            rows.append(
                {
                    "setting": "wrong on purpose: defocus angle mirrored",
                    **project_with_relion(folder, wrong, mine, ctf=True),
                }
            )
            write_mrc(folder / "map.mrc", np.roll(density[::-1], 1, axis=0), parameters.pixel_size_A)
            rows.append(
                {"setting": "wrong on purpose: other hand", **project_with_relion(folder, truth, mine, ctf=True)}
            )
    return rows


def project_with_relion(folder: Path, truth: Any, mine: np.ndarray, *, ctf: bool) -> dict[str, float]:
    """Return the lowest and mean correlation with relion_project at the angles of a table.

    RELION leaves the corners of a transform, beyond Nyquist, empty: they are taken from ours too.
    """
    write_particles(truth, folder / "truth.star")
    command = [program("relion_project", "relion"), "--i", "map.mrc", "--ang", "truth.star", "--o", "out", "--pad", "4"]
    subprocess.run([*command, *(["--ctf"] if ctf else [])], cwd=folder, check=True, capture_output=True)
    theirs, _ = read_stack(folder / "out.mrcs")
    found = {}
    for label, low_A, high_A in (("", np.inf, 4.0), ("_10-4_A", 10.0, 4.0)):
        pairs = zip(within(mine, 2.0, low_A, high_A), within(theirs, 2.0, low_A, high_A), strict=True)
        values = [correlation(a, b) for a, b in pairs]
        found[f"lowest_correlation{label}"] = min(values)
        found[f"mean_correlation{label}"] = float(np.mean(values))
    return {**found, "images": len(mine)}


def cistem_ctf(folder: Path) -> list[dict[str, float]]:
    """Compare the simulator's CTF with cisTEM's over a grid of settings."""
    rows = []
    for voltage in (100.0, 200.0, 300.0):
        for cs in (0.01, 2.7):
            for u, v, angle, phase in ((15000, 12000, 30, 0), (30000, 29000, -70, 0), (8000, 8000, 0, 90)):
                optics = OpticsParameters(pixel_size_A=1.3, cs_mm=cs, voltage_kV=voltage, envelope_b_A2=0)
                mine = Microscope(optics, (64, 64)).transfer(Defocus(u, v, angle, phase))
                answer = ask_oracle(
                    """
                    from pycistem.core import CTF
                    voltage, cs, u, v, angle, phase = setting.tolist()
                    ctf = CTF(kV=voltage, cs=cs, ac=0.07, defocus1=u, defocus2=v, astig_angle=angle, pixel_size=1.3,
                              phase_shift=np.deg2rad(phase))
                    answer["ctf"] = [[ctf.Evaluate(x * x + y * y, np.arctan2(y, x)) for x in np.fft.rfftfreq(64)]
                                     for y in np.fft.fftfreq(64)]
                    """,
                    folder, setting=np.array([voltage, cs, u, v, angle, phase], dtype=float),
                )  # fmt: skip
                rows.append({
                    "voltage_kV": voltage, "cs_mm": cs, "defocus_u_A": u, "defocus_v_A": v, "angle_degrees": angle,
                    "phase_shift_degrees": phase, "largest_difference": float(np.abs(mine - answer["ctf"]).max()),
                })  # fmt: skip
    return rows


def cryojax_table(folder: Path) -> dict[str, float]:
    """Compare noise-free images of one chain of apoferritin with cryojax's, without and with CTF."""
    from verglas.stages.simulation.poses import rotation_matrix
    from verglas.stages.simulation.projection import Projector
    from verglas.stages.simulation.scattering import coefficients

    others = ",".join(f"A-{i}" for i in range(2, 25))
    specimen = StackParameters(hydrogens="none", solvent_density=0.0, extra_b_factor_A2=40)
    atoms = read_atoms(specimen, Conformation(remove=f"/1/{others}"))
    atoms = atoms.moved(atoms.positions_A - atoms.positions_A.mean(axis=0))
    a = np.array([coefficients(str(e))[0] for e in atoms.elements]) * atoms.occupancy[:, None]
    b = np.array([coefficients(str(e))[1] for e in atoms.elements]) + atoms.b_A2[:, None]
    answer = ask_oracle(
        """
        import cryojax.simulator as cs
        from cryojax.ndimage import FourierGaussian
        config = cs.BasicImageConfig((128, 128), 1.0, 300.0)
        pose = cs.EulerAnglePose(3.0, -5.0, -37.0, -68.0, 25.0)
        ctf = cs.AstigmaticCTF(7750.0, 2500.0, 90.0 - 33.0, 2.1)
        transfer = cs.ContrastTransferTheory(ctf, FourierGaussian(amplitude=1.0, b_factor=50.0), 0.08, 20.0)
        volume = cs.GaussianMixtureVolume(positions, a, b / (8 * np.pi**2))
        project = cs.GaussianMixtureProjection(sampling_mode="point")
        answer["potential"] = cs.make_image_model(volume, config, pose, None, project).simulate()
        answer["image"] = cs.make_image_model(volume, config, pose, transfer, project).simulate()
        """,
        folder, positions=atoms.positions_A, a=a, b=b,
    )  # fmt: skip
    projector = Projector(atoms, 128, 1.0, solvent_density=0.0)
    rotation = rotation_matrix(37, 68, -25)
    optics = OpticsParameters(cs_mm=2.1, amplitude_contrast=0.08, envelope_b_A2=50)
    defocus = Defocus(9000, 6500, 33, 20)
    potential = scipy.fft.irfft2(projector.potential(rotation, (-5.0, 3.0)), (128, 128))
    spectrum = Microscope(optics, (128, 128)).contrast(projector, rotation, (-5.0, 3.0), defocus)
    return {
        "atoms": len(atoms),
        "correlation_of_potentials": correlation(potential, answer["potential"]),
        "volts_per_A": float((potential * answer["potential"]).sum() / (answer["potential"] ** 2).sum()),
        "correlation_of_images": correlation(scipy.fft.irfft2(spectrum, (128, 128)), answer["image"]),
    }


def spectrum_of(image: np.ndarray, pixel_size_A: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (frequency, radial power spectrum) relative to the level between 3.7 and 3.1 A."""
    n = 600
    window = np.hanning(n)[:, None] * np.hanning(n)[None, :]
    total = np.zeros((n, n // 2 + 1))
    for y in range(0, image.shape[0] - n + 1, 300):
        for x in range(0, image.shape[1] - n + 1, 300):
            tile = image[y : y + n, x : x + n]
            total += np.abs(scipy.fft.rfft2((tile - tile.mean()) * window)) ** 2
    k = np.hypot(scipy.fft.fftfreq(n, pixel_size_A)[:, None], scipy.fft.rfftfreq(n, pixel_size_A)[None, :])
    ring = np.rint(k * n * pixel_size_A).astype(int).ravel()
    mean = np.bincount(ring, total.ravel()) / np.bincount(ring)
    frequency = np.arange(n // 2) / (n * pixel_size_A)
    mean = mean[: n // 2]
    return frequency, mean / mean[(frequency > 0.27) & (frequency < 0.32)].mean()


def thon_visibility(frequency: np.ndarray, power: np.ndarray, low_A: float, high_A: float) -> float:
    """Return the relative standard deviation of the spectrum about its smooth trend between two resolutions."""
    trend = scipy.ndimage.gaussian_filter1d(np.log(power), 15)
    inside = (frequency > 1 / low_A) & (frequency < 1 / high_A)
    return float(np.std(np.log(power[inside]) - trend[inside]))


def real_defoci() -> dict[str, tuple[float, float]]:
    """Return CTFFIND's two defoci (A) of each real micrograph."""
    rows = [line.split("\t") for line in (REAL / "ctf_ctffind5.tsv").read_text().splitlines()[1:]]
    return {row[0]: (float(row[1]), float(row[2])) for row in rows}


def beside_real(folder: Path) -> dict[str, Any]:
    """Simulate what the real apoferritin micrographs show, with default settings, and compare spectra."""
    if not REAL.is_dir():
        return {"not reached": "the folder of real data is absent"}
    rows, drawn = [], {}
    for number, name in enumerate(MICROGRAPHS):
        real, _ = read_image(REAL / "micrographs" / f"{name}.bin_avg.png")
        u, v = real_defoci()[name.replace(".", "_")]
        parameters = MicrographParameters(
            width=1240, height=1200, pixel_size_A=1.5, cs_mm=0.001, frames=50, dose_per_frame_e_A2=2.0, particles=150,
            defocus_mean_A=(u + v) / 2, defocus_spread_A=0, astigmatism_A=2 * abs(u - v), drift_A=8.0,
            local_motion_A=2.0, minimum_distance=0.9, seed=100 + number,
        )  # fmt: skip
        result = simulate_micrographs(parameters, folder / name)
        simulated, _ = read_image(result.images[0])
        frequency, own = spectrum_of(np.asarray(simulated, float), 1.5)
        _, theirs = spectrum_of(np.asarray(real, float), 1.5)
        drawn[name] = (frequency, theirs, own, np.asarray(real, float), np.asarray(simulated, float))
        bands = {}
        for low_A, high_A in BANDS_A:
            inside = (frequency > 1 / low_A) & (frequency < 1 / high_A)
            bands[f"{low_A:g}-{high_A:g} A"] = {
                "real": float(theirs[inside].mean()), "simulated": float(own[inside].mean()),
                "ratio": float(own[inside].mean() / theirs[inside].mean()),
            }  # fmt: skip
        rows.append({
            "micrograph": name, "defocus_A": (u + v) / 2, "power_relative_to_3.7-3.1_A": bands,
            "thon_visibility_15-8_A": {
                "real": thon_visibility(frequency, theirs, 15, 8), "simulated": thon_visibility(frequency, own, 15, 8),
            },
            "thon_visibility_8-5_A": {
                "real": thon_visibility(frequency, theirs, 8, 5), "simulated": thon_visibility(frequency, own, 8, 5),
            },
        })  # fmt: skip
    draw(drawn)
    return {
        "settings": "defaults, with the size, dose, pixel, Cs, defocus and number of particles of the real ones",
        "micrographs": rows,
    }


def draw(drawn: dict[str, tuple[np.ndarray, ...]]) -> None:
    """Write the pictures of the documentation."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    images = REPOSITORY / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, len(drawn), figsize=(13, 3.8), sharey=True)
    for axis, (name, (frequency, theirs, own, _, _)) in zip(axes, drawn.items(), strict=True):
        axis.semilogy(frequency[2:], theirs[2:], label="real", lw=1)
        axis.semilogy(frequency[2:], own[2:], label="simulated", lw=1)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("spatial frequency (1/A)")
    axes[0].set_ylabel("power / power at 3.4 A")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(images / "simulator_spectra.png", dpi=80)
    _, _, _, real, simulated = next(iter(drawn.values()))
    figure, pair = plt.subplots(1, 2, figsize=(9, 4.6))
    for axis, image, title in zip(pair, (real, simulated), ("real (EMPIAR-10146)", "simulated"), strict=True):
        binned = image[:1200, :1240].reshape(300, 4, 310, 4).mean(axis=(1, 3))
        axis.imshow((binned - binned.mean()) / binned.std(), cmap="gray", vmin=-3, vmax=3)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(images / "simulator_micrographs.png", dpi=70)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures: dict[str, Any] = {
            "relion_project": relion_table(folder),
            "cisTEM_ctf": cistem_ctf(folder),
            "cryojax": cryojax_table(folder),
            "beside_real_micrographs": beside_real(folder),
        }
    record("simulator", figures)


if __name__ == "__main__":
    main()
