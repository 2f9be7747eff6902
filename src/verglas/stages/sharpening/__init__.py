"""Sharpened maps: amplitudes restored, weighted by what both halves agree on, masked, and ready to deposit."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "sharpen": ("GuinierCurves", "SharpenSettings", "SharpenedMap", "inverted_hand", "sharpen_halves", "sharpen_map"),
    "results": ("result_values", "write_sharpened"),
    "emdb": ("fsc_xml", "write_emdb_folder"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
