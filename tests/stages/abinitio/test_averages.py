"""Averages of 2D classes as images: who goes into which, and that they say what their particles said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import ParticleStack
from verglas.errors import InputError
from verglas.stages.abinitio import AbInitioSettings, averaged, members_of_classes, prepared

BOX, PIXEL_A = 40, 3.0
SETTINGS = AbInitioSettings(radius_A=45.0, low_A=120.0, middle_A=12.0, finish_A=9.0)


def test_particles_of_a_class_are_split_into_averages_of_about_one_size(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 40, BOX, PIXEL_A)
    table["class_number"] = np.repeat([0, 1, 2, 3], [3, 12, 4, 21])
    with ParticleStack(table, tmp_path) as stack:
        found = members_of_classes(stack, np.arange(40), [1, 2], 5, 1)
        assert np.bincount(found.average).tolist() == [6, 6, 4]
        assert sorted(found.places[found.average < 2]) == list(range(3, 15))
        assert sorted(found.places[found.average == 2]) == list(range(15, 19))
        np.testing.assert_allclose(found.displacements_A[:, 0], -table["origin_x_A"][found.places])
        np.testing.assert_allclose(found.psi, np.deg2rad(table["psi_deg"][found.places]))
        same = members_of_classes(stack, np.arange(40), [2, 1], 5, 1)
        assert np.array_equal(found.places, same.places)
        other = members_of_classes(stack, np.arange(40), [1, 2], 5, 2)
        assert not np.array_equal(found.places, other.places)
        with pytest.raises(InputError, match="no particle is in the selected classes"):
            members_of_classes(stack, np.arange(40), [7], 5, 1)


def test_an_average_counts_for_as_much_as_its_particles_and_lies_as_its_class(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 12, BOX, PIXEL_A, noise=0.5)
    # Every image is there twice, in a class of its own, which is turned and moved by as much as the image says.
    twice = table.select(np.repeat(np.arange(12), 2))
    twice["class_number"] = 1 + np.repeat(np.arange(12), 2)
    twice["psi_deg"] = 0.0
    twice["origin_x_A"] = twice["origin_y_A"] = 0.0
    with ParticleStack(twice, tmp_path) as stack:
        each = prepared(stack, np.arange(0, 24, 2), SETTINGS, SETTINGS.finish_A)
        both = averaged(
            stack, members_of_classes(stack, np.arange(24), range(1, 13), 2, 1), SETTINGS, SETTINGS.finish_A
        )
    value, weight = each.data * each.transfer, each.transfer**2
    summed = both.data * both.transfer
    assert len(both) == 12
    for n in range(12):
        like = (summed[n].conj() * value[n]).sum() / np.vdot(value[n], value[n])
        assert like.real == pytest.approx(2.0, abs=0.2) and abs(like.imag) < 0.1
    np.testing.assert_allclose((both.transfer**2).sum(axis=1), 2.0 * weight.sum(axis=1), rtol=0.1)
