"""The rooms of the house import only from rooms below them, and stages never from each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "verglas"

# Each room and the rooms it may import from (besides itself and errors).
SCIENCE = {"kernels", "formats", "microscopy", "geometry", "signal"}
MAY_IMPORT = {
    "errors": set(),
    "kernels": set(),
    "formats": {"kernels"},
    "geometry": {"kernels"},
    "signal": {"kernels"},
    "microscopy": {"kernels", "geometry", "signal"},
    "engine": SCIENCE,
    "stages": SCIENCE | {"engine"},
    "project": {"kernels", "formats", "signal", "stages", "execution"},
    "execution": set(),
    "actions": SCIENCE | {"engine", "stages", "execution", "project"},
    "server": {"formats", "execution", "project", "actions"},
    "cli": SCIENCE | {"engine", "stages", "execution", "project", "actions", "server"},
}


def imports_of(path: Path) -> set[tuple[str, ...]]:
    """Return the dotted names inside verglas that a file imports, in any scope."""
    found: set[tuple[str, ...]] = set()
    package = ("verglas", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            stem = base + (node.module.split(".") if node.module else [])
            names = [[*stem, alias.name] for alias in node.names]
        else:
            continue
        found |= {tuple(name[1:]) for name in names if name[0] == "verglas" and len(name) > 1}
    return found


def room_of(parts: tuple[str, ...]) -> str:
    """Return the room that a dotted name inside verglas belongs to."""
    return parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(path.relative_to(SOURCE).parts)
    if room in {"__init__", "__main__"}:
        return
    assert room in MAY_IMPORT, f"{room} is not a room of the house"
    for name in imports_of(path):
        target = room_of(name)
        if target in {room, "errors", "__version__"}:
            continue
        assert target in MAY_IMPORT[room], f"{room} may not import from {target} ({'.'.join(name)})"


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(SOURCE / "stages")], ids=lambda p: p.name)
def test_stages_do_not_import_each_other(path: Path) -> None:
    parts = path.relative_to(SOURCE / "stages").parts
    own = parts[0].removesuffix(".py")
    for name in imports_of(path):
        if name[0] == "stages" and len(name) > 1 and own != "__init__":
            assert name[1] == own, f"stage {own} imports stage {name[1]}"


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(SOURCE / "actions")], ids=lambda p: p.name)
def test_declarations_import_no_science_at_module_level(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            assert name.split(".")[0] not in {"numpy", "scipy", "numba"}, f"{path.name} imports {name}"
            assert not name.startswith(("verglas.stages", "verglas.engine", "verglas.kernels")), name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_module_opens_with_one_sentence(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "a module says in its first line what it is for"
    assert docstring.splitlines()[0].rstrip().endswith((".", ":")), docstring.splitlines()[0]


def test_the_check_itself_notices(tmp_path: Path) -> None:
    bad = SOURCE / "formats" / "__init__.py"
    assert "actions" not in MAY_IMPORT["formats"]
    assert ("errors",) not in imports_of(bad)
    sample = ast.parse("from verglas.actions import declaration")
    assert isinstance(sample.body[0], ast.ImportFrom)
