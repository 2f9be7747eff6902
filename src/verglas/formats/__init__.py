"""Files to arrays and tables, and back: strict, streamed, never silently wrong."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# public name -> module that defines it; imported when first asked for, since tifffile and its codecs are slow
_MODULES = {
    "ImageHeader": "image_header",
    "MovieReader": "movies",
    "MrcStack": "mrc",
    "MrcStackWriter": "mrc",
    "detect_kind": "images",
    "open_movie": "movies",
    "read_header": "images",
    "read_image": "images",
    "read_section": "images",
    "read_stack": "images",
    "read_volume": "images",
    "write_mrc": "mrc",
    "write_tiff_movie": "tiff",
    "write_whole": "atomic_write",
}

__all__ = sorted(_MODULES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
