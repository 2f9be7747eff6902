"""Stacks: signal-to-noise ratio, conformations, orientations and truth tables."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from click.testing import CliRunner

from verglas.cli.simulate import simulate
from verglas.errors import FormatError, InputError
from verglas.formats import read_particles, read_stack
from verglas.geometry.rotations import euler_to_matrix
from verglas.stages.simulation import Conformation, StackParameters, read_atoms, simulate_stack
from verglas.stages.simulation.atoms import DATA, rotation_about
from verglas.stages.simulation.poses import Orientations, euler_angles, rotation_matrix
from verglas.stages.simulation.stack import StackImages, draw_truth


def test_signal_to_noise_is_what_was_asked_for(tmp_path):
    asked = StackParameters(particles=40, box=64, pixel_size_A=3.5, snr=0.2, seed=2)
    result = simulate_stack(asked, tmp_path / "noisy", threads=2)
    noisy, pixel_size_A = read_stack(result.stack)
    assert pixel_size_A == pytest.approx(3.5)
    images = StackImages(asked, result.truth)
    clean = np.array([images.signal(i) for i in range(40)]) * result.signal_scale
    noise = noisy - clean
    y, x = np.mgrid[-32:32, -32:32]
    disc = np.hypot(y, x) * 3.5 <= result.radius_A
    assert np.mean([image[disc].var() for image in clean]) / noise.var() == pytest.approx(0.2, rel=0.05)
    assert noise.var() == pytest.approx(1, rel=0.02)
    power = np.mean(np.abs(np.fft.rfft2(noise)) ** 2, axis=0)
    assert power[2, 2] > 1.5 * power[30, 30]  # coloured
    assert images.signal(0)[28:36, 28:36].mean() < 0  # dark protein


def test_truth_table_survives_its_file(tmp_path):
    result = simulate_stack(StackParameters(particles=5, box=48, pixel_size_A=4.0), tmp_path)
    table = read_particles(result.star)
    for column in ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A", "defocus_u_A", "defocus_v_A"):
        assert np.allclose(table[column], result.truth[column], atol=1e-5)
    assert table.names_of("image_name") == ["particles.mrcs"] * 5
    assert (table["defocus_u_A"] >= table["defocus_v_A"]).all()


def test_threads_do_not_matter(tmp_path):
    asked = StackParameters(particles=6, box=48, pixel_size_A=4.0)
    one = simulate_stack(asked, tmp_path / "one", threads=1)
    two = simulate_stack(asked, tmp_path / "two", threads=3)
    assert one.stack.read_bytes() == two.stack.read_bytes()


def test_rotations_equal_those_of_geometry(rng):
    for angles in rng.uniform(-180, 180, (20, 3)):
        matrix = rotation_matrix(*angles)
        assert np.allclose(matrix, euler_to_matrix(*np.deg2rad(angles)), atol=1e-12)
        assert np.allclose(rotation_matrix(*euler_angles(matrix)), matrix, atol=1e-9)
    for tilt in (0.0, 180.0):
        matrix = rotation_matrix(25, tilt, 40)
        assert np.allclose(rotation_matrix(*euler_angles(matrix)), matrix, atol=1e-9)


def test_uniform_orientations_cover_the_sphere():
    draw = Orientations(StackParameters(), 1)
    z = np.cos(np.deg2rad([draw.draw(i)[1] for i in range(2000)]))
    counts, _ = np.histogram(z, bins=10, range=(-1, 1))
    assert np.abs(counts - 200).max() < 60


def test_preferred_views_are_preferred():
    asked = StackParameters(orientations="preferred", preferred_views=[(40, 60)], preferred_fraction=0.8)
    draw = Orientations(asked, 1)
    axis = rotation_matrix(40, 60, 0)[2]
    angles = [np.rad2deg(np.arccos(np.clip(rotation_matrix(*draw.draw(i))[2] @ axis, -1, 1))) for i in range(500)]
    assert 0.65 < np.mean(np.array(angles) < 45) < 0.9


def test_orientations_of_a_real_table(real_data):
    path = str(real_data / "poses" / "empiar10076_subset.npz")
    draw = Orientations(StackParameters(orientations="table", orientation_table=path), 1)
    with np.load(path) as table:
        known = table["rot"].astype(float)
    matrix = rotation_matrix(*draw.draw(0))
    assert np.abs(known - matrix).max(axis=(1, 2)).min() < 1e-5


def test_a_table_without_rotations_is_refused(tmp_path):
    path = tmp_path / "table.npz"
    np.savez(path, other=np.zeros(3))
    with pytest.raises(FormatError, match="no array"):
        Orientations(StackParameters(orientations="table", orientation_table=str(path)), 1)


def test_conformations_are_mixed_as_weighted():
    asked = StackParameters(
        particles=1000,
        conformations=[Conformation(weight=3), Conformation(weight=1, selection="/1/A", angle_degrees=20)],
    )
    counts = np.bincount(draw_truth(asked)["class_number"])
    assert counts[0] == 0
    assert counts[1] == pytest.approx(750, abs=60)


def test_a_domain_turns_and_the_rest_stays():
    asked = StackParameters()
    still = read_atoms(asked)
    bent = read_atoms(asked, Conformation(selection="/1/A-2/20-60", axis=(0, 0, 1), angle_degrees=30))
    moved = np.linalg.norm(bent.positions_A - still.positions_A, axis=1) > 1e-6
    assert 200 < moved.sum() < 500
    inside = still.positions_A[moved]
    centred = inside - inside.mean(axis=0)
    assert np.allclose(
        bent.positions_A[moved] - inside.mean(axis=0), centred @ rotation_about((0, 0, 1), 30).T, atol=1e-6
    )
    fewer = read_atoms(asked, Conformation(remove="/1/A"))
    assert len(fewer) == len(still) * 23 // 24


@pytest.mark.parametrize("selection", ["/1/Z", "not a selection("])
def test_a_selection_of_nothing_is_refused(selection):
    with pytest.raises(InputError, match="selection"):
        read_atoms(StackParameters(), Conformation(remove=selection))


def test_shipped_models_fit_the_whole_complexes(real_data):
    import gemmi

    for name, entry, centre in (
        ("apoferritin", "6z6u", (100.163, 99.993, 99.488)),
        ("beta-galactosidase", "5a1a", (93.002, 93.002, 93.002)),
    ):
        mine = read_atoms(StackParameters(model=name)).positions_A
        structure = gemmi.read_structure(str(real_data / "models" / f"{entry}.pdb.gz"))
        theirs = np.array([a.pos.tolist() for c in structure[0] for r in c for a in r if a.name == "CA"]) - centre
        from scipy.spatial import cKDTree

        distance, _ = cKDTree(mine).query(theirs)
        assert np.median(distance) < 0.1
        assert np.mean(distance < 0.5) > 0.98


def test_any_pdb_file_is_centred(tmp_path):
    path = tmp_path / "own.pdb"
    path.write_bytes(gzip.decompress((DATA / "apoferritin.pdb.gz").read_bytes()))
    atoms = read_atoms(StackParameters(model=str(path)))
    assert np.abs(atoms.positions_A.mean(axis=0)).max() < 1
    assert atoms.hydrogens.sum() / len(atoms) == pytest.approx(1.0, abs=0.1)
    assert read_atoms(StackParameters(model=str(path), hydrogens="none")).hydrogens.sum() == 0


def test_command_line_makes_a_stack(tmp_path):
    arguments = ["stack", str(tmp_path), "--particles", "3", "--box", "32", "--pixel-size", "6", "--json"]
    shapes = '[{"name": "all"}, {"name": "less", "remove": "/1/A"}]'
    done = CliRunner().invoke(simulate, [*arguments, "--snr", "0", "--conformations", shapes])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["particles"] == 3
    assert len(report["particles_per_class"]) == 2
    assert report["parameters"]["snr"] is None
    images, _ = read_stack(tmp_path / "particles.mrcs")
    assert images.shape == (3, 32, 32)
    assert "data:image/png" in (tmp_path / "report.html").read_text()


def test_command_line_says_what_is_wrong(tmp_path):
    done = CliRunner().invoke(simulate, ["stack", str(tmp_path), "--box", "4"])
    assert isinstance(done.exception, InputError)
    assert "--box" in str(done.exception)
    done = CliRunner().invoke(simulate, ["stack", str(tmp_path), "--conformations", "{"])
    assert isinstance(done.exception, InputError)
