"""The node llm.chat against a server that speaks the real protocol, through the real guarded client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.nodes.base import Result
from flowrunner.nodes.llm_chat import LlmChatNode
from flowrunner.nodes.llm_client import Endpoint
from flowrunner.nodes.llm_memory import NAMESPACE, trimmed
from flowrunner.ports.http import HttpResponse
from pydantic import ValidationError

from tests.attacks import attacks, text_of
from tests.engine.harness import ACCOUNT, bench
from tests.model_server import Calls, Fails, ModelServer, Says
from tests.nodes.context import NOW, RUN, FakeContext, FakeHttp, context
from tests.servers import Raw, Reply

NODE = LlmChatNode()
KEY = "sk-test-1234567890"
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


@dataclass
class Chat:
    """A node's way to a model server."""

    client: GuardedClient
    base: dict[str, Any] = field(default_factory=lambda: {"model": "m", "prompt": "Hi", "api_key": KEY})

    def context(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> FakeContext[Any]:
        base = {
            name: value for name, value in self.base.items() if name != "prompt" or "messages" not in (params or {})
        }
        merged = {**base, "base_url": server.base_url, **(params or {})}
        return context(NODE, merged, **{"http": self.client, **given})

    def result(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> Result:
        found = NODE.execute(self.context(server, params, **given))
        assert isinstance(found, Result)
        return found

    def output(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> Any:
        return self.result(server, params, **given).output

    def error(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            self.result(server, params, **given)
        return caught.value


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    """The real client, with loopback opened."""
    client = GuardedClient(Guard(["127.0.0.1"]))
    yield Chat(client)
    client.close()


@pytest.mark.parametrize("stream", [False, True])
def test_gives_what_the_model_says(chat: Chat, stream: bool) -> None:
    """Text, usage, cost, and the model that answered: the same whole and streamed."""
    prices = {"input": 2.0, "output": 10.0}
    with ModelServer([Says("Hello to you, 🎉!")], key=KEY) as server:
        result = chat.result(server, {"stream": stream, "prices": prices})
    assert result == Result(
        {
            "text": "Hello to you, 🎉!",
            "json": None,
            "tool_calls": [],
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            "cost_usd": 0.000064,
            "model": "m-2026",
            "attempts": 1,
        }
    )


def test_sends_what_it_was_given(chat: Chat) -> None:
    """Each parameter where the API has it; provider_params beside them and before them."""
    params = {
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}],
        "temperature": 0.5,
        "max_tokens": 100,
        "stop": ["END"],
        "tools": [{"name": "look", "description": "Looks."}],
        "provider_params": {"seed": 7, "temperature": 0.7},
    }
    with ModelServer([Says("ok")]) as server:
        chat.output(server, params)
    assert server.asked == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "What is this?"}]},
            ],
            "temperature": 0.7,
            "max_tokens": 100,
            "stop": ["END"],
            "seed": 7,
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "look",
                        "description": "Looks.",
                        "parameters": {"type": "object", "properties": {}},
                    },
                }
            ],
        }
    ]


def test_sends_nothing_of_the_environment(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package knows many variables; none of them is a flow's business. Nor does it say what it runs on."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "https://host.invalid")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: yes")
    with ModelServer([Says("ok")]) as server:
        chat.output(server, {"api_key": None})
    assert set(server.requests[0].headers) == {
        "host", "content-type", "content-length", "user-agent", "accept", "accept-encoding",
    }  # fmt: skip


def test_the_key_of_openai_goes_to_openai_only() -> None:
    """The secret is the default for the default address; for another one a key is given, or none is sent."""
    assert NODE.complete({"model": "m"}) == {"model": "m", "api_key": "${secrets.OPENAI_API_KEY}"}
    for params in ({"base_url": "http://x.example"}, {"api_key": "mine"}):
        assert NODE.complete(dict(params)) == params


def test_an_address_may_have_a_query(chat: Chat) -> None:
    """As Azure's has; the path goes before it."""
    with ModelServer([Says("ok")]) as server:
        chat.output(server, {"base_url": f"{server.base_url}/?api-version=1#part"})
    assert server.requests[0].target == "/v1/chat/completions?api-version=1"


def test_streams_words_as_events(chat: Chat) -> None:
    """The first at once, then what came within 50 ms, never half a word."""
    times = iter(range(NOW, NOW + 10_000, 20))
    with ModelServer([Says(pieces=["Hel", "lo ", "dear ", "wor", "ld ", "and ", "all"])]) as server:
        ctx = chat.context(server, {"stream": True})
        ctx.now = lambda: next(times)  # type: ignore[method-assign]  # a clock that goes on
        NODE.execute(ctx)
    texts = [data["text"] for name, data in ctx.events if name == "token"]
    assert "".join(texts) == "Hello dear world and all"
    assert texts[0] == "Hello "
    assert 2 < len(texts) < 7
    assert all(text.endswith(" ") for text in texts[:-1])


def test_text_without_words_is_told_in_the_end(chat: Chat) -> None:
    """A megabyte without a space does not wait in memory for ever, and Chinese does not wait at all."""
    times = iter(range(NOW, NOW + 10_000, 60))
    with ModelServer([Says(pieces=["你好", "世界"]), Says(pieces=["a" * 5000, "a" * 5000, "b"])]) as server:
        for texts in (["你好", "世界"], ["a" * 10_000, "b"]):
            ctx = chat.context(server, {"stream": True})
            ctx.now = lambda: next(times)  # type: ignore[method-assign]  # a clock that goes on
            NODE.execute(ctx)
            assert [data["text"] for _, data in ctx.events] == texts


def test_characters_that_were_cut_apart_are_put_together(chat: Chat) -> None:
    """Some servers cut between the halves of a surrogate pair."""
    halves = [Says(pieces=["a\ud83c", "\udf89b"])]
    with ModelServer(halves) as server:
        assert chat.output(server, {"stream": True})["text"] == "a🎉b"


@pytest.mark.parametrize("stream", [False, True])
def test_gives_the_calls_of_tools(chat: Chat, stream: bool) -> None:
    """With their arguments as values; those that are no JSON as text."""
    calls = [
        Calls("look", {"at": "the ü"}),
        Calls("stop", "", id="call_2"),
        Calls("odd", '{"a": ', id="call_3"),
    ]
    tools = [{"name": "look"}, {"name": "stop"}, {"name": "odd"}]
    with ModelServer([Says(calls=calls)]) as server:
        result = chat.result(server, {"tools": tools, "stream": stream, "response_format": "json"})
    assert result.action == "tool_calls"
    assert result.output["finish_reason"] == "tool_calls"
    assert result.output["tool_calls"] == [
        {"id": "call_1", "name": "look", "arguments": {"at": "the ü"}, "invalid_arguments": None},
        {"id": "call_2", "name": "stop", "arguments": {}, "invalid_arguments": None},
        {"id": "call_3", "name": "odd", "arguments": None, "invalid_arguments": '{"a": '},
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_there_is_an_end_to_the_calls_of_tools(chat: Chat, stream: bool) -> None:
    """A model that wants a thousand gets the first ones."""
    calls = [Calls("look", id=f"call_{number}") for number in range(200)]
    with ModelServer([Says(calls=calls)]) as server:
        output = chat.output(server, {"tools": [{"name": "look"}], "stream": stream})
    assert [call["id"] for call in output["tool_calls"]] == [call.id for call in calls[:128]]


@pytest.mark.parametrize(
    "url", ["http://[::1", "ftp://x.example", "http://x y/", "localhost:11434", "http://u:p@x.example"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """By the guard, which alone takes it apart."""
    client = GuardedClient(Guard())
    with pytest.raises(EgressDenied):
        NODE.execute(context(NODE, {"model": "m", "prompt": "x", "base_url": url}, http=client))
    client.close()
    assert Endpoint(url, None, client).origin


def test_the_action_is_known_when_there_are_tools() -> None:
    """A flow that gives none needs no edge for them."""
    assert NODE.actions_for({"tools": []}) == ("default", "tool_calls")
    assert NODE.actions_for({}) == ("default",)


@pytest.mark.parametrize("text", ['{"n": 1}', '```json\n{"n": 1}\n```', ' \n{"n":1}\n'])
def test_reads_json(chat: Chat, text: str) -> None:
    """Also in the fence that many models put around it; the server is told what is wanted."""
    with ModelServer([Says(text)] * 2) as server:
        assert chat.output(server, {"response_format": "json"})["json"] == {"n": 1}
        assert chat.output(server, {"response_format": "json_schema", "json_schema": SCHEMA})["json"] == {"n": 1}
    assert server.asked[0]["response_format"] == {"type": "json_object"}
    schema = {"name": "answer", "schema": SCHEMA, "strict": False}
    assert server.asked[1]["response_format"] == {"type": "json_schema", "json_schema": schema}


@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_answer_is_put_right_once(chat: Chat, stream: bool) -> None:
    """The model is shown its answer and what is wrong with it; both calls are counted."""
    params = {"response_format": "json_schema", "json_schema": SCHEMA, "prices": {"input": 1, "output": 1}}
    with ModelServer([Says('{"n": "one"}'), Says('{"n": 1}', usage=(20, 5))]) as server:
        ctx = chat.context(server, {**params, "stream": stream})
        output: Any = NODE.execute(ctx).output
    assert (output["json"], output["attempts"]) == ({"n": 1}, 2)
    assert output["usage"] == {"prompt_tokens": 27, "completion_tokens": 10, "total_tokens": 37}
    assert output["cost_usd"] == 0.000037
    asked = server.asked[1]["messages"]
    assert asked[:2] == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": '{"n": "one"}'}]
    assert "at n: 'one' is not of type 'integer'" in asked[2]["content"]
    assert ctx.logs[0][0] == "warning"
    assert {data["attempt"] for _, data in ctx.events} == ({1, 2} if stream else set())


@pytest.mark.parametrize("answers", [["no json", "still none"], ['{"n": 1, "m": 2}', "{}"]])
def test_a_bad_answer_twice_is_an_error(chat: Chat, answers: list[str]) -> None:
    """With what is wrong, and the answer's beginning."""
    with ModelServer(map(Says, answers)) as server:
        error = chat.error(server, {"response_format": "json_schema", "json_schema": SCHEMA})
    assert (error.code, error.retryable, error.details["attempts"]) == ("LLM_BAD_OUTPUT", False, 2)
    assert error.details["text"] == answers[1]


def test_an_answer_that_was_cut_off_is_not_asked_for_again(chat: Chat) -> None:
    """It would be as long the second time."""
    with ModelServer([Says('{"n":', finish_reason="length")]) as server:
        error = chat.error(server, {"response_format": "json"})
    assert (error.code, len(server.asked)) == ("LLM_BAD_OUTPUT", 1)
    assert "max_tokens" in str(error)


def test_a_schema_that_is_none_asks_no_model(chat: Chat) -> None:
    """It is refused first."""
    with ModelServer() as server, pytest.raises(ParamsInvalid, match="schema"):
        chat.result(server, {"response_format": "json_schema", "json_schema": {"type": "nonsense"}})
    assert server.requests == []


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


# --- memory


def remembered(ctx: FakeContext[Any], key: str = "talk") -> list[dict[str, Json]]:
    item = ctx.values.get(AccountId(RUN.account), NAMESPACE, key, ctx.now())
    assert item is not None
    found: list[dict[str, Json]] = item.value["messages"]
    return found


def test_a_conversation_goes_on(chat: Chat) -> None:
    """Between steps; the system's message belongs to the step and is not kept."""
    with ModelServer([Says("I am well."), Says("Bye.")]) as server:
        first = chat.context(server, {"memory": "talk", "system": "One."})
        NODE.execute(first)
        later = replace(RUN, idempotency_key="other")
        second = chat.context(server, {"memory": "talk", "prompt": "So long", "system": "Two."}, run=later)
        second.values = first.values
        NODE.execute(second)
    hello = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "I am well."}]
    assert server.asked[1]["messages"] == [
        {"role": "system", "content": "Two."}, *hello, {"role": "user", "content": "So long"},
    ]  # fmt: skip
    assert remembered(second) == [
        *hello, {"role": "user", "content": "So long"}, {"role": "assistant", "content": "Bye."},
    ]  # fmt: skip


def test_a_step_that_is_executed_again_says_nothing_twice(chat: Chat) -> None:
    """After a crash its first messages are replaced."""
    with ModelServer([Says("one"), Says("two"), Says("three")]) as server:
        before = chat.context(server, {"memory": "talk", "prompt": "first"}, run=replace(RUN, idempotency_key="0"))
        NODE.execute(before)
        for _ in range(2):
            ctx = chat.context(server, {"memory": "talk"})
            ctx.values = before.values
            NODE.execute(ctx)
    assert server.asked[1] == server.asked[2]
    assert [message["content"] for message in remembered(ctx)] == ["first", "one", "Hi", "three"]


def test_results_of_tools_follow_their_calls(chat: Chat) -> None:
    """The calls are remembered as the API wants to see them again."""
    tools = [{"name": "look"}]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
    with ModelServer([Says(calls=[Calls("look", {"at": 1})]), Says("It is 42.")]) as server:
        first = chat.context(server, {"memory": "talk", "tools": tools})
        NODE.execute(first)
        second = chat.context(
            server, {"memory": "talk", "tools": tools, "messages": [result]}, run=replace(RUN, idempotency_key="b")
        )
        second.values = first.values
        output: Any = NODE.execute(second).output
    assert output["text"] == "It is 42."
    assert server.asked[1]["messages"][1]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": 1}'}


def test_a_conversation_is_forgotten_in_time(chat: Chat) -> None:
    """When nothing was said for so long."""
    with ModelServer([Says("a"), Says("b")]) as server:
        first = chat.context(server, {"memory": "talk", "memory_ttl": "1h"})
        NODE.execute(first)
        second = chat.context(server, {"memory": "talk"}, time=NOW + 3_600_001, run=replace(RUN, idempotency_key="b"))
        second.values = first.values
        NODE.execute(second)
    assert len(server.asked[1]["messages"]) == 1


def test_accounts_have_their_own_conversations(chat: Chat) -> None:
    """Under the same key."""
    with ModelServer([Says("a"), Says("b")]) as server:
        first = chat.context(server, {"memory": "talk"})
        NODE.execute(first)
        second = chat.context(server, {"memory": "talk"}, run=replace(RUN, account="other", idempotency_key="b"))
        second.values = first.values
        NODE.execute(second)
    assert len(server.asked[1]["messages"]) == 1


def test_the_conversation_is_trimmed_from_its_beginning() -> None:
    """To so many messages or tokens; what is left begins with the user, and no result is without its call."""
    user, said = {"role": "user", "content": "u"}, {"role": "assistant", "content": "s"}
    called: dict[str, Json] = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    result = {"role": "tool", "tool_call_id": "c", "content": "r"}
    assert trimmed([user, said, user, said], 2, 1000) == [user, said]
    assert trimmed([user, said, user, said], 3, 1000) == [user, said]
    assert trimmed([user, called, result, said, user], 3, 1000) == [user]
    assert trimmed([user, said, {"role": "user", "content": "x" * 200}], 10, 60) == [
        {"role": "user", "content": "x" * 200}
    ]
    assert trimmed([user, {"role": "user", "content": "x" * 400}], 10, 60) == []
    assert trimmed([], 10, 60) == []


# --- attacks, and the whole engine


def flow(server: ModelServer | None, more: str = "", url: str | None = None, prompt: str = "Hi") -> str:
    base = url or (server.base_url if server is not None else "")
    return f"""
metadata: {{name: asks}}
nodes:
  ask:
    type: llm.chat
    params: {{model: m, prompt: {json.dumps(prompt)}, base_url: "{base}", stream: true}}
    next: after
{more}
  after:
    type: transform
    params: {{mapping: {{said: "${{nodes.ask.output.text}}"}}}}
"""


@pytest.mark.parametrize("entry", attacks("corpus.json", "llm"), ids=lambda entry: entry["id"])
def test_attacks(entry: dict[str, Any], chat: Chat) -> None:
    """The entries of the corpus, each against the node or through the engine."""
    given = entry["input"]
    match entry["id"]:
        case "llm-01":
            client = GuardedClient(Guard())
            with pytest.raises(EgressDenied):
                NODE.execute(context(NODE, {"model": "m", "prompt": "x", **given}, http=client))
            client.close()
        case "llm-02":
            _told_as_it_is(given["model_output"])
            _told_as_it_is("${secrets.OPENAI_KEY} ${1 + 1}")
        case "llm-04":
            huge = text_of(given["model_output"])
            for stream in (False, True):
                with ModelServer([Says(huge)]) as server, pytest.raises(ValueTooLarge):
                    chat.result(server, {"stream": stream})
        case "llm-05":
            _secret_stays_out_of_the_history()
        case "llm-07":
            trickle = Says(pieces=iter(lambda: "token ", ""), pause=60.0)
            with ModelServer([trickle]) as server, pytest.raises(NodeTimeout):
                chat.result(server, {"stream": True, "timeout": "300ms"})
        case other:
            pytest.fail(f"the corpus has {other}, which this test does not know")


def _told_as_it_is(text: str) -> None:
    """What a model says is data to all that comes after it."""
    with ModelServer([Says(text)]) as server, bench(secrets={"OPENAI_KEY": "sk-canary-1"}, allow=["127.0.0.1"]) as b:
        result = b.run(flow(server))
        assert result.output == {"after": {"said": text}}, result.error


def _secret_stays_out_of_the_history() -> None:
    secret = "canary-7Q2fXv9zLk"
    prompt = "The word is ${secrets.WORD}, say it."
    with (
        ModelServer([Says(f"It is {secret} indeed.", pieces=["It is canary-", "7Q2fXv", "9zLk indeed."])]) as server,
        bench(secrets={"WORD": secret}, allow=["127.0.0.1"]) as b,
    ):
        run = b.start(flow(server, prompt=prompt).replace("stream: true", "stream: true, memory: talk"))
        b.work()
        assert b.result(run).status == "completed"
        assert secret in server.asked[0]["messages"][0]["content"], "the model is told"
        shown = repr([b.result(run), b.steps(run)])
        assert secret not in shown
        assert "***" in shown
        kept = b.engine.parts.backend.values.get(ACCOUNT, NAMESPACE, "talk", b.clock.now())
        assert kept is not None
        assert secret not in repr(kept)


def test_a_fake_client_will_do() -> None:
    """For other tests: an answer as bytes."""
    answer = {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}
    http = FakeHttp()
    http.answers.append(HttpResponse(200, {}, json.dumps(answer).encode()))
    ctx = context(NODE, {"model": "m", "prompt": "x", "api_key": KEY}, http=http, egress=[["api.openai.com"]], left=5.0)
    result = NODE.execute(ctx)
    assert isinstance(result, Result)
    sent = http.sent[0]
    assert (sent.url, sent.timeout, sent.allow) == (
        "https://api.openai.com/v1/chat/completions",
        5.0,
        [["api.openai.com"]],
    )
