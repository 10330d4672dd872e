"""The function behind the WebSocket API: handshakes, messages and ends, as API Gateway hands them on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from flowrunner.adapters.aws.push import ApiGatewayPush
from flowrunner.errors import ConfigurationError, StoreError, TooManyRequests
from flowrunner.functions import stream, websocket
from flowrunner.functions.observing import Observed
from flowrunner.functions.websocket import WebSocket, hail_of
from flowrunner.services.identity import Role
from flowrunner.services.sockets import Hail
from flowrunner.settings import Settings

from tests.api.harness import HELLO
from tests.functions.installation import Context
from tests.services.gateway import Line, lines

pytestmark = pytest.mark.usefixtures("quiet_logging")


@pytest.fixture(scope="module")
def new() -> Iterator[Callable[[], Line]]:
    with lines() as made:
        yield made


@pytest.fixture
def wire(new: Callable[[], Line]) -> Line:
    return new()


def handler(wire: Line) -> WebSocket:
    return WebSocket(wire.sockets, Observed("websocket", Settings()), wire.api.clock)


def event(kind: str, body: str | None = None, connection: str = "c1", **more: Any) -> dict[str, Any]:
    """An event of a WebSocket API."""
    route = {"CONNECT": "$connect", "DISCONNECT": "$disconnect"}.get(kind, "$default")
    about = {
        "routeKey": route,
        "eventType": kind,
        "connectionId": connection,
        "requestId": "r1",
        "domainName": "abc.execute-api.eu-west-1.amazonaws.com",
        "stage": "live",
        "identity": {"sourceIp": "192.0.2.7"},
    }
    return {"requestContext": about, "isBase64Encoded": False, **({"body": body} if body is not None else {}), **more}


def invoke(handle: WebSocket, *args: Any, **more: Any) -> int:
    answer: Mapping[str, Any] = handle(event(*args, **more), Context(29_000))
    status: int = answer["statusCode"]
    return status


def test_a_connection_from_its_beginning_to_its_end(wire: Line) -> None:
    """A ticket, a subscription, its events, and nothing that is left."""
    handle = handler(wire)
    run = wire.api.start(wire.api.flow(HELLO)["id"], {"name": "ada"})
    ticket = wire.api.client.post("/v1/ws/tickets", headers=wire.api.team().headers(Role.VIEWER)).json()["ticket"]
    assert invoke(handle, "CONNECT", queryStringParameters={"ticket": ticket}) == 200
    assert invoke(handle, "MESSAGE", json.dumps({"type": "subscribe", "run": run})) == 200
    messages = wire.take("c1")
    assert [one["type"] for one in messages[:2]] == ["ready", "subscribed"]
    assert messages[-1]["reason"] == "ended"
    assert wire.kept() == ["connection"]
    assert invoke(handle, "DISCONNECT") == 200
    assert wire.kept() == []


def test_a_handshake_that_is_refused_has_a_status(wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser sees no more than that; what the store lacks may be tried again."""
    handle = handler(wire)
    assert invoke(handle, "CONNECT", queryStringParameters={"ticket": "wrong"}) == 401
    assert invoke(handle, "CONNECT", headers={"Origin": "https://evil.example", "Host": "x"}) == 403
    assert invoke(handle, "CONNECT", headers={"Origin": "https://x.example", "Host": "x.example"}) == 200
    for error, status in ((StoreError("down"), 503), (TooManyRequests("full"), 429), (ZeroDivisionError(), 500)):

        def fail(_hail: Hail, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(wire.sockets, "open", fail)
        assert invoke(handle, "CONNECT") == status


def test_a_message_that_is_none_is_answered(wire: Line) -> None:
    """One without a body, too."""
    handle = handler(wire)
    assert invoke(handle, "CONNECT") == 200
    assert invoke(handle, "MESSAGE") == 200
    assert wire.take("c1")[0]["code"] == "VALIDATION_ERROR"


def test_a_store_that_fails_is_told_without_its_words(wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may try again, and learns nothing of the table."""
    handle = handler(wire)
    client = wire.connect()
    wire.take(client)

    def down(*args: Any, **options: Any) -> Any:
        raise StoreError("DynamoDB refused: the table flowrunner-prod")

    monkeypatch.setattr(wire.api.platform.engine.parts.backend.entities, "list", down)
    assert invoke(handle, "MESSAGE", json.dumps({"type": "subscribe", "account": True}), client) == 200
    [error] = wire.take(client)
    assert error["type"] == "error"
    assert "flowrunner-prod" not in error["message"]


def test_what_an_event_says_of_its_connection() -> None:
    """Names of headers come in any case; only a handshake has headers and a query."""
    given = event("CONNECT", headers={"ORIGIN": "https://a", "hOST": "h"}, queryStringParameters={"ticket": "t"})
    assert hail_of(given) == Hail("c1", "https://a", "h", "t", "192.0.2.7", "r1")
    assert hail_of(event("MESSAGE", "x", headers=None)) == Hail("c1", None, "", None, "192.0.2.7", "r1")


class FakeApi:
    """The client of API Gateway's management API, which answers with errors."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[dict[str, Any]] = []

    def post_to_connection(self, **arguments: Any) -> None:
        self.calls.append(arguments)
        if self.error is not None:
            raise self.error

    delete_connection = post_to_connection


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "PostToConnection")


@pytest.mark.parametrize(
    ("error", "there"), [(None, True), (refused("GoneException"), False), (refused("BadRequestException"), False)]
)
def test_a_client_that_is_gone_is_an_answer(error: Exception | None, *, there: bool) -> None:
    """Sending says so, and closing what is closed is nothing."""
    api: Any = FakeApi(error)
    made: list[Any] = []

    def make() -> Any:
        made.append(api)
        return api

    push = ApiGatewayPush(make)
    assert push.send("c1", b"{}") is there
    push.close("c1")
    assert api.calls == [{"ConnectionId": "c1", "Data": b"{}"}, {"ConnectionId": "c1"}]
    assert len(made) == 1


@pytest.mark.parametrize("error", [refused("LimitExceededException"), EndpointConnectionError(endpoint_url="x")])
def test_a_gateway_that_does_not_answer_is_a_fault_of_the_store(error: Exception) -> None:
    """What was to be sent is sent later."""
    api: Any = FakeApi(error)
    push = ApiGatewayPush(lambda: api)
    with pytest.raises(StoreError):
        push.send("c1", b"{}")
    with pytest.raises(StoreError):
        push.close("c1")


@pytest.mark.parametrize("module", [stream, websocket])
def test_functions_that_are_wired_wrongly_do_not_start(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names the setting that it lacks."""
    monkeypatch.setattr("flowrunner.functions.process.keep_memory_private", lambda: None)
    with pytest.raises(ConfigurationError, match=r"store\.url|live\.socket_url"):
        module.make_handler({"FLOWRUNNER_STORE__URL": "memory:"})
