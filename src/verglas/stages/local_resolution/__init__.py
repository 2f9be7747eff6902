"""The resolution of each part of a map, and the map low-passed everywhere at its own."""

from verglas.engine.bands import Bands
from verglas.stages.local_resolution.estimate import LocalResolution, local_filter, local_resolution
from verglas.stages.local_resolution.results import resolution_values, write_filtered, write_resolution

__all__ = [
    "Bands",
    "LocalResolution",
    "local_filter",
    "local_resolution",
    "resolution_values",
    "write_filtered",
    "write_resolution",
]
