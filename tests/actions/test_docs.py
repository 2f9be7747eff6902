"""The pages of the actions are as their declarations say."""

from __future__ import annotations

from tools.make_docs import page, pages

from tests.actions.toy_action import ToyAction


def test_pages_are_current() -> None:
    for path, text in pages().items():
        assert path.exists() and path.read_text() == text, f"{path.name} is old; run python -m tools.make_docs"


def test_a_page_tells_every_parameter_with_its_unit() -> None:
    text = page(ToyAction)
    assert "| `dose` | `--dose` | `1.5` | e/A^2 | Dose. |" in text
    assert text.index("## Expert parameters") < text.index("`mode`")
