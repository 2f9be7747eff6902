"""One declaration per action: its parameters, inputs, outputs and run(context)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.actions.declaration import Action, ActionParameters, Input, field
    from verglas.actions.launch import Prepared, prepare
    from verglas.actions.python_face import project_run
    from verglas.actions.registry import load_action
    from verglas.actions.table import ACTIONS

_HOMES = {
    "ACTIONS": "table",
    "Action": "declaration",
    "ActionParameters": "declaration",
    "Input": "declaration",
    "Prepared": "launch",
    "field": "declaration",
    "load_action": "registry",
    "prepare": "launch",
    "project_run": "python_face",
}

__all__ = [
    "ACTIONS",
    "Action",
    "ActionParameters",
    "Input",
    "Prepared",
    "field",
    "load_action",
    "prepare",
    "project_run",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that help stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"verglas.actions has no {name!r}")
    return getattr(importlib.import_module(f"verglas.actions.{_HOMES[name]}"), name)
