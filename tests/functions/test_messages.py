"""Events of SQS: each message is handled or named as failed, and nothing is ever raised."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.errors import ConfigurationError, UnreadableMessage
from flowrunner.functions.messages import SHOWN, Messages, adopter_of
from flowrunner.functions.observing import Observed
from flowrunner.ports.queue import Delivery, Receipt
from flowrunner.settings import Settings
from flowrunner.testing import TurnedClock

from tests.functions.installation import Context

pytestmark = pytest.mark.usefixtures("quiet_logging")


def receipt(name: str) -> Receipt:
    """The receipt of a step called `name`."""
    return Receipt(AccountId("acme"), RunId("run"), StepId(name), 1)


def adopt(records: Sequence[Mapping[str, Any]]) -> list[Delivery]:
    """The queue's part: a body is the step's name; `?` is none."""
    if any(record["body"].startswith("?") for record in records):
        raise UnreadableMessage("a message is not one of flowrunner's")
    return [Delivery(receipt(record["body"]), 1) for record in records]


def event(*bodies: str) -> dict[str, Any]:
    """An event with these messages, called m0, m1 and so on."""
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}


def failed(answer: Mapping[str, Any]) -> list[str]:
    """The messages that come again."""
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


class Handled:
    """Stands for the engine: remembers what it was given, and gives back what it is told to."""

    def __init__(self, *back: str, error: Exception | None = None) -> None:
        self.back = {receipt(name) for name in back}
        self.error = error
        self.steps: list[str] = []
        self.until: Millis = 0

    def __call__(self, deliveries: Sequence[Delivery], until: Millis, name: str) -> Sequence[Receipt]:
        if self.error is not None:
            raise self.error
        self.until = until
        self.steps += [delivery.receipt.step for delivery in deliveries]
        return [delivery.receipt for delivery in deliveries if delivery.receipt in self.back]


def messages(handled: Handled, *, last: bool = False) -> Messages:
    """The handler under test."""
    return Messages(adopt, handled, Observed("executor", Settings()), TurnedClock(1_000), last=last)


def test_what_is_done_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Messages that were handled are deleted by the event source; the engine hears when the invocation ends."""
    handled = Handled()
    assert failed(messages(handled)(event("a", "b"), Context(left=60_000))) == []
    assert handled.steps == ["a", "b"]
    assert handled.until == 61_000
    assert capsys.readouterr().out == ""


def test_what_the_engine_gives_back_comes_again() -> None:
    """Only those messages are named; of two copies both are."""
    assert failed(messages(Handled("b"))(event("a", "b", "c", "b"), Context())) == ["m1", "m3"]


def test_exactly_those_come_again() -> None:
    """Of a batch of ten each subset that may fail, and no other message of it."""
    names = [f"s{number}" for number in range(10)]
    for subset in range(1024):
        back = [number for number in range(10) if subset >> number & 1]
        answer = messages(Handled(*(names[number] for number in back)))(event(*names), Context())
        assert failed(answer) == [f"m{number}" for number in back]


def test_one_unreadable_message_keeps_no_other_from_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    """It comes again until it is a dead letter, its beginning is in the log, and the rest is handled."""
    handled = Handled()
    assert failed(messages(handled)(event("a", "?" + "x" * 1_000, "b"), Context())) == ["m1"]
    assert handled.steps == ["a", "b"]
    log, metrics = map(json.loads, capsys.readouterr().out.splitlines())
    assert log["data"]["body"] == "?" + "x" * (SHOWN - 1)
    assert metrics["UnreadableMessages"] == [1.0]


def test_a_dead_letter_that_is_unreadable_goes() -> None:
    """Behind the dead-letter queue there is nothing: it was logged, and is dropped."""
    assert failed(messages(Handled(), last=True)(event("?"), Context())) == []


def test_an_error_of_ours_returns_the_batch(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is raised: Lambda would slow down the event source. All messages come again."""
    answer = messages(Handled(error=RuntimeError("a defect")))(event("a", "?", "b"), Context())
    assert failed(answer) == ["m0", "m1", "m2"]
    assert "a defect" in capsys.readouterr().out


def test_an_empty_event_is_no_failure() -> None:
    """A scheduled test of the console has no records."""
    assert failed(messages(Handled())({}, Context())) == []


def test_a_store_without_sqs_is_refused() -> None:
    """A function on a store whose queue is no queue of Lambda's does not start."""
    with pytest.raises(ConfigurationError, match="queue of SQS"):
        adopter_of(MemoryBackend().queue)
