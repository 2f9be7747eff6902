"""Beam-induced motion: align the frames of a movie and sum them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.stages.motion.alignment import Alignment, AlignmentSettings
    from verglas.stages.motion.budget import Estimate
    from verglas.stages.motion.frames import ArrayMovie, FrameSource
    from verglas.stages.motion.movie_alignment import AlignedMovie, SumSettings, align_movie, estimate

_HOMES = {
    "AlignedMovie": "movie_alignment",
    "Alignment": "alignment",
    "AlignmentSettings": "alignment",
    "ArrayMovie": "frames",
    "Estimate": "budget",
    "FrameSource": "frames",
    "SumSettings": "movie_alignment",
    "align_movie": "movie_alignment",
    "estimate": "movie_alignment",
}

__all__ = [
    "AlignedMovie",
    "Alignment",
    "AlignmentSettings",
    "ArrayMovie",
    "Estimate",
    "FrameSource",
    "SumSettings",
    "align_movie",
    "estimate",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
