"""Logs: our fields at the top, everything of strangers below one key, on one line and without credentials."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import quote

import pytest
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.starter import StartRequest
from flowrunner.settings import LogSettings
from flowrunner.telemetry.lines import MASK, MAX_ITEMS, MAX_TEXT, masked, one_line, safe_value
from flowrunner.telemetry.logs import FIELDS, STACK, bound, configure_logging
from flowrunner.telemetry.runs import log_run

from tests.attacks import attacks
from tests.engine.harness import ACCOUNT, bench, flow

Format = Literal["text", "json"]
TOP = {"time", "level", "logger", "message", "data", "error", *FIELDS}
log = logging.getLogger("flowrunner.test")


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """The logging of the test runner, put back."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


class Lines:
    """What was logged."""

    def __init__(self, form: Format = "json", level: Literal["debug", "info", "warning"] = "info") -> None:
        self.stream = io.StringIO()
        configure_logging(LogSettings(level=level, format=form), self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


HOSTILE = {
    "line feed": "ok\n2026-01-01 ERROR admin logged in",
    "carriage return": "ok\r\nnext",
    "terminal": "\x1b[2J\x1b]0;title\x07",
    "unicode line ends": "a\u2028b\u2029c\x85d",
    "direction": "a\u202eb\u2066c",
    "half a surrogate pair": "a\ud800b",
    "NUL": "a\0b",
}


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("place", ["message", "data", "key", "field", "extra", "dict", "error"])
def test_no_value_gets_off_its_line(text: str, form: Format, place: str) -> None:
    """Wherever it stands, the record is one line of harmless characters; a traceback's lines are marked."""
    logged = Lines(form)
    match place:
        case "message":
            log.warning("value: %s", text)
        case "data":
            log.warning("value", extra={"data": {"nested": [text]}})
        case "key":
            log.warning("value", extra={"data": {text: 1}})
        case "field":
            log.warning("value", extra={"run": text})
        case "extra":
            log.warning("value", extra={"something": text})
        case "dict":
            log.warning({"a": text})
        case _:
            log.error("failed", exc_info=ValueError(text))
    written = logged.stream.getvalue()
    assert written.endswith("\n")
    records = [line for line in written[:-1].split("\n") if not line.startswith(STACK)]
    assert len(records) == 1
    assert one_line(written.replace("\n", "")) == written.replace("\n", "")


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("key", ["_aws", "level", "account", "time", "message", "extra_field"])
def test_keys_of_strangers_stay_below_data(key: str) -> None:
    """Neither a dict as the message, nor data, nor unknown extras make a key at the top."""
    logged = Lines()
    value = {"CloudWatchMetrics": [{"Namespace": "x"}]}
    log.warning({key: value})
    log.warning("m", extra={"data": {key: value}})
    for record in logged.records:
        assert record.keys() <= TOP
        assert record["data"][key] == value
        assert record["level"] == "warning"
        assert "account" not in record


@pytest.mark.usefixtures("logging_restored")
def test_extras_that_are_no_fields_are_data() -> None:
    """What a library adds to its records is kept, below."""
    logged = Lines()
    log.warning("m", extra={"_aws": 1, "run": "r1", "data": "just text"})
    assert logged.records[0]["data"] == {"_aws": 1, "value": "just text"}
    assert logged.records[0]["run"] == "r1"


@pytest.mark.usefixtures("logging_restored")
def test_data_cannot_pass_for_a_field_in_text() -> None:
    """Its keys have a prefix, and a value with blanks, quotes or an equals sign is quoted."""
    logged = Lines("text")
    log.warning("m", extra={"account": "a1", "data": {"account": "a2", "x": "1 account=a3", "n": 5, "e": ""}})
    assert logged.lines[0].endswith('m account=a1 data.account=a2 data.x="1 account=a3" data.n=5 data.e=""')


@pytest.mark.usefixtures("logging_restored")
def test_bound_fields_are_on_every_record() -> None:
    """Of this thread, until the block ends; a field of the record itself comes first."""
    logged = Lines()
    with bound(correlation="c1", account="a1"):
        with bound(account="a2"):
            log.info("one")
        log.info("two", extra={"account": "a3"})
        thread = threading.Thread(target=log.info, args=("other",))
        thread.start()
        thread.join()
    log.info("three")
    found = [(one["message"], one.get("account"), one.get("correlation")) for one in logged.records]
    assert found == [("one", "a2", "c1"), ("two", "a3", "c1"), ("other", None, None), ("three", None, None)]


def test_only_known_fields_can_be_bound() -> None:
    """What a stranger wrote belongs into data."""
    with pytest.raises(TypeError, match="no log field name"):
        bound(name="x").__enter__()


@pytest.mark.usefixtures("logging_restored")
def test_levels_and_formats_are_those_of_the_settings() -> None:
    """And configuring again replaces what was there."""
    first = Lines(level="warning")
    log.info("unheard")
    log.warning("heard")
    second = Lines("text", level="debug")
    log.debug("details")
    assert [record["message"] for record in first.records] == ["heard"]
    assert "DEBUG   flowrunner.test: details" in second.lines[0]
    logging.getLogger("uvicorn.access").info("a line for each request is ours to write")
    logging.getLogger("uvicorn.error").warning("started")
    logging.getLogger("uvicorn.error").info('"WebSocket /v1/ws?ticket=good-once" [accepted]')
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("odd", UserWarning, stacklevel=1)
    assert [line.split()[2] for line in second.lines[1:] if line[:2] == "20"] == ["uvicorn.error:", "py.warnings:"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer x", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz, more", "authorization: basic ***, more"),
        ("token fr_live_0123456789abcdef leaked", "token fr_live_*** leaked"),
        ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "key whsec_***"),
        ("at https://user:hunter2@example.com/x", "at https://user:***@example.com/x"),
        ("postgresql://:pw@db/x", "postgresql://:***@db/x"),
        ("a bearer of news", "a bearer *** news"),
        ("nothing here: 12:30", "nothing here: 12:30"),
    ],
)
def test_credentials_are_masked_by_their_shape(text: str, shown: str) -> None:
    """Better a harmless word too many than a token too few."""
    assert masked(text) == shown


def test_values_below_telling_names_are_masked() -> None:
    """Headers of a request, passwords, tokens; what is no text or merely sounds alike stays."""
    value = {
        "headers": {
            "Authorization": "x",
            "Proxy-Authorization": "x",
            "cookie": "x",
            "Set-Cookie": "x",
            "Accept": "*/*",
        },
        "password": "x",
        "access_token": "x",
        "X-Api-Key": "x",
        "x-csrf-token": "x",
        "tokens": "3",
        "secret": "",
        "token": 5,
    }
    assert safe_value(value) == {
        "headers": {
            "Authorization": MASK,
            "Proxy-Authorization": MASK,
            "cookie": MASK,
            "Set-Cookie": MASK,
            "Accept": "*/*",
        },
        "password": MASK,
        "access_token": MASK,
        "X-Api-Key": MASK,
        "x-csrf-token": MASK,
        "tokens": "3",
        "secret": "",
        "token": 5,
    }


def test_values_are_limited_in_size() -> None:
    """Long texts, long lists and deep nesting are cut; numbers that JSON has not are texts."""
    deep: Any = "x"
    for _ in range(20):
        deep = [deep]
    assert len(safe_value("x" * 10_000)) == MAX_TEXT + 1
    assert len(safe_value(list(range(1000)))) == MAX_ITEMS
    assert len(safe_value({str(number): 1 for number in range(1000)})) == MAX_ITEMS
    assert len(json.dumps(safe_value(deep))) < 40
    assert safe_value([float("nan"), float("inf"), 1.5]) == ["nan", "inf", 1.5]
    assert safe_value(ValueError("Bearer abc")) == "Bearer ***"


# -- what is said of runs -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("logging_restored")
def test_a_run_can_be_followed_in_the_log() -> None:
    """Started, a retry, a failure, its end: each with account, flow, run and step, and the correlation id."""
    logged = Lines(level="debug")
    document = flow(
        """
ok: {type: transform, next: bad}
bad: {type: script, retry: {max_attempts: 2, delay: 1s, jitter: none, on: ["*"]}, hooks: {exec: "throw new Error('no\\\\nway')"}}"""
    )
    with bench() as b:
        b.engine.watchers.watch_all(log_run)
        row = b.engine.save_flow(ACCOUNT, document)
        request = StartRequest(ACCOUNT, row.id, row.revision, started_by="ann", labels={"correlation_id": "c-9"})
        run = b.engine.start(request)
        b.work()
    found = [record for record in logged.records if record["logger"] == "flowrunner.runs"]
    assert [(one["level"], one["message"], one.get("step")) for one in found] == [
        ("info", "run started", None),
        ("debug", "step succeeded", "ok"),
        ("warning", "step failed, retrying", "bad"),
        ("warning", "step failed", "bad"),
        ("warning", "run failed", None),
    ]
    assert {(one["account"], one["flow"], one["run"], one["correlation"]) for one in found} == {
        (ACCOUNT, row.id, run, "c-9")
    }
    assert found[0]["data"] == {"flow_name": "test", "started_by": "ann"}
    assert found[3]["data"]["code"] == "SCRIPT_ERROR"
    assert found[3]["data"]["attempt"] == 2
    assert "no" in found[4]["data"]["error"]
    assert found[4]["data"]["took_ms"] >= 1000


@pytest.mark.usefixtures("logging_restored")
def test_waiting_skipped_and_cancelled_are_said_too() -> None:
    """A wait at the level of details, a cancel as the end that it is, nothing of what was skipped."""
    logged = Lines(level="debug")
    with bench() as b:
        b.engine.watchers.watch_all(log_run)
        run = b.start(flow("a: {type: transform, when: false}\nw: {type: approval, params: {message: hm}}"))
        b.work()
        b.engine.control.cancel(ACCOUNT, run)
    found = [record["message"] for record in logged.records if record["logger"] == "flowrunner.runs"]
    assert found == ["run started", "step waits", "run cancelled"]


@pytest.mark.usefixtures("logging_restored")
def test_a_quiet_log_says_only_what_went_wrong() -> None:
    """At the level of warnings a run that completes leaves nothing."""
    logged = Lines(level="warning")
    with bench() as b:
        b.engine.watchers.watch_all(log_run)
        b.run(flow("a: {type: transform}"))
        b.run(flow('a: {type: script, hooks: {exec: "throw 1"}}'))
    assert [record["message"] for record in logged.records] == ["step failed", "run failed"]


# -- the corpus -----------------------------------------------------------------------------------------------------

ELSEWHERE = {
    "log-07": "the chain of the audit log: tests/services/test_audit.py",
    "log-09": "what the API answers: tests/api/test_web_attacks.py",
    "log-10": "the same",
}
"""Entries that have no place here, each with the reason."""


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("entry", attacks("corpus.json", "log", but=ELSEWHERE), ids=lambda entry: str(entry["id"]))
def test_attacks_on_the_log(entry: dict[str, Any]) -> None:
    """Every entry of the corpus is harmless in the log, or belongs elsewhere for a reason."""
    given = entry["input"]
    logged = Lines()
    if "log_value" in given:
        log.info("a tenant's value", extra={"data": {"value": given["log_value"]}})
        [record] = logged.records
        assert record.keys() <= TOP
        assert record["data"]["value"] == given["log_value"]
    elif "header" in given:
        log.info("sent %s", given["header"])
        assert logged.records[0]["message"] == "sent Authorization: Bearer ***"
    else:
        _leak(given["secret"])
        assert logged.lines
        for form in _encoded(given["secret"]):
            assert form not in logged.stream.getvalue()


def _encoded(secret: str) -> list[str]:
    """A secret in the forms in which it could be found."""
    return [
        secret,
        base64.b64encode(secret.encode()).decode().rstrip("="),
        quote(secret, safe=""),
        secret.encode().hex(),
    ]


def _leak(secret: str) -> None:
    """A flow that fails with its secret in every form in the error, observed by the log."""
    # Split over two fields it is not found: the documented limit of masking.
    assert Redactor([secret]).text(secret[:7]) == secret[:7]
    document = flow(
        """
a: {type: transform, params: {value: "${secrets.KEY}"}, next: b}
b:
  type: script
  inputs: {key: "${secrets.KEY}"}
  hooks:
    exec: |
      const key = inputs.key;
      const hex = Array.from(key).map(c => c.charCodeAt(0).toString(16)).join('');
      throw new Error([key, encodeURIComponent(key), JSON.stringify(key), hex, 'https://u:' + key + '@x/'].join(' '));"""
    )
    with bench(secrets={"KEY": secret}) as b:
        b.engine.watchers.watch_all(log_run)
        b.run(document)
