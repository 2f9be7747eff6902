"""Find an action by its name, importing only that one."""

from __future__ import annotations

import importlib
from typing import cast

from verglas.actions.declaration import Action
from verglas.actions.table import ACTIONS
from verglas.errors import InputError


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
