"""Reconstruction against known truth, RELION, a slow twin and itself in other tilings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from tests.support.relion import relion_reconstruct
from verglas.engine.fourier_sums import FourierSums, Slices, Sphere, split_symmetry
from verglas.engine.reconstruct_particles import best_scores, half_sets, particle_weights, reconstruct_particles
from verglas.engine.reconstruction import Reconstruction, memory_needed
from verglas.errors import FormatError, InputError
from verglas.formats import OpticsGroup, ParticleTable
from verglas.geometry import point_group, random_rotations
from verglas.microscopy import Optics
from verglas.signal import fourier_shell_correlation, sphere_mask

BOX, PIXEL_A = 40, 3.0
TO_90 = slice(1, int(0.9 * BOX / 2) + 1)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ParticleTable, np.ndarray]:
    folder = tmp_path_factory.mktemp("clean")
    return folder, *make_particles(folder, 400, BOX, PIXEL_A)


def full_twin(values: np.ndarray, rotations: np.ndarray, slices: Slices) -> np.ndarray:
    """Insert both mates of every point into a whole cube, one voxel at a time."""
    centre = slices.radius + 2
    cube = np.zeros((2 * centre + 1,) * 3 + (3,))
    ky = slices.rows - slices.box * (slices.rows > slices.box // 2)
    for points, copies in zip(values, rotations):
        for rotation in copies:
            for kx, y, (real, imaginary, weight) in zip(slices.columns, ky, points):
                for sign in (1, -1):
                    at = sign * slices.scale * (rotation.T @ [kx, y, 0.0]) + centre
                    low = np.floor(at).astype(int)
                    for corner in np.ndindex(2, 2, 2):
                        share = np.prod(np.where(corner, at - low, 1 - (at - low)))
                        x, row, z = low + corner
                        cube[z, row, x] += share * np.array([real, sign * imaginary, weight])
    return cube


def unpacked(volume: np.ndarray, layout: Sphere) -> np.ndarray:
    """Return sums as an array (z, y, x >= 0, 3)."""
    side = 2 * layout.centre + 1
    cube = np.zeros((side, side, layout.centre + 1, 3))
    for row, (start, stop) in enumerate(zip(layout.starts[:-1].astype(int), layout.starts[1:].astype(int))):
        cube[row // side, row % side, : stop - start] = volume[3 * start : 3 * stop].reshape(-1, 3)
    return cube


@pytest.mark.parametrize(("box", "oversampling", "threads"), [(16, 1, 1), (17, 2, 2)])
def test_sums_are_those_of_the_slow_twin(box: int, oversampling: int, threads: int, rng: np.random.Generator) -> None:
    slices = Slices(box, 1.0, oversampling)
    values = rng.standard_normal((2, slices.rows.size, 3)).astype(np.float32)
    # The second looks along an axis, so that points lie on x = 0 and on voxels exactly.
    rotations = np.stack([random_rotations(2, 3), np.array([np.eye(3), [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]])])
    sums = FourierSums(slices)
    sums.insert(values, rotations.astype(np.float32), threads)
    found = unpacked(sums.volume, sums.sphere)
    inner, shift = unpacked(sums.core, sums.core_sphere), sums.sphere.centre - sums.core_sphere.centre
    found[shift : shift + len(inner), shift : shift + len(inner), : inner.shape[2]] += inner
    # The plane x = 0 is completed with its mates.
    found[:, :, 0] += found[::-1, ::-1, 0] * [1, -1, 1]
    wanted = full_twin(values, rotations, slices)[:, :, sums.sphere.centre :]
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_truth_without_and_with_symmetry(clean: tuple[Path, ParticleTable, np.ndarray], tmp_path: Path) -> None:
    folder, table, truth = clean
    result = reconstruct_particles(table, folder, threads=2).finish()
    curve = fourier_shell_correlation(result.map, truth, PIXEL_A).fsc
    assert curve[TO_90].min() > 0.98
    assert curve[1:12].min() > 0.99
    # Grey values, not only their pattern: the density comes out on its own scale.
    assert np.vdot(result.map, truth) / np.vdot(truth, truth) == pytest.approx(1.0, abs=0.02)
    assert result.images == (200, 200)
    assert result.corrected is not None and result.corrected[1:12].min() > 0.98
    for name, count in (("C3", 150), ("D2", 120), ("O", 30)):
        path = tmp_path / name
        path.mkdir()
        few, truth = make_particles(path, count, BOX, PIXEL_A, symmetry=name)
        result = reconstruct_particles(few, path, name, threads=2).finish()
        curve = fourier_shell_correlation(result.map, truth, PIXEL_A).fsc
        assert curve[TO_90].min() > 0.98, name
        assert curve[1:12].min() > 0.99, name


@pytest.mark.parametrize(
    ("symmetry", "count", "noise"), [("C1", 400, 1.0), ("C3", 200, 0.0), ("D7", 60, 1.0), ("I", 30, 1.0)]
)
def test_map_is_that_of_relion(symmetry: str, count: int, noise: float, tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, count, BOX, PIXEL_A, symmetry=symmetry, noise=noise)
    # One map of all, as RELION makes it: not filtered by the FSC.
    table["half_set"] = 1
    ours = reconstruct_particles(table, tmp_path, symmetry, threads=2).finish().map
    theirs = relion_reconstruct(table, tmp_path, symmetry)
    assert theirs.pixel_size_A == pytest.approx(PIXEL_A)
    # Within the particle: the two programs cut off the noise around it at different radii.
    mask = sphere_mask(truth.shape, 0.3 * BOX, 1.0, edge_A=4.0)
    curve = fourier_shell_correlation(ours, theirs.map, PIXEL_A, mask=mask).fsc
    assert curve[TO_90].min() > 0.99
    to_truth = [fourier_shell_correlation(one, truth, PIXEL_A).fsc[TO_90].mean() for one in (ours, theirs.map)]
    assert to_truth[0] > to_truth[1] - 0.002


def test_uneven_magnification_and_all_aberrations_are_undone(tmp_path: Path) -> None:
    box, pixel_A = 48, 1.5
    optics = Optics(
        300.0, 2.7, 0.07, pixel_A, beam_tilt_x_mrad=3.0, beam_tilt_y_mrad=-2.0,
        magnification=((1.06, 0.03), (0.02, 0.94)), odd_zernike=(0.3, -0.2, 50.0, 0.0, 0.0, 40.0),
        even_zernike=(0.1, 9.0, -1.0, 7.0, 60.0, -7.0, 5.0, 8.0, -60.0),
    )  # fmt: skip
    # RELION keeps the two polynomials of coma in the beam tilt, and 0 in their place.
    table, truth = make_particles(tmp_path, 250, box, pixel_A, optics=optics)
    table["half_set"] = 1
    ours = reconstruct_particles(table, tmp_path, threads=2).finish().map
    theirs = relion_reconstruct(table, tmp_path)
    to_90, mask = slice(1, int(0.9 * box / 2) + 1), sphere_mask(truth.shape, 0.3 * box, 1.0, edge_A=4.0)

    def lowest(one: np.ndarray, other: np.ndarray) -> float:
        return float(fourier_shell_correlation(one, other, pixel_A, mask=mask).fsc[to_90].min())

    assert lowest(ours, truth) > 0.99
    assert lowest(ours, theirs.map) > 0.99
    # Each of them matters.
    for left_out in (
        ("rlnMagMat00", "rlnMagMat11", "rlnMagMat01", "rlnMagMat10"),
        ("rlnOddZernike",),
        ("rlnEvenZernike",),
    ):
        group = OpticsGroup(image_size_px=box, contrast_inverted=False, extra=dict(table.optics[0].extra))
        for label in left_out:
            del group.extra[label]
        without = table.select(np.arange(len(table)))
        without.optics = [group]
        poor = lowest(reconstruct_particles(without, tmp_path, threads=2).finish().map, truth)
        assert poor < 0.95, (left_out, poor)


def test_bent_slices_give_the_truth_where_flat_ones_and_the_other_hand_do_not(tmp_path: Path) -> None:
    box, pixel_A = 48, 1.0
    # Slow electrons, so that a small molecule is as deep for them as a virus is for fast ones.
    table, truth = make_particles(
        tmp_path, 300, box, pixel_A, optics=Optics(1.0, 0.0, 0.07, 1.0), defocus_A=(500.0, 2500.0), bent=True
    )
    table["half_set"] = 1
    curves = {}
    for side in (0, 1, -1):
        found = reconstruct_particles(table, tmp_path, ewald_sphere=side, threads=2).finish()
        curves[side] = fourier_shell_correlation(found.map, truth, pixel_A).fsc
    mean = {side: float(curve[14:22].mean()) for side, curve in curves.items()}
    assert mean[1] > 0.97
    assert mean[0] < 0.9
    assert mean[-1] < 0.3
    assert min(curve[1:6].min() for curve in curves.values()) > 0.98  # where the sphere is flat
    with pytest.raises(InputError, match="needs the CTF"):
        reconstruct_particles(table, tmp_path, use_ctf=False, ewald_sphere=1)


def test_threads_and_order_change_nothing(clean: tuple[Path, ParticleTable, np.ndarray]) -> None:
    folder, table, _ = clean
    one, two = (reconstruct_particles(table.select(slice(0, 40)), folder, "C2", threads=n) for n in (1, 2))
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, two.arrays()[name])


def test_sums_add_up_and_survive_a_file(clean: tuple[Path, ParticleTable, np.ndarray], tmp_path: Path) -> None:
    folder, table, _ = clean
    parts = [reconstruct_particles(table.select(rows), folder) for rows in (slice(0, 20), slice(20, 40))]
    parts[1].save(tmp_path / "sums.npz")
    parts[0].add(Reconstruction.load(tmp_path / "sums.npz").arrays())
    whole = reconstruct_particles(table.select(slice(0, 40)), folder)
    first, second = parts[0].finish().map, whole.finish().map
    assert fourier_shell_correlation(first, second, PIXEL_A).fsc[1:-1].min() > 0.9999
    with pytest.raises(InputError, match="another box"):
        parts[0].add(Reconstruction(BOX + 2, PIXEL_A).arrays())
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(FormatError, match="no sums"):
        Reconstruction.load(tmp_path / "bad.npz")


def test_parts_of_a_table_have_the_whole_tables_weights(clean: tuple[Path, ParticleTable, np.ndarray]) -> None:
    folder, table, _ = clean
    some = table.select(slice(0, 30))
    some["score"], some["occupancy"], some["half_set"] = np.arange(30), 50.0 + np.arange(30), 0
    some["active"][20:] = 0
    options = {"score_b_factor_A2": 5.0}
    whole = reconstruct_particles(some, folder, **options)
    parts = [reconstruct_particles(some, folder, rows=np.arange(n, n + 10), **options) for n in (0, 10, 20)]
    assert not parts[2].images.any()
    for part in parts[1:]:
        parts[0].add(part.arrays())
    assert parts[0].images.tolist() == whole.images.tolist() == [10, 10]
    for name, array in whole.arrays().items():
        np.testing.assert_allclose(parts[0].arrays()[name], array, atol=1e-5 * np.abs(array).max())
    assert best_scores(some, 0.0).all()
    assert best_scores(some, 0.25).tolist() == (np.arange(30) >= 15).tolist()
    assert best_scores(some, 12.0).sum() == 18
    with pytest.raises(InputError, match="lower the score"):
        best_scores(some, 25.0)


def test_core_keeps_what_single_precision_loses() -> None:
    slices = Slices(16, 1.0, 1)
    sums = FourierSums(slices)
    values = np.zeros((1, slices.rows.size, 3), np.float32)
    origin = int(np.flatnonzero(slices.radius_pixels == 0)[0])
    rotation = np.eye(3, dtype=np.float32)[None, None]
    for weight in (2.0**24, 1.0, 1.0, 1.0):
        values[0, origin, 2] = weight
        sums.insert(values, rotation, 1)
    assert sums.core[2::3].sum() == 2.0**24 + 3.0


def test_whole_groups_come_from_permutations_and_representatives() -> None:
    for name, permutations in (("C1", 1), ("C3", 1), ("C4", 4), ("D2", 4), ("D7", 2), ("O", 24), ("I", 12)):
        group = point_group(name)
        exact, others = split_symmetry(name)
        assert len(exact) == permutations
        products = np.einsum("aij,bjk->abik", others, exact).reshape(-1, 3, 3)
        distances = np.abs(products[:, None] - group.operators).max(axis=(2, 3))
        assert (np.sort(distances.argmin(axis=1)) == np.arange(group.order)).all()
        assert distances.min(axis=1).max() < 1e-9


def test_weights_noise_and_b_factors(clean: tuple[Path, ParticleTable, np.ndarray]) -> None:
    folder, table, _ = clean
    some = table.select(slice(0, 60))
    bad = some.copy()
    bad["rot_deg"][::3] += 90.0
    bad["occupancy"][::3] = 0.0
    good = reconstruct_particles(some.select(np.arange(60) % 3 > 0), folder).finish()
    weighted = reconstruct_particles(bad, folder).finish()
    assert weighted.images != good.images or np.allclose(weighted.map, good.map, atol=1e-4 * np.abs(good.map).max())
    sums = {}
    for name, options in {
        "plain": {}, "noise": {"noise_power": np.full(BOX // 2 + 1, 4.0)}, "score": {"score_b_factor_A2": 100.0},
    }.items():  # fmt: skip
        some["score"] = np.where(np.arange(60) < 30, 10.0, 20.0)
        work = reconstruct_particles(some, folder, **options)
        sums[name] = work.finish().mean_weight
    np.testing.assert_allclose(sums["noise"], sums["plain"] / 4.0, rtol=1e-5)
    # Mean of exp(+a) and exp(-a) of the two groups: above 1, more so at high resolution.
    ratio = sums["score"] / sums["plain"]
    k = np.arange(BOX // 2 + 1) / (BOX * PIXEL_A)
    assert ratio[3] < ratio[10] < ratio[18]
    np.testing.assert_allclose(ratio[4:18], np.cosh(5.0 * 100.0 / 4.0 * k[4:18] ** 2), rtol=0.15)


def test_tables_that_cannot_be_right_are_refused(clean: tuple[Path, ParticleTable, np.ndarray]) -> None:
    folder, table, _ = clean
    few = table.select(slice(0, 4))
    for change, words in (
        (("pixel_size_A", 0.0), "pixel size"), (("occupancy", 0.0), "nothing to reconstruct"),
        (("image_section", 0), "no section"), (("half_set", 5), "half set"), (("optics_group", 7), "optics group"),
    ):  # fmt: skip
        wrong = few.copy()
        wrong[change[0]] = change[1]
        with pytest.raises(InputError, match=words):
            reconstruct_particles(wrong, folder)
    unknown = few.copy()
    unknown.optics[0].contrast_inverted = None
    with pytest.raises(InputError, match="contrast_inverted"):
        reconstruct_particles(unknown, folder)
    few["half_set"], few["active"] = 0, [1, 1, 0, 1]
    assert half_sets(few).tolist() == [0, 1, 0, 1]
    assert particle_weights(few).tolist() == [1.0, 1.0, 0.0, 1.0]
    with pytest.raises(InputError, match="GB"):
        Reconstruction(512, 1.0, memory_bytes=10**9)
    with pytest.raises(InputError, match="nothing to reconstruct"):
        Reconstruction(16, 1.0).finish()


def test_memory_is_stated() -> None:
    work = Reconstruction(64, 1.0)
    held = sum(array.nbytes for array in work.arrays().values())
    assert held < memory_needed(64) < 3 * held
    assert 8e9 < memory_needed(512) < 13e9
    assert memory_needed(512, 1) < 6e9  # of it 4.3e9 are maps and their comparison


def test_copies_of_an_image_take_turns_together_where_no_half_sets_are_assigned() -> None:
    table = ParticleTable.empty(12, {"image_section": [3, 3, 3, 1, 1, 1, 7, 7, 7, 9, 9, 9]})
    table.set_names("image_name", ["a.mrcs"] * 12)
    assert table.image_numbers().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert half_sets(table).tolist() == [0, 0, 0, 1, 1, 1] * 2
    table["half_set"] = 2
    assert half_sets(table).tolist() == [1] * 12
