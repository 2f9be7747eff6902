"""Files to arrays and tables, and back: strict, streamed, never silently wrong."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# public name -> module that defines it; imported when first asked for, since tifffile and its codecs are slow
_MODULES = {
    "AtomicModel": "models",
    "Block": "star",
    "COLUMNS": "particle_table",
    "CtfFit": "ctffind",
    "CtfResults": "ctffind",
    "FrameMotion": "motion_star",
    "ImageHeader": "image_header",
    "Loop": "star",
    "Mdoc": "mdoc",
    "MovieReader": "movies",
    "MrcStack": "mrc",
    "MrcStackWriter": "mrc",
    "OpticsGroup": "particle_table",
    "ParticleTable": "particle_table",
    "RadialCurves": "ctffind",
    "ResolutionStatistics": "statistics",
    "TextColumn": "star",
    "convert_movie": "convert_movies",
    "defect_mask": "references",
    "detect_kind": "images",
    "estimate_gain": "references",
    "load_dark": "references",
    "load_gain": "references",
    "open_movie": "movies",
    "read_avrot": "ctffind",
    "read_coordinates": "coordinates",
    "read_ctffind": "ctffind",
    "read_header": "images",
    "read_image": "images",
    "read_mdoc": "mdoc",
    "read_model": "models",
    "read_motion_star": "motion_star",
    "read_mtf": "mtf",
    "read_particles": "conversions",
    "read_section": "images",
    "read_stack": "images",
    "read_star": "star",
    "read_statistics": "statistics",
    "read_volume": "images",
    "turn_reference": "references",
    "write_avrot": "ctffind",
    "write_coordinates": "coordinates",
    "write_ctffind": "ctffind",
    "write_mdoc": "mdoc",
    "write_motion_star": "motion_star",
    "write_mrc": "mrc",
    "write_particles": "conversions",
    "write_star": "star_writer",
    "write_statistics": "statistics",
    "write_tiff_movie": "tiff_writer",
    "write_whole": "atomic_write",
}

__all__ = sorted(_MODULES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
