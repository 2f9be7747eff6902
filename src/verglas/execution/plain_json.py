"""Strict JSON for other programs: no NaN, no paths, no tuples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def as_plain(value: Any) -> Any:
    """Return ``value`` as strict JSON: paths become text, NaN and infinities null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [as_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
