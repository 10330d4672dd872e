"""Conversations that the node llm.chat remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId
from flowrunner.nodes.llm_memory import NAMESPACE, trimmed

from tests.model_server import Calls, ModelServer, Says
from tests.nodes.chatting import NODE, Chat
from tests.nodes.context import NOW, RUN, FakeContext


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    """The real client, with loopback opened."""
    client = GuardedClient(Guard(["127.0.0.1"]))
    yield Chat(client)
    client.close()


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
