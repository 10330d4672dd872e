"""Events over the function behind the HTTP API: whole answers that a client takes for one stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.api.app import create_app
from flowrunner.functions.api import Api
from flowrunner.functions.observing import Observed
from flowrunner.services.identity import Role
from flowrunner.settings import Settings

from tests.api.harness import HELLO, Service, service
from tests.api.live_server import read_events
from tests.functions.installation import Context, http_event

pytestmark = pytest.mark.usefixtures("quiet_logging")

WAITS = 'metadata: {name: waits}\nnodes:\n  a: {type: approval, params: {message: "go?"}}\n'


@pytest.fixture(scope="module")
def api() -> Iterator[Service]:
    with service({"live": {"delivery": "poll", "wait": "50ms"}, "usage": {"by": "stream"}}) as made:
        made.team()
        yield made


def ask(api: Service, run: str, last: str = "", path: str = "events") -> Any:
    """One request of an `EventSource`, through API Gateway and Mangum."""
    handler = Api(create_app(api.platform), Observed("api", Settings()))
    headers = {**api.team().headers(Role.VIEWER), "accept": "text/event-stream"}
    event = http_event(
        "GET", f"/v1/runs/{run}/{path}", headers={**headers, **({"last-event-id": last} if last else {})}
    )
    return handler(event, Context())


def test_a_stream_is_a_whole_answer(api: Service) -> None:
    """All events up to now as text, with a length; and 204 for who has got the last one of an ended run."""
    run = api.start(api.flow(HELLO)["id"], {"name": "ada"})
    answer = ask(api, run)
    assert answer["statusCode"] == 200
    assert answer["isBase64Encoded"] is False
    assert answer["headers"]["content-type"].startswith("text/event-stream")
    assert answer["body"].startswith("retry: ")
    got = list(read_events(iter(answer["body"].split("\n"))))
    assert [name for _, name, _ in got] == [
        "run.started",
        "step.scheduled",
        "step.started",
        "step.succeeded",
        "run.completed",
    ]
    assert ask(api, run, got[-1][0])["statusCode"] == 204
    assert len(list(read_events(iter(ask(api, run, got[1][0])["body"].split("\n"))))) == 3


def test_a_silent_answer_comes_in_time(api: Service) -> None:
    """It says where to come back, and when."""
    run = api.start(api.flow(WAITS)["id"])
    first = ask(api, run)["body"]
    place = list(read_events(iter(first.split("\n"))))[-1][0]
    answer = ask(api, run, place)
    assert answer["body"] == f"retry: 1000\nid: {place}\n\n"


def test_the_log_is_followed_the_same_way(api: Service) -> None:
    """With its filter."""
    run = api.start(api.flow("metadata: {name: says}\nnodes:\n  a: {type: log, params: {message: hm}}\n")["id"])
    body = ask(api, run, path="logs")["body"]
    assert [name for _, name, _ in read_events(iter(body.split("\n")))] == ["step.log", "run.completed"]
