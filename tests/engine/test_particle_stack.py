"""Particle images come from whichever stack and section the table names, with the optics of their groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from verglas.engine import ParticleStack
from verglas.engine.particle_stack import OPEN_STACKS
from verglas.errors import InputError
from verglas.formats import OpticsGroup, ParticleTable, write_mrc
from verglas.signal import resize

BOX = 16


def scattered(folder: Path, stacks: int = 3, each: int = 5, dtype: str = "float32") -> tuple[ParticleTable, np.ndarray]:
    """Write stacks and a table whose particles lie in them in no order."""
    random = np.random.Generator(np.random.Philox(4))
    images = random.normal(size=(stacks, each, BOX, BOX)).astype(dtype)
    for number, stack in enumerate(images):
        write_mrc(folder / f"{number}.mrcs", stack, 2.0)
    order = random.permutation(stacks * each)
    table = ParticleTable.empty(len(order))
    table.set_names("image_name", [f"{i // each}.mrcs" for i in order])
    table["image_section"] = order % each + 1
    table["pixel_size_A"], table["voltage_kV"], table["spherical_aberration_mm"] = 2.0, 300.0, 2.7
    table["amplitude_contrast"], table["defocus_u_A"], table["defocus_v_A"] = 0.07, 12000 + order, 11000 + order
    table["defocus_angle_deg"], table["phase_shift_deg"] = 30.0, 90.0
    table.optics = [OpticsGroup(image_size_px=BOX, contrast_inverted=False)]
    return table, images.reshape(-1, BOX, BOX)[order].astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_images_are_those_that_the_table_names(tmp_path: Path, dtype: str) -> None:
    table, images = scattered(tmp_path, dtype=dtype)
    table["active"][[2, 7]] = 0
    with ParticleStack(table, tmp_path) as stack:
        assert len(stack) == 13 and stack.rows.tolist() == [0, 1, 3, 4, 5, 6, *range(8, 15)]
        found = stack.read([12, 0, 3, 0])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, images[[14, 0, 4, 0]])
        small = stack.read(np.arange(13), 10, threads=2)
        np.testing.assert_allclose(small, resize(images[stack.rows], (10, 10)), atol=1e-6)
        np.testing.assert_allclose(small.mean(axis=(1, 2)), images[stack.rows].mean(axis=(1, 2)), atol=1e-5)
        np.testing.assert_allclose(
            stack.defocus([1]), [[table["defocus_u_A"][1], table["defocus_v_A"][1], np.pi / 6, np.pi / 2]]
        )
    with ParticleStack(table, tmp_path, rows=[7]) as stack:
        np.testing.assert_array_equal(stack.read([0])[0], images[7])


def test_more_stacks_than_may_be_open(tmp_path: Path) -> None:
    table, images = scattered(tmp_path, stacks=OPEN_STACKS + 5, each=2)
    with ParticleStack(table, tmp_path) as stack:
        np.testing.assert_array_equal(stack.read(np.arange(len(stack))), images)
        assert len(stack._open) == OPEN_STACKS


def test_each_group_has_its_optics(tmp_path: Path) -> None:
    table, _ = scattered(tmp_path)
    table["optics_group"] = np.where(np.arange(15) % 3 == 0, 4, 2)
    table["beam_tilt_x_mrad"] = np.where(np.arange(15) % 3 == 0, 0.3, 0.0)
    table.optics = [OpticsGroup(2, "a", BOX, contrast_inverted=True), OpticsGroup(4, "b", BOX, contrast_inverted=True)]
    with ParticleStack(table, tmp_path) as stack:
        parts = dict(stack.by_group([0, 1, 2, 3]))
        assert {number: part.tolist() for number, part in parts.items()} == {0: [1, 2], 1: [0, 3]}
        assert (stack.optics(0).beam_tilt_x_mrad, stack.optics(1).beam_tilt_x_mrad) == (0.0, 0.3)
        assert stack.is_inverted(0)
        with pytest.raises(InputError, match="differ in beam_tilt_x_mrad"):
            stack.one_optics()
    table["beam_tilt_x_mrad"] = 0.0
    with ParticleStack(table, tmp_path, contrast_inverted=False) as stack:
        optics, white = stack.one_optics()
        assert (optics.pixel_size_A, optics.voltage_kV, white) == (2.0, 300.0, False)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("active", 0, "no particle"), ("image_section", 0, "no section"), ("image_name", -1, "no stack"),
        ("optics_group", 7, "optics group 7"), ("pixel_size_A", 0.0, "pixel size"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_are_refused(tmp_path: Path, column: str, value: float, words: str) -> None:
    table, _ = scattered(tmp_path)
    table[column] = value
    with pytest.raises(InputError, match=words):
        ParticleStack(table, tmp_path)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    table, _ = scattered(tmp_path)
    write_mrc(tmp_path / "2.mrcs", np.zeros((5, BOX + 2, BOX + 2), np.float32), 2.0)
    with pytest.raises(InputError, match="must be squares of"), ParticleStack(table, tmp_path) as stack:
        stack.read(np.arange(15))
    write_mrc(tmp_path / "2.mrcs", np.zeros((5, BOX, BOX), np.float32), 2.0)
    table["voltage_kV"][3] = 200.0
    with ParticleStack(table, tmp_path) as stack, pytest.raises(InputError, match="differ in voltage_kV"):
        stack.optics(0)


def test_aberrations_of_the_file_are_in_the_optics(tmp_path: Path) -> None:
    table, _ = scattered(tmp_path)
    extra = {
        "rlnMagMat00": "1.01", "rlnMagMat01": "0.002", "rlnMagMat10": "0.001", "rlnMagMat11": "0.99",
        "rlnOddZernike": "[0.0,0.0,0.2,0,0,0]", "rlnEvenZernike": "[0,0]", "rlnMtfFileName": "k3.star",
    }  # fmt: skip
    table.optics = [OpticsGroup(image_size_px=BOX, contrast_inverted=False, extra=extra)]
    with ParticleStack(table, tmp_path) as stack:
        optics = stack.optics(0)
        assert optics.magnification == ((1.01, 0.002), (0.001, 0.99))
        assert (optics.odd_zernike, optics.even_zernike) == ((0.0, 0.0, 0.2, 0.0, 0.0, 0.0), ())
        assert stack.largest_magnification == pytest.approx(1.0101, abs=2e-4)
        assert optics.largest_magnification == pytest.approx(stack.largest_magnification)
    table.optics[0].extra["rlnMagMat00"] = "one"
    with ParticleStack(table, tmp_path) as stack, pytest.raises(InputError, match="_rlnMagMat00 one"):
        stack.optics(0)
