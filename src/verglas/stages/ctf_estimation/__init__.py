"""Contrast transfer: find defocus, astigmatism and phase shift of a micrograph from its Thon rings."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.stages.ctf_estimation.estimate import CtfEstimate, estimate_ctf
    from verglas.stages.ctf_estimation.quality import FitQuality
    from verglas.stages.ctf_estimation.search import CtfValues, SearchSettings
    from verglas.stages.ctf_estimation.spectrum import ThonSpectrum, frame_groups, thon_spectrum

_HOMES = {
    "CtfEstimate": "estimate",
    "CtfValues": "search",
    "FitQuality": "quality",
    "SearchSettings": "search",
    "ThonSpectrum": "spectrum",
    "estimate_ctf": "estimate",
    "frame_groups": "spectrum",
    "thon_spectrum": "spectrum",
}

__all__ = [
    "CtfEstimate",
    "CtfValues",
    "FitQuality",
    "SearchSettings",
    "ThonSpectrum",
    "estimate_ctf",
    "frame_groups",
    "thon_spectrum",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
