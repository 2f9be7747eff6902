"""Maps of refined particles: what is written of a reconstruction."""

from verglas.stages.reconstruction.results import result_values, write_reconstruction

__all__ = ["result_values", "write_reconstruction"]
