"""Views by a table, noise by counted electrons, and the map that a stack's images are projections of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.errors import FormatError, InputError
from verglas.formats import read_stack
from verglas.geometry import euler_to_matrix, random_rotations
from verglas.signal import fourier_shell_correlation, sphere_mask
from verglas.stages.simulation import MovieParameters, StackParameters, projected_map, simulate_stack
from verglas.stages.simulation.ice import ice_contrast_density, water_memory
from verglas.stages.simulation.models import DOMAIN, MASS_KDA, write_asymmetric_model
from verglas.stages.simulation.optics import Defocus
from verglas.stages.simulation.poses import Orientations, rotation_matrix
from verglas.stages.simulation.stack import StackImages, draw_truth
from verglas.stages.simulation.stack_noise import CountingNoise
from verglas.stages.simulation.truth import fading
from verglas.stages.simulation.views import count_views, even_views, read_views


def test_views_are_drawn_as_often_as_the_table_says(tmp_path: Path) -> None:
    path = tmp_path / "views.txt"
    path.write_text("# rot tilt weight\n0 0 1\n90 90 3\n" + "".join(f"{rot} 120 0\n" for rot in range(198)))
    draw = Orientations(StackParameters(orientations="views", view_table=str(path)), 1)
    seen = np.array([rotation_matrix(*draw.draw(i))[2] for i in range(400)])
    along_z, along_y = (np.degrees(np.arccos(seen @ axis)) < 25.0 for axis in (np.eye(3)[2], np.eye(3)[1]))
    assert along_y.mean() == pytest.approx(0.75, abs=0.07)
    assert np.all(along_z | along_y)


def test_the_shipped_views_are_those_of_the_real_particles(real_data: Path) -> None:
    known = np.load(real_data / "poses" / "empiar10076_subset.npz")["rot"]
    counted, shipped = count_views(known), read_views("empiar-10076")
    np.testing.assert_allclose(shipped, counted, atol=0.006)
    assert shipped[:, 2].max() > 4.0 * shipped[:, 2].mean()


def test_counted_views_are_where_orientations_look() -> None:
    table = count_views(random_rotations(4000, 3), 100)
    assert table[:, 2].sum() == 4000 and table[:, 2].std() < 12.0
    np.testing.assert_allclose(even_views(100).mean(axis=0), 0.0, atol=1e-2)
    again = euler_to_matrix(np.deg2rad(table[:, 0]), np.deg2rad(table[:, 1]), np.zeros(100))[:, 2]
    np.testing.assert_allclose(again, even_views(100), atol=1e-12)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "views.txt"
    path.write_text("1 2\n")
    with pytest.raises(FormatError, match="table of views"):
        read_views(str(path))
    with pytest.raises(InputError, match="empiar-10076"):
        read_views("elsewhere.txt")


def test_noise_is_that_of_counted_electrons() -> None:
    """Four times the electrons halve the noise relative to the signal, but for what damage takes."""
    of = {"box": 32, "pixel_size_A": 7.0, "particles": 4, "ice_strength": 0.0}
    images = {}
    for dose in (1.0, 4.0):
        parameters = StackParameters(**of, dose_e_A2=dose)
        images[dose] = StackImages(parameters, draw_truth(parameters))
        assert images[dose].scale == pytest.approx(np.sqrt(dose * 49.0))
    one, four = images[1.0].snr, images[4.0].snr
    assert one is not None and four is not None and 3.0 < four / one < 4.0
    with pytest.raises(InputError, match="apply_ctf must be true"):
        simulate_stack(StackParameters(**of, dose_e_A2=1.0, apply_ctf=False), "nowhere")


def test_ice_of_a_stack_is_that_of_movies_whatever_the_pixels() -> None:
    """Noise per area at a frequency is the same in pixels of any size, and the ratio is that of movies' ice."""
    defocus, ratios = Defocus(15000.0, 15000.0, 0.0, 0.0), {}
    for pixel_A, box in ((1.25, 128), (2.5, 64)):
        parameters = StackParameters(box=box, pixel_size_A=pixel_A, dose_e_A2=50.0)
        ratios[pixel_A] = CountingNoise(parameters).filter(defocus)[0, 1:32].astype(float) ** 2 - 1.0
    np.testing.assert_allclose(ratios[1.25][:31], ratios[2.5], rtol=1e-4)
    movie = MovieParameters(pixel_size_A=2.5, dose_per_frame_e_A2=50.0, frames=1)
    k = np.arange(1, 32) / 160.0
    ice = (
        ice_contrast_density(k, movie) * water_memory(k, movie, 50.0)[1] ** 2 * np.exp(-movie.envelope_b_A2 * k**2 / 2)
    )
    assert ratios[2.5].min() > 0.0 and ratios[2.5].max() < 50.0 * ice.max()
    np.testing.assert_array_less(ratios[2.5], 50.0 * ice)


def test_variance_of_counting_noise_is_that_of_images() -> None:
    parameters = StackParameters(box=64, pixel_size_A=3.0, particles=20, dose_e_A2=5.0)
    images = StackImages(parameters, draw_truth(parameters))
    noise = np.array([images.image(i) - images.signal(i) * images.scale for i in range(20)])
    assert noise.var() == pytest.approx(images.noise_variance, rel=0.05)


def test_damage_is_the_best_that_weighted_frames_can_keep() -> None:
    """Frames weighted by their own amplitude, summed one by one."""
    k, dose = np.array([0.02, 0.1, 0.3]), 50.0
    critical = 0.24499 * k**-1.6649 + 2.8141
    frames = np.exp(-0.5 * (np.arange(1000)[:, None] + 0.5) * dose / 1000 / critical)
    kept = (frames * frames).sum(axis=0) / np.sqrt((frames**2).sum(axis=0)) / np.sqrt(1000)
    np.testing.assert_allclose(fading(k, dose, 300.0), kept, rtol=1e-4)


def test_images_are_projections_of_the_projected_map(tmp_path: Path) -> None:
    parameters = StackParameters(
        model="beta-galactosidase", box=40, pixel_size_A=6.0, particles=200, snr=None, coloured_noise=0.0, padding=1.0,
        apply_ctf=False, shift_sigma_A=0.0,
    )  # fmt: skip
    made = simulate_stack(parameters, tmp_path)
    found = reconstruct_particles(made.truth, tmp_path, use_ctf=False).finish().map
    # Without a CTF images are projected potentials: no interaction with electrons, and no envelope.
    bare = parameters.model_copy(update={"envelope_b_A2": 0.0})
    truth = projected_map(bare, parameters.conformations[0], made.signal_scale)
    mask = sphere_mask(truth.shape, made.radius_A, 6.0, edge_A=12.0)
    assert fourier_shell_correlation(found, truth, 6.0, mask=mask).fsc[1:16].min() > 0.99


def test_true_map_has_the_scale_of_the_images(tmp_path: Path) -> None:
    parameters = StackParameters(
        model="beta-galactosidase", box=40, pixel_size_A=6.0, particles=300, dose_e_A2=1000.0, ice_strength=0.0,
        padding=1.0, shift_sigma_A=0.0,
    )  # fmt: skip
    made = simulate_stack(parameters, tmp_path)
    assert read_stack(made.stack)[0].std() > 1.0
    found = reconstruct_particles(made.truth, tmp_path).finish().map
    truth = projected_map(parameters, parameters.conformations[0], made.signal_scale)
    assert float((found * truth).sum() / (truth * truth).sum()) == pytest.approx(1.0, abs=0.1)


def test_the_asymmetric_model_and_its_domain(tmp_path: Path) -> None:
    from verglas.stages.simulation import Conformation, read_atoms

    parameters = StackParameters(model=str(write_asymmetric_model(tmp_path / "model.pdb")))
    whole, less = (read_atoms(parameters, Conformation(remove=part)) for part in ("", DOMAIN))
    # 14.0 Da a heavy atom with its hydrogens.
    assert 14e-3 * len(whole) == pytest.approx(MASS_KDA, rel=0.02)
    assert 14e-3 * (len(whole) - len(less)) == pytest.approx(25.0, rel=0.02)
