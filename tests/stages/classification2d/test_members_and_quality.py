"""Members lie on their class; junk classes score below good ones, and the reasons say why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.classification2d.shapes import BOX, OPTICS, PIXEL_A, RADIUS_A, density, make_shapes
from verglas.errors import InputError
from verglas.formats import MrcStackWriter, OpticsGroup, ParticleTable
from verglas.stages.classification2d import aligned_members, class_quality, write_members
from verglas.stages.classification2d.choosing import choose_particles, class_centres


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Shapes at their true poses, shape 0 being class 1, and the folder of their stack."""
    made, folder = make_shapes(120, snr=1.0), tmp_path_factory.mktemp("shapes")
    with MrcStackWriter(folder / "shapes.mrcs", BOX, BOX, PIXEL_A) as writer:
        for image in made.images:
            writer.append(image)
    table = ParticleTable.empty(120)
    table["defocus_u_A"], table["defocus_v_A"] = made.defocus[:, 0], made.defocus[:, 1]
    table["pixel_size_A"], table["voltage_kV"] = PIXEL_A, OPTICS.voltage_kV
    table["spherical_aberration_mm"], table["amplitude_contrast"] = 2.7, 0.07
    table["image_section"] = np.arange(1, 121)
    table.set_names("image_name", ["shapes.mrcs"] * 120)
    table.optics = [OpticsGroup(image_size_px=BOX, contrast_inverted=False)]
    table["class_number"], table["psi_deg"] = made.shape + 1, np.rad2deg(made.psi)
    table["origin_x_A"], table["origin_y_A"] = -made.displacements_A.T
    table["log_likelihood"] = np.arange(120.0)
    return made, table, folder


def truth(number: int) -> np.ndarray:
    place = (np.arange(BOX) - BOX // 2) * PIXEL_A
    return density(number, *np.meshgrid(place, place))


def test_members_are_turned_and_moved_onto_their_class(shapes, tmp_path: Path) -> None:
    made, table, folder = shapes
    for number in (0, 2):
        rows = np.flatnonzero(made.shape == number)
        mean = aligned_members(table, folder, rows, low_pass_A=0.0).mean(axis=0)
        inside = np.hypot(*np.indices(mean.shape) - BOX // 2) * PIXEL_A < RADIUS_A
        right = np.corrcoef(mean[inside], truth(number)[inside])[0, 1]
        assert right > 0.75, "the CTF's phases are flipped, its falling to zero at low frequencies is not undone"
        turned = table.copy()
        turned["psi_deg"] = -table["psi_deg"]
        wrong = aligned_members(turned, folder, rows, low_pass_A=0.0).mean(axis=0)
        assert np.corrcoef(wrong[inside], truth(number)[inside])[0, 1] < right - 0.1
    averages = np.stack([truth(number) for number in range(3)])
    drawn, held = write_members(tmp_path / "m.png", table, folder, 1, averages, count=20)
    assert (drawn, held) == (20, int(np.sum(made.shape == 0))) and (tmp_path / "m.png").stat().st_size > 5000
    with pytest.raises(InputError, match="no class 9"):
        write_members(tmp_path / "m.png", table, folder, 9, averages)


def test_the_middle_of_a_class_is_found_in_each_image(shapes) -> None:
    made, table, _ = shapes
    averages = np.stack([truth(number) for number in range(3)])
    centres = class_centres(averages, PIXEL_A, RADIUS_A)
    chosen = choose_particles(table, [1], centres)
    assert chosen.rows.tolist() == np.flatnonzero(made.shape == 0).tolist() and np.abs(centres[0]).max() > 2
    # Turned back as the images were made, that place is the middle of the class.
    c, s = np.cos(made.psi[chosen.rows]), np.sin(made.psi[chosen.rows])
    at = chosen.displacements_A - made.displacements_A[chosen.rows]
    there = np.stack([c * at[:, 0] - s * at[:, 1], s * at[:, 0] + c * at[:, 1]], 1)
    np.testing.assert_allclose(there, np.broadcast_to(centres[0], there.shape), atol=1e-9)
    best = choose_particles(table, [1, 3], centres, worst_percent=50.0)
    rows = [np.flatnonzero(made.shape == number) for number in (0, 2)]
    assert best.left_out == sum(len(one) // 2 for one in rows)
    assert best.rows.tolist() == sorted(np.concatenate([one[len(one) // 2 :] for one in rows]).tolist())
    with pytest.raises(InputError, match="no particle"):
        choose_particles(table, [9], centres)


def test_junk_scores_below_what_is_resolved() -> None:
    rings = np.arange(40)
    width_A = 64 * 4.0
    noise = np.random.Generator(np.random.Philox(2)).normal(0, 0.05, (4, 40))
    shared = np.where(rings <= width_A / 25.0 + 1, 0.95, 0.0)
    frc = np.stack([shared] * 4) + noise
    frc[0, 11:30], frc[1, 11:20] = 0.9, 0.8
    place = (np.arange(64) - 32) * 4.0
    centred = np.exp(-(place**2 + place[:, None] ** 2) / (2 * 30.0**2))
    averages = np.stack([centred, centred, centred, np.roll(centred, 15, 1)])
    found = class_quality(
        averages, frc, [8.8, 13.0, 23.0, 23.0], [500, 400, 300, 10], [50, 40, 30, 400], pixel_size_A=4.0,
        mask_radius_A=100.0, limit_A=8.0,
    )  # fmt: skip
    assert found[0].score == 1.0 and 0.5 < found[1].score < 1.0 and max(found[2].score, found[3].score) < 0.4
    assert found[0].reasons == ("resolved to 8.8 A",) and "halves do not agree" in found[2].reasons[0]
    assert {"few particles", "off the middle", "much stronger than other classes: ice or dirt?"} <= set(
        found[3].reasons
    )
    # So few particles would not show more if they were as good as the best: nothing is held against them.
    few = class_quality(
        averages[:2], [0.3 * frc[0], frc[2]], [20.0, 25.0], [200, 80], [10, 10], pixel_size_A=4.0,
        mask_radius_A=100.0, limit_A=8.0,
    )  # fmt: skip
    assert few[1].score == 0.45 and few[1].reasons == ("too few particles to tell",)
    nobody = class_quality(
        averages[:1], frc[:1], [np.inf], [0.0], [0.0], pixel_size_A=4.0, mask_radius_A=100.0, limit_A=8.0
    )
    assert nobody[0].score == 0.0
