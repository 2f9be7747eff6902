"""The noise of stacks: white and coloured parts of a given variance, or that of counted electrons and their ice."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.stages.simulation.ice import ice_contrast_density, water_memory
from verglas.stages.simulation.optics import Defocus, Microscope
from verglas.stages.simulation.parameters import StackParameters

COLOUR_CORNER_A = 30.0  # coloured noise falls off beyond this resolution


class StatedNoise:
    """Noise of variance 1, a part of it coloured: the same in all images.

    Parameters
    ----------
    parameters
        Box, pixel size and ``coloured_noise``.
    """

    def __init__(self, parameters: StackParameters) -> None:
        box, coloured = parameters.box, parameters.coloured_noise
        axis = scipy.fft.fftfreq(box, parameters.pixel_size_A)
        shape = 1 / (1 + (np.hypot(axis[:, None], axis[None, :]) * COLOUR_CORNER_A) ** 2)
        power = (1 - coloured) + coloured * shape / shape.mean()
        self._filter = np.asarray(np.sqrt(power[:, : box // 2 + 1]), dtype=np.float32)

    def filter(self, defocus: Defocus) -> NDArray[np.float32]:
        """Return the (box, box // 2 + 1) amplitude filter that makes white noise this noise."""
        del defocus
        return self._filter

    def variance(self, defocus: Defocus) -> float:
        """Return the noise's variance in a pixel."""
        del defocus
        return 1.0


class CountingNoise:
    """The noise of counted electrons and of the ice they went through, in units of the electrons' own.

    As in movies, but summed over the exposure: the structure of amorphous ice, its CTF averaged over the thickness,
    washed out by water that moves under the beam. It is a density per area, so pixels of any size show the same.

    Parameters
    ----------
    parameters
        With ``dose_e_A2``.
    """

    def __init__(self, parameters: StackParameters) -> None:
        assert parameters.dose_e_A2 is not None
        self.parameters = parameters
        self.microscope = Microscope(parameters, (parameters.box, parameters.box))
        k = np.sqrt(self.microscope.k2)
        _, damping = water_memory(k, parameters, parameters.dose_e_A2)
        density = ice_contrast_density(k, parameters) * (damping * self.microscope.envelope) ** 2
        # The density of counting is one over the electrons of an A^2.
        self.ice_over_counting = density * parameters.dose_e_A2
        self.ice_over_counting[0, 0] = 0.0

    def filter(self, defocus: Defocus) -> NDArray[np.float32]:
        """Return the (box, box // 2 + 1) amplitude filter that makes white noise this noise."""
        transfer = self.microscope.mean_square_transfer(defocus, self.parameters.ice_thickness_A)
        return np.asarray(np.sqrt(1.0 + self.ice_over_counting * transfer), np.float32)

    def variance(self, defocus: Defocus) -> float:
        """Return the noise's variance in a pixel, of which counting alone has one."""
        both = self.filter(defocus).astype(np.float64) ** 2
        columns = np.full(both.shape[1], 2.0)
        columns[[0, -1]] = 1.0
        return float((both * columns).sum() / self.parameters.box**2)
