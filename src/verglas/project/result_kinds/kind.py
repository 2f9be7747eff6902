"""The description of one kind of result."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
_NUMBER = re.compile(r"_[0-9]+$")


@dataclass(frozen=True)
class ResultKind:
    """How results of one kind are kept.

    Attributes
    ----------
    name
        ``kind`` in the job's events.
    of_kind
        The kind of asset that such a result belongs to.
    product_kind
        The kind of asset that it makes, or gives a new active result to; ``of_kind`` itself for what is known about an
        asset (its transfer function).
    product_name
        Makes the asset's name from that of the asset it belongs to.
    file_stem
        Makes the name of the files from the asset it belongs to and the number of its earlier results of this kind.
    folders
        Role of a file -> folder it goes to; a role ``particles`` is also that of ``particles_1``, ``particles_2`` ...
    product_columns
        From (asset it belongs to, result with its final files) the columns of the product.
    parent_column, active_column
        Columns of the product that hold the asset it comes from (``id`` where it is that asset) and the active result.
    endings
        Role of a file -> what follows the stem in its name, before the suffix.
    makes_asset
        Such a result belongs to no asset yet: each makes a new one, of the kind ``of_kind``, which it then belongs to.
    """

    name: str
    of_kind: str
    product_kind: str
    product_name: Callable[[str], str]
    file_stem: Callable[[Record, int], str]
    folders: dict[str, str]
    product_columns: Callable[[Record, Record], Record]
    parent_column: str
    active_column: str
    endings: dict[str, str] = field(default_factory=dict)
    makes_asset: bool = False

    def folder(self, role: str) -> str | None:
        """Return the folder that a file goes to, or None where such a result has no file of that role."""
        return self.folders.get(role) or self.folders.get(_NUMBER.sub("", role))

    def ending(self, role: str) -> str:
        """Return what follows the stem in a file's name; numbered roles are told apart by their numbers."""
        if role in self.folders:
            return self.endings.get(role, "")
        number = _NUMBER.search(role)
        return self.endings.get(_NUMBER.sub("", role), "") + (number.group() if number else "")
