"""Twenty conversations with a scripted model, and how each of them ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flowrunner.core.flow import Json

from tests.model_server import Calls, Fails, Says, Turn
from tests.servers import Raw, Reply

ADD = {
    "name": "add",
    "description": "Adds numbers.",
    "parameters": {
        "type": "object",
        "required": ["numbers"],
        "properties": {"numbers": {"type": "array", "items": {"type": "number"}}},
    },
    "script": "return args.numbers.reduce((sum, one) => sum + one, 0) // `${args}` is no expression here",
}
CRASH = {"name": "crash", "script": "throw new Error('out of paper')"}
SPIN = {"name": "spin", "script": "for (;;) {}"}
KEEP = {"name": "keep", "store": {"op": "set", "key": "${input.key}", "value": "${input.value}"}}
LOOK = {"name": "look", "store": {"op": "get", "key": "${input.key}"}, "result": "${nodes.call.output.value}"}
DOUBLE = {"name": "double", "flow": "double"}
SHOUT = {"name": "shout", "node": {"type": "transform", "params": {"value": "${input.text.toUpperCase()}"}}}
PAY = {
    "name": "pay",
    "script": "return `paid ${args.amount}`",
    "approval": {"message": "Pay ${input.amount}?", "timeout": "1h"},
}
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
MALFORMED = Reply(200, b'{"choices": [{"message": ', (("Content-Type", "application/json"),))
CUT = Raw([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"])


def calls(*wanted: Calls, **said: Any) -> Says:
    """An answer that wants tools called."""
    return Says(calls=wanted, **said)


@dataclass(frozen=True)
class Talk:
    """A conversation.

    `text` is the final answer, or `error` the code with which the step fails. `told` are, in order, parts of what the
    model was told by results of tools, `asked` the number of its calls (one a turn unless given).
    """

    script: Sequence[Turn]
    tools: Sequence[Json] = ()
    params: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    error: str | None = None
    told: Sequence[str] = ()
    asked: int | None = None
    decides: dict[str, Json] | None = None
    output: dict[str, Json] = field(default_factory=dict)


TALKS: dict[str, Talk] = {
    "an answer at once": Talk([Says("Hello.")], text="Hello.", output={"turns": 1, "tool_calls": 0}),
    "one tool": Talk(
        [calls(Calls("add", {"numbers": [2, 3]})), Says("5")], [ADD], text="5", told=["5"], output={"tool_calls": 1}
    ),
    "parallel tools of every kind, with ids given twice": Talk(
        [
            calls(
                Calls("add", {"numbers": [1]}),
                Calls("keep", {"key": "a", "value": 7}),
                Calls("double", {"x": 4}),
                Calls("shout", {"text": "hi"}),
            ),
            calls(Calls("look", {"key": "a"})),
            Says("done"),
        ],
        [ADD, KEEP, LOOK, DOUBLE, SHOUT],
        text="done",
        told=["1", '{"key":"a","value":7}', '{"twice":8}', "HI", "7"],
        output={"turns": 3, "tool_calls": 5},
    ),
    "arguments that do not fit": Talk(
        [calls(Calls("add", {"numbers": "2"})), calls(Calls("add", {"numbers": [2]})), Says("2")],
        [ADD],
        text="2",
        told=["ARGUMENTS_INVALID", "2"],
    ),
    "arguments that are no JSON": Talk(
        [calls(Calls("add", '{"numbers": [2')), Says("sorry")], [ADD], text="sorry", told=["not a JSON object"]
    ),
    "arguments that are no object": Talk(
        [calls(Calls("add", "[1]")), Says("sorry")], [ADD], text="sorry", told=["not a JSON object"]
    ),
    "an unknown tool": Talk(
        [calls(Calls("subtract")), Says("sorry")], [ADD], text="sorry", told=["there is no tool 'subtract'"]
    ),
    "a tool that crashes": Talk(
        [calls(Calls("crash"), Calls("add", {"numbers": [1]})), Says("ok")],
        [ADD, CRASH],
        text="ok",
        told=["out of paper", "1"],
    ),
    "a tool that never ends": Talk([calls(Calls("spin")), Says("ok")], [SPIN], text="ok", told=["SCRIPT"]),
    "a node that fails": Talk(
        [calls(Calls("shout", {})), Says("ok")], [SHOUT], text="ok", told=["toUpperCase"], output={"tool_calls": 1}
    ),
    "an endless loop": Talk(
        [calls(Calls("add", {"numbers": [1]}))] * 9,
        [ADD],
        {"max_turns": 3},
        error="AGENT_MAX_TURNS",
        told=["1", "1"],
        asked=3,
    ),
    "an endless loop that is told to answer": Talk(
        [*[calls(Calls("add", {"numbers": [1]}))] * 2, Says("about 1")],
        [ADD],
        {"max_turns": 2, "on_limit": "answer"},
        text="about 1",
        told=["1", "Not called"],
        output={"limit": "turns", "turns": 3, "tool_calls": 1},
    ),
    "a budget of tokens that is exhausted": Talk(
        [calls(Calls("add", {"numbers": [1]}), usage=(90, 10))] * 9,
        [ADD],
        {"max_total_tokens": 200},
        error="AGENT_BUDGET_EXCEEDED",
        told=["1"],
        asked=2,
    ),
    "a budget of money that is exhausted": Talk(
        [calls(Calls("add", {"numbers": [1]}), usage=(1000, 0))] * 9,
        [ADD],
        {"max_cost_usd": 0.02, "prices": {"input": 10, "output": 1}},
        error="AGENT_BUDGET_EXCEEDED",
        told=["1"],
        asked=2,
    ),
    "an approval that is given": Talk(
        [calls(Calls("pay", {"amount": 5})), Says("paid")],
        [PAY],
        text="paid",
        told=["paid 5"],
        decides={"approved": True, "by": "Ada"},
    ),
    "an approval that is refused": Talk(
        [calls(Calls("pay", {"amount": 5}), Calls("add", {"numbers": [1]})), Says("not paid")],
        [PAY, ADD],
        text="not paid",
        told=["refused this call: too much", "1"],
        decides={"approved": False, "comment": "too much"},
    ),
    "an approval that nobody gives": Talk(
        [calls(Calls("pay", {"amount": 5})), Says("not paid")], [PAY], text="not paid", told=["refused this call"]
    ),
    "a server's answer that is malformed, then one that is cut off": Talk(
        [MALFORMED, CUT, Says("at last")], text="at last", asked=3, output={"turns": 1}
    ),
    "a stream that is cut in the middle": Talk(
        [Says("Half of", cut=True), Says("the whole")], (), {"stream": True}, text="the whole", asked=2
    ),
    "a server that is busy, then lets go on": Talk(
        [calls(Calls("add", {"numbers": [1]})), Fails(429, "rate_limit_exceeded"), Says("1")],
        [ADD],
        text="1",
        told=["1"],
        asked=3,
    ),
    "a server that never recovers": Talk([Fails(503)] * 4, (), {"attempts": 3}, error="LLM_SERVER", asked=3),
    "a conversation that is too long for the model": Talk(
        [
            calls(Calls("add", {"numbers": [1]})),
            calls(Calls("add", {"numbers": [2]})),
            Fails(400, "context_length_exceeded"),
            Says("It was 1 first."),
            Says("3"),
        ],
        [ADD],
        text="3",
        told=["2"],
        asked=5,
        output={"turns": 3},
    ),
    "a task that is too long for the model": Talk(
        [Fails(400, "context_length_exceeded")], error="LLM_CONTEXT_OVERFLOW", asked=1
    ),
    "a key that is wrong": Talk([Fails(401, "invalid_api_key")], error="LLM_AUTH", asked=1),
    "a final answer that is put right": Talk(
        [Says("five"), Says('{"n": "5"}'), Says('{"n": 5}')],
        (),
        {"json_schema": SCHEMA},
        text='{"n": 5}',
        output={"json": {"n": 5}, "turns": 3},
    ),
    "a final answer that stays bad": Talk(
        [Says("five")] * 5, (), {"json_schema": SCHEMA}, error="LLM_BAD_OUTPUT", asked=3
    ),
    "a model that refuses": Talk([Says(refusal="I will not")], error="LLM_REFUSED", asked=1),
    "a flow that is not there": Talk(
        [calls(Calls("gone"))], [{"name": "gone", "flow": "gone"}], error="FLOW_NOT_FOUND", asked=0
    ),
    "a tool of a type that there is not": Talk(
        [calls(Calls("odd"))], [{"name": "odd", "node": {"type": "no.such"}}], error="FLOW_INVALID", asked=1
    ),
}
