"""Write the generated pages of docs/ (the actions', performance, scaling): ``python -m tools.make_docs``."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import scaling_page
from tools.performance import page as performance_page
from verglas.actions import ACTIONS, Action, load_action
from verglas.actions.declaration import is_expert, unit_of
from verglas.cli.common import option_flag

FOLDER = Path(__file__).parents[1] / "docs" / "actions"


def page(action: type[Action]) -> str:
    """Return an action's page."""
    lines = [f"# {action.title}", "", action.summary, "", f"    verglas {action.name} [OPTIONS]", "", "## Inputs", ""]
    lines += ["| option | kind | what | default |", "|---|---|---|---|"]
    lines += [
        f"| `--{one.name.replace('_', '-')}` | {one.kind} | {one.help} | {'all' if one.takes_all else 'none'} |"
        for one in action.inputs
    ]
    for heading, expert in (("Parameters", False), ("Expert parameters", True)):
        names = [name for name in action.Parameters.model_fields if is_expert(action, name) is expert]
        if not names:
            continue
        lines += ["", f"## {heading}", "", "| name | option | default | unit | what |", "|---|---|---|---|---|"]
        for name in names:
            info = action.Parameters.model_fields[name]
            default = "required" if info.is_required() else f"`{info.default}`"
            option = option_flag(name)
            lines.append(f"| `{name}` | `{option}` | {default} | {unit_of(action, name)} | {info.description} |")
    lines += ["", f"Makes: {', '.join(action.outputs)}. What all actions share is in [jobs](../jobs.md).", ""]
    return "\n".join(lines)


def pages() -> dict[Path, str]:
    """Return all generated pages by path."""
    actions = {FOLDER / f"{name}.md": page(load_action(name)) for name in ACTIONS}
    written = {module.PATH: module.page() for module in (performance_page, scaling_page)}
    return {**actions, **written}


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
