"""The table of all actions: name -> where it is declared and its summary, without importing any."""

from __future__ import annotations

import importlib
from typing import NamedTuple, cast

from verglas.actions.declaration import Action
from verglas.errors import InputError


class Declared(NamedTuple):
    """Where an action is declared (``module:Class``) and its one-line summary, equal to the one in the class."""

    entry: str
    summary: str


ACTIONS: dict[str, Declared] = {}


def load_action(name: str) -> type[Action]:
    """Import and return an action's class.

    Raises
    ------
    InputError
        There is no action of that name.
    """
    if name not in ACTIONS:
        raise InputError(f"There is no action {name!r}; there are: {', '.join(ACTIONS) or 'none'}.")
    module, _, attribute = ACTIONS[name].entry.partition(":")
    return cast("type[Action]", getattr(importlib.import_module(module), attribute))
