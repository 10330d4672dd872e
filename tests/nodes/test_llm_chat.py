"""The node llm.chat against a server that speaks the real protocol, through the real guarded client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, ValueTooLarge
from flowrunner.nodes.base import Result
from flowrunner.nodes.llm_client import Endpoint
from flowrunner.nodes.llm_memory import NAMESPACE
from flowrunner.ports.http import HttpResponse

from tests.attacks import attacks, text_of
from tests.engine.harness import ACCOUNT, bench
from tests.model_server import Calls, ModelServer, Says
from tests.nodes.chatting import KEY, NODE, SCHEMA, Chat, flow
from tests.nodes.context import NOW, FakeHttp, context


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


# --- attacks, and the whole engine


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
