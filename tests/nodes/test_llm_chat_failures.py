"""The node llm.chat when the model, its server, the way there or the parameters are at fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import NodeTimeout
from pydantic import ValidationError

from tests.engine.harness import bench
from tests.model_server import Fails, ModelServer, Says
from tests.nodes.chatting import KEY, NODE, Chat, flow
from tests.nodes.context import context
from tests.servers import Raw, Reply


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    """The real client, with loopback opened."""
    client = GuardedClient(Guard(["127.0.0.1"]))
    yield Chat(client)
    client.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("turn", "code", "retryable"),
    [
        (Fails(401, "invalid_api_key", f"bad key {KEY}"), "LLM_AUTH", False),
        (Fails(403), "LLM_AUTH", False),
        (Fails(404, "model_not_found"), "LLM_MODEL_NOT_FOUND", False),
        (Fails(404), "LLM_MODEL_NOT_FOUND", False),
        (Fails(400, "context_length_exceeded"), "LLM_CONTEXT_OVERFLOW", False),
        (Fails(400, None, "This model's maximum context length is 8 tokens"), "LLM_CONTEXT_OVERFLOW", False),
        (Fails(400, "content_filter"), "LLM_REFUSED", False),
        (Fails(400, "invalid_value", "temperature\nis bad"), "LLM_REQUEST", False),
        (Fails(429, "rate_limit_exceeded"), "LLM_RATE_LIMIT", True),
        (Fails(429, "insufficient_quota"), "LLM_RATE_LIMIT", False),
        (Fails(500), "LLM_SERVER", True),
        (Reply(503, b"<html>down</html>"), "LLM_SERVER", True),
        (Reply(302, headers=(("Location", "http://169.254.169.254/"),)), "LLM_REQUEST", False),
        (Says(refusal="I will not."), "LLM_REFUSED", False),
        (Says(finish_reason="content_filter"), "LLM_REFUSED", False),
    ],
)
def test_each_failure_has_its_code(chat: Chat, turn: Any, code: str, retryable: bool, stream: bool) -> None:
    """Whatever the server, and never with the key in the text."""
    with ModelServer([turn]) as server:
        error = chat.error(server, {"stream": stream})
    assert (error.code, error.retryable) == (code, retryable)
    assert KEY not in str(error) + json.dumps(error.details)
    assert "\n" not in str(error)
    assert len(server.requests) == 1, "only the node's retry tries again"


@pytest.mark.parametrize(
    "turn", [Fails(429, headers=(("Retry-After", "17"),)), Fails(503, headers=(("Retry-After", "17"),))]
)
def test_the_servers_wait_is_kept(chat: Chat, turn: Fails) -> None:
    """`Retry-After` is for the engine."""
    with ModelServer([turn]) as server:
        assert chat.error(server).retry_after == 17.0


def test_a_rate_limit_is_waited_out() -> None:
    """Through the engine: the second attempt comes when the server said so, and not before."""
    with ModelServer([Fails(429, headers=(("Retry-After", "40"),)), Says("at last")]) as server:
        document = flow(server, "    retry: {max_attempts: 2, delay: 1s, jitter: none}")
        with bench(allow=["127.0.0.1"]) as b:
            began = b.clock.now()
            result = b.run(document, {})
            assert (result.status, b.clock.now() - began >= 40_000) == ("completed", True)


CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "so "}, "finish_reason": null}]}\n\n'


@pytest.mark.parametrize(
    ("turn", "code"),
    [
        (Says("cut in the middle", cut=True), "LLM_SERVER"),
        (Reply(chunks=[CHUNK, b'data: {"error": {"message": "gone", "code": "server_error"}}\n\n']), "LLM_SERVER"),
        (Reply(chunks=[CHUNK, b'data: {"error": {"message": "less", "code": "rate_limit_exceeded"}}\n\n']), "LLM_RATE_LIMIT"),
        (Reply(chunks=[CHUNK, b'data: {"error": "just so"}\n\n']), "LLM_SERVER"),
        (Reply(chunks=[CHUNK, b"data: {no json\n\n"]), "LLM_SERVER"),
        (Reply(chunks=[b"data: " + b"[" * 100_000 + b"\n\n"]), "LLM_SERVER"),
        (Reply(chunks=[b'data: [1, "x", null]\n\n', b"data: null\n\n", b'data: {"choices": 7}\n\n']), "LLM_SERVER"),
        (Reply(body=b'{"choices": []}'), "LLM_SERVER"),
        (Raw([b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", CHUNK]), "HttpConnect"),
    ],
)  # fmt: skip
def test_a_stream_that_goes_wrong_may_be_tried_again(chat: Chat, turn: Any, code: str) -> None:
    """Cut off, an error in its middle, no JSON, not the protocol: never half an answer."""
    with ModelServer([turn]) as server:
        error = chat.error(server, {"stream": True})
    assert (error.code, error.retryable) == (code, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [7]}',
        b'{"choices": {"0": 1}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_an_answer_that_is_none_may_be_tried_again(chat: Chat, body: bytes) -> None:
    """Whatever it is instead."""
    with ModelServer([Reply(body=body, headers=(("Content-Type", "application/json"),))]) as server:
        error = chat.error(server)
    assert (error.code, error.retryable) == ("LLM_SERVER", True)


def test_odd_parts_of_an_answer_are_left_out(chat: Chat) -> None:
    """Servers leave out what others give; no part is taken for what it is not."""
    message = {"content": 7, "tool_calls": [None, {"function": {"name": "a", "arguments": {"no": "text"}}}]}
    value = {"choices": [{"message": message}], "usage": {"prompt_tokens": -1}, "model": 5}
    with ModelServer([Reply(body=json.dumps(value).encode())]) as server:
        output = chat.output(server, {"prices": {"input": 1, "output": 1}})
    assert [call["name"] for call in output["tool_calls"]] == ["", "a"]
    assert (output["text"], output["usage"], output["cost_usd"], output["model"]) == ("", None, None, "m")


def test_what_is_not_counted_is_not_made_up(chat: Chat) -> None:
    """No usage; or one of the two calls only."""
    with ModelServer([Says("ok", usage=None), Says("no", usage=None), Says("{}")]) as server:
        assert chat.output(server)["usage"] is None
        assert chat.output(server, {"response_format": "json"})["usage"]["total_tokens"] == 12


def test_a_cancelled_run_stops_the_stream(chat: Chat) -> None:
    """In the middle, while the model says nothing for minutes."""
    slow = Says(pieces=iter(lambda: "word ", ""), pause=60.0)
    with ModelServer([slow]) as server:
        asked = iter([False, False])
        ctx = chat.context(server, {"stream": True, "timeout": "1h"})
        ctx.cancelled = lambda: next(asked, True)  # type: ignore[method-assign]  # cancelled after a moment
        with pytest.raises(NodeTimeout):
            NODE.execute(ctx)


@pytest.mark.parametrize(
    "params",
    [
        {"prompt": None},
        {"messages": [{"role": "user", "content": "x"}], "prompt": "y"},
        {"response_format": "json_schema"},
        {"json_schema": {}},
        {"provider_params": {"messages": []}},
        {"provider_params": {"model": "other"}},
        {"provider_params": {"stream": True}},
        {"messages": [{"role": "root", "content": "x"}], "prompt": None},
        {"temperature": float("nan")},
        {"tools": [{"name": "a b"}]},
        {"memory": "a\0b"},
        {"prices": {"input": -1, "output": 1}},
        {"max_tokens": 0},
        {"timeout": 0},
        {"unknown": 1},
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any]) -> None:
    """Before anything is asked."""
    with pytest.raises(ValidationError):
        context(NODE, {"model": "m", "prompt": "x", **params})


@pytest.mark.parametrize("key", ["line\nend", "sk-ü", "a\r\nX-Other: 1"])
def test_a_key_that_no_header_can_hold_is_refused(chat: Chat, key: str) -> None:
    """And not shown."""
    with ModelServer() as server:
        error = chat.error(server, {"api_key": key})
        assert (error.code, server.requests) == ("PARAMS_INVALID", [])
        assert key not in str(error)
