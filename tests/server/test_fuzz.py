"""Whatever is asked of the interface, it answers with a sentence and never with an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis

from tests.server.running import Running, running
from tests.support.picked_projects import picked_project

# Routes that would fill the disk or run for ever when asked with random content.
LEFT_OUT = {"/api/news", "/api/projects/{key}/profiles/test", "/api/projects/{key}/close", "/api/projects/create"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str, str]]:
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("VERGLAS_PROFILES", str(folder / "profiles"))
        project, _ = picked_project(folder)
        project.close()
        with running(folder / "server", browse=(folder,)) as one:
            client = one.client()
            key = client.post("/api/projects/open", json={"folder": str(folder / "p")}).json()["key"]
            yield one, key, f"{one.access.cookie}={client.cookies[one.access.cookie]}"


KINDS = ("image", "movie", "positions", "volume", "nonsense")
SOURCES = ("asset:image:1", "asset:image:1:scaled", "result:1:fit", "asset:volume:1", "file:/etc/passwd", "x")


SETTINGS = hypothesis.settings(
    max_examples=8, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip


def try_one(operation: Any, key: str, headers: dict[str, str], data: hypothesis.strategies.DataObject) -> None:
    """Send one made-up request; names of places are mostly such as there are."""
    case = data.draw(operation.as_strategy())
    for name, values in (("key", (key,)), ("kind", KINDS), ("image", (1, 2, 9)), ("number", (1, 2, 99))):
        if name in case.path_parameters:
            case.path_parameters[name] = data.draw(hypothesis.strategies.sampled_from(values))
    if case.query and "source" in case.query:
        case.query["source"] = data.draw(hypothesis.strategies.sampled_from(SOURCES))
    answer = case.call(headers=headers, timeout=30)
    assert answer.status_code < 500, f"{operation.method} {operation.path}: {answer.text[:500]}"


def tries_of(operation: Any, key: str, headers: dict[str, str]) -> Callable[[], None]:
    """Return the function that tries one route again and again."""

    @hypothesis.given(data=hypothesis.strategies.data())
    def tries(data: hypothesis.strategies.DataObject) -> None:
        try_one(operation, key, headers, data)

    return tries


def test_no_request_makes_the_server_fail(server: tuple[Running, str, str]) -> None:
    at, key, cookie = server
    headers = {"cookie": cookie}
    schema = schemathesis.openapi.from_url(f"{at.address}/api/openapi.json", headers=headers)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in LEFT_OUT:
            continue

        SETTINGS(tries_of(operation, key, headers))()
        tried += 1
    assert tried > 35
    assert not (Path("/etc") / "verglas").exists()
