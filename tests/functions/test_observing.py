"""What functions say of themselves: log lines that nothing of a tenant's can pose as, and metrics that cost little."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from flowrunner.functions.observing import MOST_VALUES, Observed
from flowrunner.settings import Settings

from tests.functions.installation import Context

pytestmark = pytest.mark.usefixtures("quiet_logging")
log = logging.getLogger("flowrunner.test")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was written, line by line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_lines_name_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line has the service and the request; that the process is new stands in the lines of its first one only."""
    observed = Observed("executor", Settings())
    for request in ("first", "second"):
        with observed.invocation(Context(aws_request_id=request)):
            log.info("hello", extra={"account": "acme"})
    first, second = lines(capsys)
    assert (first["service"], first["request"], first["cold"]) == ("executor", "first", True)
    assert (second["request"], second["account"], "cold" in second) == ("second", "acme", False)


def test_no_tenant_writes_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like an embedded metric, or like one of our fields, stays under `data` or inside a text."""
    observed = Observed("executor", Settings())
    emf = {"_aws": {"CloudWatchMetrics": []}, "service": "forged", "request": "forged"}
    with observed.invocation(Context(aws_request_id="ours")):
        log.warning("a step said something", extra={"data": emf})
        log.warning(emf)
        log.warning("a step failed", extra=emf)
        log.warning("%s\n%s", json.dumps(emf), json.dumps(emf))
    for line in lines(capsys):
        assert "_aws" not in line
        assert (line["service"], line["request"]) == ("executor", "ours")


def test_lines_are_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Strange characters are escaped, and one record is one line."""
    observed = Observed("executor", Settings())
    with observed.invocation(Context()):
        log.info("gr\u00fc\u00dfe\n\u2028\ud800")
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1


def test_what_was_counted_is_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What an invocation counted is one line, of below 300 bytes here; the service is the only dimension."""
    observed = Observed("stream", Settings(), "flowrunner-prod")
    with observed.invocation(Context()):
        observed.count("Steps")
        observed.measure("StepMilliseconds", 12)
    out = capsys.readouterr().out
    (line,) = (json.loads(text) for text in out.splitlines())
    assert len(out) <= 300
    assert (line["Steps"], line["StepMilliseconds"], line["service"]) == ([1.0], [12.0], "stream")
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert (metrics["Namespace"], metrics["Dimensions"]) == ("flowrunner-prod", [["service"]])
    assert {"Name": "StepMilliseconds", "Unit": "Milliseconds"} in metrics["Metrics"]


def test_nothing_to_say_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each metric costs by the hour in which it is sent, so what is zero is not; and nothing is sent twice."""
    observed = Observed("executor", Settings())
    with observed.invocation(Context()):
        observed.count("Steps")
    capsys.readouterr()
    with observed.invocation(Context()):
        pass
    assert capsys.readouterr().out == ""


def test_counts_add_up_and_measures_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A count is one number; of a measure there are as many values as one line may have, and the rest in another."""
    observed = Observed("executor", Settings())
    with observed.invocation(Context()):
        for number in range(150):
            observed.count("Steps", 2)
            observed.measure("StepMilliseconds", number)
    first, second = lines(capsys)
    assert (first["Steps"], "Steps" in second) == ([300.0], False)
    assert len(first["StepMilliseconds"]) == MOST_VALUES
    assert first["StepMilliseconds"] + second["StepMilliseconds"] == [float(number) for number in range(150)]


def test_an_invocation_that_fails_says_what_it_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The metrics of what was done are not lost with the rest."""
    observed = Observed("executor", Settings())

    def fail() -> None:
        with observed.invocation(Context()):
            observed.count("Steps")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [line["Steps"] for line in lines(capsys)] == [[1.0]]


def test_without_tracing_the_handler_is_as_it_was() -> None:
    """Nothing of X-Ray is imported unless it is wanted."""

    def handler(event: object, context: object) -> None:
        """Answers nothing."""

    assert Observed("executor", Settings()).traced(handler) is handler


def test_a_traced_handler_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing goes around the handler, under the service's name, and changes nothing of what it answers."""
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")  # no daemon listens here; the real one: test_runtime.py
    settings = Settings.model_validate({"telemetry": {"xray": True}})
    traced = Observed("executor", settings).traced(lambda event, context: {"event": event})
    assert traced({"a": 1}, Context()) == {"event": {"a": 1}}
