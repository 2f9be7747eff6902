"""Poses, shifts, hand and defocus angle of simulated images against ``relion_project`` of a map of the same atoms."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from tests.support.oracles import program
from verglas.formats import read_stack, write_mrc, write_particles
from verglas.stages.simulation import Conformation, StackParameters, make_density, read_atoms
from verglas.stages.simulation.stack import StackImages, draw_truth


def below_nyquist(images):
    """Return images without the corners of their transforms, which RELION leaves empty."""
    n = images.shape[-1]
    inside = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)) < 0.5
    return np.fft.irfft2(np.fft.rfft2(images) * inside)


@pytest.mark.parametrize("apply_ctf", [False, True])
def test_images_equal_relions_projections(tmp_path, apply_ctf):
    parameters = StackParameters(
        model="beta-galactosidase", conformations=[Conformation(remove="/1/A-2,A-3")], particles=4, box=96,
        pixel_size_A=2.0, snr=None, padding=1, envelope_b_A2=0, extra_b_factor_A2=200, shift_sigma_A=8,
        astigmatism_A=8000, apply_ctf=apply_ctf, contrast_inverted=apply_ctf, seed=5,
    )  # fmt: skip
    truth = draw_truth(parameters)
    images = StackImages(parameters, truth)
    mine = below_nyquist(np.array([images.image(i) for i in range(len(truth))]))
    density = make_density(read_atoms(parameters, parameters.conformations[0]), 96, 2.0)
    write_mrc(tmp_path / "map.mrc", density, 2.0)
    write_particles(truth, tmp_path / "truth.star")
    command = [program("relion_project", "relion"), "--i", "map.mrc", "--ang", "truth.star", "--o", "out", "--pad", "4"]
    subprocess.run([*command, *(["--ctf"] if apply_ctf else [])], cwd=tmp_path, check=True, capture_output=True)
    theirs, _ = read_stack(tmp_path / "out.mrcs")
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(mine, theirs, strict=True)]
    assert min(correlations) > 0.9995, correlations
    wrong = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(np.roll(mine, 1, axis=0), theirs, strict=True)]
    assert max(wrong) < 0.95
