"""Requests that are refused, lost or delayed: what is tried again, and what people are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flowrunner.cli.exits import ExitCode, RemoteError
from flowrunner.cli.remote.client import Client, at
from flowrunner.cli.remote.following import LOST_IN_A_ROW, follow
from flowrunner.cli.remote.lists import collect
from flowrunner.errors import NotFound

from tests.cli.remote.server import HELLO, Terminal
from tests.servers import Raw, Received, RecordingServer, Reply, Route, flaky

EVENTS = [
    {"id": "run:1:run.started", "type": "run.started", "at": "2026-11-21T08:00:00.000Z"},
    {"id": "1.0:1:started", "type": "step.started", "step_id": "a", "node": "a", "at": "2026-11-21T08:00:00.000Z"},
    {"id": "run:1:run.completed", "type": "run.completed", "at": "2026-11-21T08:00:01.000Z"},
]


def as_json(document: Any, status: int = 200, *headers: tuple[str, str]) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(document).encode(), (("Content-Type", "application/json"), *headers))


def error(status: int, message: str, *headers: tuple[str, str], **more: Any) -> Reply:
    """An error as the API makes it."""
    body = {"code": "X", "message": message, "correlation_id": "corr-1", **more}
    return as_json({"error": body}, status, *headers)


def stream(*numbers: int) -> Reply:
    """A stream that ends after these events."""
    text = "retry: 2000\n\n: \n\n"
    for number in numbers:
        event = EVENTS[number]
        text += f"id: {number}~{event['id']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
    return Reply(200, text.encode(), (("Content-Type", "text/event-stream"),))


def in_turn(*answers: Reply | Raw) -> Route:
    """Answers one after the other; the last one for ever."""
    left = list(answers)

    def route(_: Received) -> Reply | Raw:
        return left.pop(0) if len(left) > 1 else left[0]

    return route


def client_of(server: RecordingServer, pauses: list[float]) -> Client:
    """A client that notes its pauses instead of making them."""
    return Client(server.url, "Bearer fr_live_x", pause=pauses.append)


def ask(route: Route, call: Callable[[Client], Any]) -> tuple[Any, list[Received], list[float]]:
    """What a call answers or raises, what the server got, and the pauses between."""
    pauses: list[float] = []
    with RecordingServer(route) as server:
        client = client_of(server, pauses)
        try:
            answer = call(client)
        except RemoteError as refused:
            answer = refused
        finally:
            client.close()
        return answer, server.requests, pauses


BUSY = as_json({}, 503, ("Retry-After", "2"))


def test_a_busy_server_is_asked_again_as_it_wishes() -> None:
    """Reads wait as long as `Retry-After` says, then for a moment."""
    route = in_turn(BUSY, Reply(503), as_json({"a": 1}))
    answer, requests, pauses = ask(route, lambda client: client.get("/v1/x"))
    assert (answer, len(requests), pauses) == ({"a": 1}, 3, [2.0, 0.8])


def test_nobody_waits_for_long_or_for_ever() -> None:
    """A wait of over half a minute is told instead, and four tries are enough."""
    late = error(429, "the quota is used up", ("Retry-After", "3600"))
    answer, requests, _ = ask(in_turn(late), lambda client: client.get("/v1/x"))
    assert (str(answer), len(requests)) == ("the quota is used up (try again in 3600 s)\n  correlation id: corr-1", 1)
    assert answer.exit_code is ExitCode.SERVER
    answer, requests, pauses = ask(in_turn(BUSY), lambda client: client.get("/v1/x"))
    assert (len(requests), len(pauses), answer.exit_code) == (4, 3, ExitCode.SERVER)


def test_people_are_told_what_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A wait that is felt; on standard error, since standard output is for the answer."""
    busy = error(429, "3 runs a minute", ("Retry-After", "20"))
    ask(in_turn(busy, as_json({})), lambda client: client.get("/v1/x"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "3 runs a minute; trying again in 20 s\n")
    ask(in_turn(error(429, "slow down", ("Retry-After", "1")), as_json({})), lambda client: client.get("/v1/x"))
    assert capsys.readouterr().err == ""


def test_writes_are_sent_once_unless_nothing_was_done() -> None:
    """After a 503 nobody knows; a 429 says that the request was refused."""
    answer, requests, _ = ask(flaky(1, in_turn(as_json({}))), lambda client: client.post("/v1/x", {"a": 1}))
    assert (answer.exit_code, len(requests)) == (ExitCode.SERVER, 1)
    refused = flaky(1, in_turn(as_json({"a": 1})), error(429, "slow down", ("Retry-After", "1")))
    answer, requests, pauses = ask(refused, lambda client: client.post("/v1/x", {"a": 1}))
    assert (answer, len(requests), pauses) == ({"a": 1}, 2, [1.0])


def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    """A start carries an Idempotency-Key, so that a second one does nothing; without one the user is told to look."""
    lost = Raw([b"HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n{"])
    send: Callable[[Client], Any] = lambda client: client.send(  # noqa: E731  # one line among others like it
        "POST", "/v1/flows/f/runs", body={}, headers={"Idempotency-Key": "k"}
    ).json()
    answer, requests, pauses = ask(in_turn(lost, as_json({"id": "r"}, 202)), send)
    assert (answer, pauses) == ({"id": "r"}, [0.2])
    assert [one.headers["idempotency-key"] for one in requests] == ["k", "k"]
    answer, requests, _ = ask(in_turn(lost), lambda client: client.post("/v1/x", {}))
    assert (len(requests), answer.exit_code) == (1, ExitCode.SERVER)
    assert "look whether it was done" in str(answer)


def test_the_command_that_starts_runs_sends_a_key(terminal: Terminal) -> None:
    """A new one each time."""
    terminal("flows", "create", "-", stdin=HELLO)
    route = in_turn(as_json({"items": [{"id": "f"}]}), as_json({"id": "r", "status": "queued"}, 202))
    with RecordingServer(route) as server:
        terminal.environ = {"FLOWRUNNER_SERVER": server.url, "FLOWRUNNER_TOKEN": "fr_live_x"}
        assert terminal("runs", "start", "hello").out == "r\n"
        assert terminal("runs", "start", "01a1fd7c-a88c-7756-a62c-155db61cfe39").out == "r\n"
        keys = [one.headers["idempotency-key"] for one in server.requests if one.method == "POST"]
    assert len(set(keys)) == 2
    assert server.requests[0].headers["authorization"] == "Bearer fr_live_x"
    assert server.requests[0].headers["user-agent"].startswith("flowrunner/")


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (error(401, "Sign in"), ExitCode.NOT_FOUND, "Sign in (log in again: flowrunner login)"),
        (error(403, "this needs x"), ExitCode.NOT_FOUND, "this needs x"),
        (error(404, "there is no such run"), ExitCode.NOT_FOUND, "there is no such run"),
        (error(409, "taken"), ExitCode.FAILED, "taken"),
        (error(412, "changed"), ExitCode.FAILED, "changed"),
        (error(429, "full (delete some)", ("Retry-After", "60")), ExitCode.SERVER, "error: full (delete some)\n"),
        (error(400, "Invalid request"), ExitCode.USAGE, "Invalid request"),
        (error(413, "too large"), ExitCode.USAGE, "too large"),
        (error(400, "Invalid flow definition"), ExitCode.INVALID, "Invalid flow definition"),
        (error(500, "something went wrong"), ExitCode.SERVER, "correlation id: corr-1"),
        (Reply(502, b"<html>bad gateway</html>"), ExitCode.SERVER, "answered 502, and not like a flowrunner server"),
        (as_json(["x"], 404), ExitCode.NOT_FOUND, "answered 404"),
        (as_json({"error": {}}, 400), ExitCode.USAGE, "the server answered 400"),
        (Reply(301, b"", (("Location", "https://else.example"),)), ExitCode.SERVER, "to https://else.example"),
        (Reply(200, b"<html>hello</html>"), ExitCode.SERVER, "does not answer like a flowrunner server"),
    ],
)
def test_refusals_have_their_exit_codes(reply: Reply, code: ExitCode, words: str) -> None:
    """4 not found or not allowed, 2 our fault, 3 an invalid flow, 1 not now, 5 the server's."""
    answer, requests, _ = ask(in_turn(reply), lambda client: client.get("/v1/x"))
    assert (answer.exit_code, len(requests)) == (code, 4 if reply.status == 502 else 1)
    assert words in f"error: {answer}"


def test_problems_are_told_with_their_places() -> None:
    """Each on a line of its own."""
    details = [
        {"field": "nodes.a", "message": "unknown", "line": 3, "column": 7},
        {"field": "b", "message": "missing", "line": 4, "column": None},
        {"message": "odd"},
        "not a problem",
    ]
    answer, _, _ = ask(in_turn(error(400, "Invalid", details=details)), lambda client: client.get("/v1/x"))
    told = ["Invalid", "  nodes.a: unknown (line 3, column 7)", "  b: missing (line 4)", "  odd"]
    assert str(answer).splitlines() == [*told, "  correlation id: corr-1"]
    details = [{"field": "input.what", "message": "is required"}]
    twice = error(400, "the input does not fit: input.what: is required", details=details)
    answer, _, _ = ask(in_turn(twice), lambda client: client.get("/v1/x"))
    assert len(str(answer).splitlines()) == 2


def test_who_watches_is_told_how_to_come_back(stranger: Terminal) -> None:
    """When the server is gone for good: the run may go on without us."""
    run = {"id": "r", "flow": {"name": "f"}, "status": "running"}
    gone = Raw([b""])
    with RecordingServer(in_turn(as_json(run), gone)) as server:
        stranger.environ = {"FLOWRUNNER_SERVER": server.url, "FLOWRUNNER_TOKEN": "fr_live_x"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flowrunner.cli.remote.client._wait", lambda _: None)
            done = stranger("runs", "watch", "r", code=5)
    assert "the connection to http" in done.err
    assert "watch it again: flowrunner runs watch r\n" in done.err


def test_a_delivery_is_shown_with_its_tries(stranger: Terminal) -> None:
    """When each was made, and what the receiver answered."""
    tries = [
        {"at": "2026-11-21T08:00:00.000Z", "duration_ms": 12, "status": 500, "error": None, "response": "no"},
        {"at": "2026-11-21T08:00:05.000Z", "duration_ms": 15_000, "status": None, "error": "no answer", "response": ""},
    ]
    with RecordingServer(in_turn(as_json({"id": "msg_1", "status": "pending", "history": tries}))) as server:
        stranger.environ = {"FLOWRUNNER_SERVER": server.url, "FLOWRUNNER_TOKEN": "fr_live_x"}
        lines = stranger("webhooks", "delivery", "w", "msg_1").out.splitlines()
    assert lines[-3].split() == ["TRIED", "STATUS", "TOOK", "ERROR", "ANSWER"]
    assert lines[-2].split() == ["2026-11-21", "08:00:00Z", "500", "12ms", "no"]
    assert lines[-1].split() == ["2026-11-21", "08:00:05Z", "15s", "no", "answer"]


def test_no_redirect_gets_the_token() -> None:
    """The other server is not even asked."""
    with RecordingServer() as other:
        reply = Reply(302, b"", (("Location", f"{other.url}/v1/x"),))
        answer, _, _ = ask(in_turn(reply), lambda client: client.get("/v1/x"))
        assert isinstance(answer, RemoteError)
        assert other.requests == []


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With its address, and exit code 5."""
    pauses: list[float] = []
    client = Client("http://127.0.0.1:9", "Bearer x", pause=pauses.append)
    with pytest.raises(RemoteError, match=r"http://127\.0\.0\.1:9 cannot be reached.*is it running") as raised:
        client.send("DELETE", "/v1/x")
    assert (raised.value.exit_code, pauses) == (ExitCode.SERVER, [])
    with pytest.raises(RemoteError, match="cannot be reached"):
        client.get("/v1/x")
    assert len(pauses) == 3
    with pytest.raises(RemoteError, match="cannot be reached"):
        list(follow(client, "/v1/runs/r/events"))
    assert len(pauses) == 3 + LOST_IN_A_ROW
    assert capsys.readouterr().err == "the connection to http://127.0.0.1:9 is lost; trying again\n"
    client.close()
    speaks_http = Client("https://127.0.0.1:9", "Bearer x")
    assert "it does not speak https" in str(speaks_http.unreachable(OSError("[SSL: WRONG_VERSION_NUMBER] wrong")))
    assert "[Errno" not in str(speaks_http.unreachable(OSError(111, "Connection refused")))
    speaks_http.close()


@pytest.mark.parametrize("part", ["", ".", "..", "x" * 513])
def test_what_could_be_no_id_is_not_asked_for(part: str) -> None:
    """`..` would be another path."""
    with pytest.raises(NotFound):
        at("/v1/runs/{}", part)


def test_ids_are_quoted() -> None:
    """Whatever is in one, it is one part of the path."""
    assert at("/v1/runs/{}/steps/{}", "a/b?c", "each[1]") == "/v1/runs/a%2Fb%3Fc/steps/each%5B1%5D"


def test_lists_are_read_page_by_page() -> None:
    """As many as wanted, or all; a page has a hundred entries at most."""
    pages = [as_json({"items": [1, 2], "next_cursor": "c"}), as_json({"items": [3], "next_cursor": None})]
    found, requests, _ = ask(in_turn(*pages), lambda client: collect(client, "/v1/x", 1, every=True, q=None))
    assert (found.items, found.more) == ([1, 2, 3], False)
    assert [one.query for one in requests] == [{"limit": "100"}, {"limit": "100", "cursor": "c"}]
    found, requests, _ = ask(in_turn(pages[0]), lambda client: collect(client, "/v1/x", 2, q="a"))
    assert (found.items, found.more, requests[0].query) == ([1, 2], True, {"limit": "2", "q": "a"})


def test_a_stream_that_breaks_goes_on_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """With Last-Event-ID; what comes twice is shown once; a lost and a closed connection are the same."""
    torn = Raw([b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n", stream(0).body])
    route = in_turn(torn, stream(0, 1), BUSY, stream(), stream(1, 2))
    events, requests, pauses = ask(route, lambda client: list(follow(client, "/v1/runs/r/events", {"follow": True})))
    assert events == EVENTS
    sent = [one.headers.get("last-event-id") for one in requests]
    first, second = f"0~{EVENTS[0]['id']}", f"1~{EVENTS[1]['id']}"
    assert sent == [None, first, second, second, second]
    assert requests[0].headers["accept"] == "text/event-stream"
    assert pauses[:2] == [0.1, 0.1]
    told = capsys.readouterr().err.splitlines()
    assert (told[0], len(told)) == ("the server answered 503; trying again in 2 s", 2)
    assert 2.0 in pauses


def test_a_stream_that_never_says_anything_is_given_up() -> None:
    """Nobody waits for ever for a server that closes the stream at once."""
    answer, requests, _ = ask(in_turn(stream()), lambda client: list(follow(client, "/v1/runs/r/events")))
    assert (answer.exit_code, len(requests)) == (ExitCode.SERVER, LOST_IN_A_ROW + 1)
    assert "again and again" in str(answer)


@pytest.mark.parametrize("data", ["nonsense", "[]", "{}"])
def test_a_stream_of_something_else_is_refused(data: str) -> None:
    """In words, without a traceback."""
    reply = Reply(200, f"data: {data}\n\n".encode(), (("Content-Type", "text/event-stream"),))
    answer, _, _ = ask(in_turn(reply), lambda client: list(follow(client, "/v1/runs/r/events")))
    assert "does not answer like a flowrunner server" in str(answer)


def test_a_stream_that_is_refused_says_why() -> None:
    """A run that is not there, a token that was revoked."""
    answer, requests, _ = ask(in_turn(error(404, "gone")), lambda client: list(follow(client, "/v1/runs/r/events")))
    assert (answer.exit_code, len(requests)) == (ExitCode.NOT_FOUND, 1)
