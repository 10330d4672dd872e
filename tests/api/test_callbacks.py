"""Answers to waiting steps over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.ports.http import HttpRequest, HttpResponse

from tests.api.harness import Service, service
from tests.attacks import attacks, needs_corpus

WAITING = """\
metadata: {name: waiting}
nodes:
  wait:
    type: wait.callback
    params: {request: {url: "https://bank.example.com/"}}
"""


class Bank:
    """The system that is asked to call back; it keeps the token."""

    def __init__(self) -> None:
        self.token = ""

    def send(self, request: HttpRequest) -> HttpResponse:
        import orjson

        self.token = orjson.loads(request.content or b"")["callback"]["token"]
        return HttpResponse(200)

    def close(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def waiting() -> Iterator[tuple[Service, str, str]]:
    """The service, a token, and the run whose step waits for it."""
    bank = Bank()
    with service(http=bank) as made:
        run = made.start(made.flow(WAITING)["id"])
        yield made, bank.token, run


def answer(made: Service, token: str, **options: Any) -> Any:
    return made.call("POST", f"/v1/callbacks/{token}", role=None, **options)


def test_an_answer_lets_the_run_go_on(waiting: tuple[Service, str, str]) -> None:
    """What is sent is the step's output; nobody has to sign in, the token is enough."""
    made, token, run = waiting
    taken = answer(made, token, json={"paid": True})
    assert (taken.status_code, taken.json()) == (202, {"status": "accepted"})
    made.work()
    shown = made.call("GET", f"/v1/runs/{run}").json()
    assert (shown["status"], shown["output"]) == ("completed", {"wait": {"paid": True}})


def test_no_body_is_null(waiting: tuple[Service, str, str]) -> None:
    """An answer without a body counts, too."""
    made, token, run = waiting
    assert answer(made, token).status_code == 202
    made.work()
    assert made.call("GET", f"/v1/runs/{run}").json()["output"] == {"wait": None}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"a": 1, "a": 2}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'"\xff"', "application/json", 400),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b'"' + b"x" * (256 * 1024) + b'"', "application/json", 413),
    ],
)
def test_bad_answers(waiting: tuple[Service, str, str], body: bytes, kind: str, status: int) -> None:
    """An answer that is no JSON, or too large, is refused, and the step goes on waiting."""
    made, token, run = waiting
    assert answer(made, token, content=body, headers={"Content-Type": kind}).status_code == status
    assert made.call("GET", f"/v1/runs/{run}").json()["status"] == "waiting"
    assert answer(made, token, json=1).status_code == 202


def test_looking_changes_nothing(waiting: tuple[Service, str, str]) -> None:
    """A link that somebody's mail program opens answers nothing."""
    made, token, run = waiting
    assert made.call("GET", f"/v1/callbacks/{token}").status_code == 405
    assert made.call("GET", f"/v1/runs/{run}").json()["status"] == "waiting"


def test_the_token_is_not_stored(waiting: tuple[Service, str, str]) -> None:
    """What the API shows of the run holds no token."""
    made, token, run = waiting
    shown = [made.call("GET", f"/v1/runs/{run}{part}").text for part in ("", "/steps")]
    assert token
    assert all(token not in text for text in shown)


@needs_corpus
@pytest.mark.parametrize(
    "entry",
    [one for one in attacks("webhooks_and_auth.json", "auth") if one["id"] == "auth-30"],
    ids=lambda entry: str(entry["id"]),
)
def test_the_corpus(waiting: tuple[Service, str, str], entry: dict[str, Any]) -> None:
    """auth-30: a token that is guessed, used again, or of a finished run."""
    made, token, run = waiting
    assert entry["expect"] == "404 / 409"
    for guessed in ("x", token[:-1], token + "x", token.swapcase(), "a%00b", "x" * 128):
        assert answer(made, guessed, json=1).status_code == 404
    assert answer(made, token, json=1).status_code == 202
    assert answer(made, token, json=2).status_code == 409
    made.work()
    assert answer(made, token, json=3).status_code == 409
    assert made.call("GET", f"/v1/runs/{run}").json()["output"] == {"wait": 1}
