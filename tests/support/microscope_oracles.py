"""What other programs say about rotations, symmetry and contrast transfer: asked alike by tests and by prove/."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np

from tests.support.oracles import ask_oracle, program

CISTEM_CTF = """
from pycistem.core import CTF
values, tilt_phases, thick, modulation, wavelengths = [], [], [], [], []
for s in settings:
    kv, cs, ac, u, v, angle, shift, tilt_x, tilt_y, thickness = [float(x) for x in s]
    ctf = CTF(kv, cs, ac, u, v, angle, 0.0, 0.5, -10.0, 1.0, shift, tilt_x * 1e-3, tilt_y * 1e-3, 0.0, 0.0)
    ctf.SetSampleThickness(thickness)
    wavelengths.append(ctf.GetWavelength())
    values.append([ctf.Evaluate(float(k * k), float(a)) for k, a in zip(frequencies, azimuths)])
    tilt_phases.append([
        ctf.PhaseShiftGivenBeamTiltAndShift(float(k * k), ctf.BeamTiltGivenAzimuth(float(a)), 0.0)
        for k, a in zip(frequencies, azimuths)
    ])
    thick.append([
        ctf.EvaluatePowerspectrumWithThickness(float(k * k), float(a)) for k, a in zip(frequencies, azimuths)
    ])
    modulation.append([ctf.IntegratedDefocusModulation(float(k * k)) for k in frequencies])
answer.update(values=np.array(values), tilt=np.array(tilt_phases), thick=np.array(thick),
              modulation=np.array(modulation), wavelengths=np.array(wavelengths))
"""

CRYOJAX_CTF = """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from cryojax.constants import wavelength_from_kilovolts
from cryojax.simulator import AstigmaticCTF
# Its azimuth is atan2(first, second): y goes first for angles from +x.
grid = jnp.asarray(np.stack([ky, kx], axis=-1))[None]
values = []
for kv, cs, ac, u, v, angle, shift, *_ in settings:
    ctf = AstigmaticCTF((u + v) / 2, u - v, angle, cs)
    values.append(np.asarray(ctf(grid, wavelength_from_kilovolts(kv), ac, np.rad2deg(shift)))[0])
answer["values"] = np.array(values)
answer["wavelengths"] = np.array([float(wavelength_from_kilovolts(s[0])) for s in settings])
"""

CISTEM_PROJECTIONS = """
from pycistem.core import AnglesAndShifts, Image
import mrcfile
size = len(volume)
with mrcfile.new("volume.mrc", overwrite=True) as file:
    file.set_data(volume)
image = Image()
image.QuickAndDirtyReadSlices("volume.mrc", 1, size)
image.ForwardFFT(True)
image.SwapRealSpaceQuadrants()
found = []
for phi, theta, psi in angles:
    pose = AnglesAndShifts()
    pose.Init(float(phi), float(theta), float(psi), 0.0, 0.0)
    view = Image()
    view.Allocate(size, size, 1, False, True)
    image.ExtractSlice(view, pose, 1.0, False)
    view.SwapRealSpaceQuadrants()
    view.BackwardFFT()
    found.append(np.array(view.real_values).reshape(-1, size)[:size].copy())
answer["projections"] = np.array(found)
"""

CISTEM_GRID = """
from pycistem.core import EulerSearch, ParameterMap
counts = []
for name, step in zip(names, steps):
    search, wanted = EulerSearch(), ParameterMap()
    wanted.SetAllTrue()
    search.InitGrid(str(name), float(step), 0.0, 0.0, 360.0, 5.0, 0.0, 0.0, wanted, 20)
    search.CalculateGridSearchPositions(False)
    counts.append(search.number_of_search_positions)
answer["counts"] = np.array(counts)
"""


def ctf_settings(count: int, seed: int = 1) -> np.ndarray:
    """Return random settings (kV, Cs, amplitude contrast, u, v, angle in degrees, phase, tilts in mrad, thickness)."""
    rng = np.random.Generator(np.random.Philox(seed))
    u = rng.uniform(2000.0, 40000.0, count)
    v = np.maximum(u - rng.uniform(0.0, 3000.0, count), 500.0)
    columns = (
        rng.choice([80.0, 100.0, 120.0, 200.0, 300.0], count), rng.choice([0.01, 0.5, 1.4, 2.0, 2.7], count),
        rng.choice([0.0, 0.07, 0.1, 0.14, 0.3], count), u, v, rng.uniform(-90.0, 90.0, count),
        rng.choice([0.0, 0.4, 1.57, 2.5], count), rng.uniform(-2.0, 2.0, count), rng.uniform(-2.0, 2.0, count),
        rng.uniform(100.0, 2000.0, count),
    )  # fmt: skip
    return np.stack(columns, axis=-1)


def polar_points(count: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return random spatial frequencies (1/A, up to 0.4) and azimuths."""
    rng = np.random.Generator(np.random.Philox(seed))
    return rng.uniform(0.002, 0.4, count), rng.uniform(-np.pi, np.pi, count)


def blobs(size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return an asymmetric cluster of Gaussians: positions (x, y, z) from the origin, weights, sigma in pixels."""
    rng = np.random.Generator(np.random.Philox(3))
    return rng.uniform(-0.2 * size, 0.2 * size, (12, 3)), rng.uniform(0.3, 1.0, 12), 2.0


def blob_volume(size: int) -> np.ndarray:
    """Return the map of :func:`blobs`, ``[z, y, x]``."""
    positions, weights, sigma = blobs(size)
    axis = np.arange(size) - size // 2
    x, y, z = (np.exp(-((axis[None] - positions[:, i, None]) ** 2) / (2 * sigma**2)) for i in range(3))
    return np.einsum("n,nz,ny,nx->zyx", weights, z, y, x).astype(np.float32)


def blob_projections(size: int, matrices: np.ndarray) -> np.ndarray:
    """Return exact projections of :func:`blobs` at rotation matrices, ``[n, y, x]``."""
    positions, weights, sigma = blobs(size)
    axis = np.arange(size) - size // 2
    turned = np.einsum("nij,bj->nbi", matrices, positions)
    x, y = (np.exp(-((axis - turned[..., i, None]) ** 2) / (2 * sigma**2)) for i in range(2))
    return np.einsum("b,nby,nbx->nyx", weights, y, x)


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation coefficient of each pair of images."""
    a, b = (x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(axis=1, keepdims=True) for x in (first, second))
    return np.sum(a * b, axis=1) / np.sqrt(np.sum(a * a, axis=1) * np.sum(b * b, axis=1))


def random_angles_deg(count: int, seed: int = 4) -> np.ndarray:
    """Return random Euler angles (phi, theta, psi) in degrees, with the awkward ones first."""
    rng = np.random.Generator(np.random.Philox(seed))
    angles = np.stack([rng.uniform(-180, 360, count), rng.uniform(0, 180, count), rng.uniform(-180, 360, count)], -1)
    awkward = np.array([[0, 0, 0], [30, 0, 0], [0, 0, 30], [40, 0, -65], [20, 180, 70], [90, 90, 90], [0, 45, 0]])
    angles[: len(awkward)] = awkward[:count]
    return angles


def cistem_ctf(settings: np.ndarray, frequencies: np.ndarray, azimuths: np.ndarray, folder: Path) -> dict:
    """Return cisTEM's transfer functions, tilt phases, thickness models and wavelengths."""
    return ask_oracle(CISTEM_CTF, folder, settings=settings, frequencies=frequencies, azimuths=azimuths)


def cryojax_ctf(settings: np.ndarray, kx: np.ndarray, ky: np.ndarray, folder: Path) -> dict:
    """Return cryojax's transfer functions and wavelengths."""
    return ask_oracle(CRYOJAX_CTF, folder, settings=settings, kx=kx, ky=ky)


def cistem_projections(volume: np.ndarray, angles_deg: np.ndarray, folder: Path) -> np.ndarray:
    """Return cisTEM's projections of a map."""
    return ask_oracle(CISTEM_PROJECTIONS, folder, volume=volume, angles=angles_deg)["projections"]


def cistem_grid_counts(names: list[str], steps: list[float], folder: Path) -> np.ndarray:
    """Return how many views cisTEM's search visits."""
    return ask_oracle(CISTEM_GRID, folder, names=np.array(names), steps=np.array(steps))["counts"]


def relion_projections(
    volume: np.ndarray,
    angles_deg: np.ndarray,
    folder: Path,
    *,
    origins_A: np.ndarray | None = None,
    ctf: np.ndarray | None = None,
    beam_tilt_mrad: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Return relion_project's projections of a map with voxels of 1 A, as it writes them.

    ``origins_A`` are RELION's origins (n, 2); ``ctf`` (n, 3) has defocus u, v in A and the angle in degrees and makes
    it apply the transfer function of 300 kV, Cs 2.7 mm, amplitude contrast 0.1 and the beam tilt.
    """
    import mrcfile

    with mrcfile.new(folder / "map.mrc", overwrite=True) as file:
        file.set_data(volume)
        file.voxel_size = 1.0
    count = len(angles_deg)
    origins = np.zeros((count, 2)) if origins_A is None else origins_A
    defocus = np.zeros((count, 3)) if ctf is None else ctf
    optics = ("OpticsGroup", "Voltage", "SphericalAberration", "AmplitudeContrast", "ImagePixelSize", "ImageSize",
              "ImageDimensionality", "BeamTiltX", "BeamTiltY")  # fmt: skip
    labels = ("ImageName", "OpticsGroup", "AngleRot", "AngleTilt", "AnglePsi", "OriginXAngst", "OriginYAngst",
              "DefocusU", "DefocusV", "DefocusAngle")  # fmt: skip
    numbers = np.concatenate([angles_deg, origins, defocus], axis=1)
    views = [f"{i + 1:06d}@none.mrcs 1 " + " ".join(f"{x:.6f}" for x in row) for i, row in enumerate(numbers)]
    tilt = f"{beam_tilt_mrad[0]:.6f} {beam_tilt_mrad[1]:.6f}"
    text = _star_table("optics", optics, [f"1 300 2.7 0.1 1 {len(volume)} 2 {tilt}"])
    (folder / "angles.star").write_text(text + _star_table("particles", labels, views))
    command = [program("relion_project", "relion"), "--i", "map.mrc", "--o", "views", "--ang", "angles.star"]
    command += ["--angpix", "1"] + (["--ctf"] if ctf is not None else [])
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=100)
    return np.array(mrcfile.read(folder / "views.mrcs"), dtype=np.float64)


def _star_table(name: str, labels: tuple[str, ...], rows: list[str]) -> str:
    """Return one table of a star file."""
    head = "".join(f"_rln{label} #{i + 1}\n" for i, label in enumerate(labels))
    return f"data_{name}\n\nloop_\n{head}" + "\n".join(rows) + "\n\n"


def relion_operators(name: str) -> np.ndarray:
    """Return the symmetry operators that RELION prints."""
    command = [program("relion_refine", "relion"), "--sym", name, "--print_symmetry_ops"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    matrices = []
    for block in text.split("R(")[1:]:
        numbers = re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", block.split("=", 1)[1].split("Euler")[0])[:9]
        matrices.append(np.array(numbers, dtype=np.float64).reshape(3, 3))
    return np.array(matrices)
