"""Routes that are imported when they are first asked for: the same answers as with all of them."""

from __future__ import annotations

import pytest
from flowrunner.api.app import create_app
from flowrunner.api.routes import AREAS, areas_of, routes_of
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from tests.api.harness import HELLO, service


def paths(routes: list[BaseRoute]) -> list[str]:
    """Their paths, in order."""
    return [str(getattr(route, "path", "")) for route in routes]


@pytest.mark.parametrize("area", AREAS)
def test_every_route_is_found_by_its_path(area: str) -> None:
    """Whatever path is asked for, the area that answers it is imported before."""
    for path in paths(routes_of([area])):
        assert area in areas_of(path), path


def test_no_area_is_imported_in_vain() -> None:
    """Each beginning in the table is that of some route of its area."""
    for area, begins in AREAS.items():
        for begin in begins:
            assert any(path == begin or path.startswith(f"{begin}/") for path in paths(routes_of([area]))), begin


def test_all_together_are_the_areas_in_order() -> None:
    """An application that imports all at once has the routes of each area, in the same order."""
    assert paths(routes_of()) == [path for area in AREAS for path in paths(routes_of([area]))]


ASKED = [
    ("GET", "/v1/runs"),
    ("GET", "/v1/flows/hello"),
    ("GET", "/v1/nothing"),
    ("DELETE", "/v1/flows"),
    ("GET", "/healthz"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/flows/hello/runs"),
    ("GET", "/elsewhere"),
]


def test_answers_are_the_same() -> None:
    """An application that imports its routes late answers as the other one does, also what it has no route for."""
    with service() as eager:
        eager.flow(HELLO)
        late = TestClient(create_app(eager.platform, lazy=True), base_url="http://testserver")
        routes = late.app.router.routes  # type: ignore[attr-defined]  # an application of FastAPI
        before = len(routes)
        late.get("/healthz")
        assert before < len(routes) < len(routes_of()), "only those that can answer"
        for method, path in ASKED:
            headers = {**eager.team().headers(), "X-Correlation-Id": "c0ffee00"}
            here, there = (client.request(method, path, headers=headers) for client in (eager.client, late))
            assert (there.status_code, there.json()) == (here.status_code, here.json()), path
