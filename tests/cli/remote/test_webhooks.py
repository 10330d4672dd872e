"""Outbound webhooks: made, tested, seen to fail, sent again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.remote.server import HELLO, Running, Terminal, log_in, running
from tests.servers import RecordingServer


@pytest.fixture(scope="module")
def open_server() -> Iterator[Running]:
    """A server that may send to this machine."""
    with running({"egress.allow": ["127.0.0.0/8"]}) as made:
        yield made


@pytest.fixture
def terminal(open_server: Running, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """The terminal of the owner of a new account there."""
    return log_in(tmp_path_factory.mktemp("home"), open_server, open_server.owner())


@pytest.fixture
def receiver() -> Iterator[RecordingServer]:
    """Somebody who is told."""
    with RecordingServer() as made:
        yield made


@pytest.fixture
def webhook(terminal: Terminal, receiver: RecordingServer) -> str:
    """A webhook to the receiver; its id."""
    made: str = terminal("webhooks", "create", receiver.url, "-e", "run.failed", "--json").json["id"]
    return made


def test_create_shows_the_key_once(terminal: Terminal, receiver: RecordingServer) -> None:
    """With the events it is for; a URL that must not be reached is refused."""
    terminal("flows", "create", "-", stdin=HELLO)
    options = ["--flow", "hello", "--node", "greet", "-H", "X-Team: orders", "--description", "tests"]
    done = terminal("webhooks", "create", receiver.url, "-e", "run.failed", "-e", "step.failed", *options)
    shown = dict(line.split("  ", 1) for line in done.out.splitlines())
    assert shown["signing key"].strip().startswith("whsec_")
    assert shown["headers"].strip() == "X-Team=orders"
    identity = shown["webhook"].strip()
    assert (shown["flow"].strip(), done.err) == ("hello", "the signing key is not shown again\n")
    assert "whsec_" not in terminal("webhooks", "get", identity).out
    assert terminal("webhooks", "get", identity, "--json").json["nodes"] == ["greet"]
    assert "--event" in terminal("webhooks", "create", receiver.url, code=2).err
    assert "events" in terminal("webhooks", "create", receiver.url, "-e", "run.odd", code=2).err
    assert (
        "write it as Name: value"
        in terminal("webhooks", "create", receiver.url, "-e", "run.failed", "-H", "x", code=2).err
    )
    assert terminal("webhooks", "create", "http://169.254.169.254/", "-e", "run.failed", code=2).out == ""
    assert terminal("webhooks", "create", receiver.url, "-e", "run.failed", "--flow", "nope", code=4).out == ""
    assert terminal("webhooks", "get", "nope", code=4).out == ""


def test_webhooks_are_listed_changed_and_removed(terminal: Terminal, webhook: str) -> None:
    """What is not given stays; removal wants a yes."""
    assert terminal("webhooks", "list").out.splitlines()[1].split()[0] == webhook
    assert "FLOW" in terminal("webhooks", "list").out.splitlines()[0]
    assert [one["id"] for one in terminal("webhooks", "list", "--json").json["items"]] == [webhook]
    changed = terminal("webhooks", "update", webhook, "-e", "run.completed", "--disable", "--json").json
    assert (changed["events"], changed["enabled"]) == (["run.completed"], False)
    assert "enabled  yes" in terminal("webhooks", "update", webhook, "--enable").out
    assert "nothing was given" in terminal("webhooks", "update", webhook, code=2).err
    assert terminal("webhooks", "update", "nope", "--enable", code=4).out == ""
    assert "--yes" in terminal("webhooks", "delete", webhook, code=2).err
    assert terminal("webhooks", "delete", webhook, "--yes").out == f"deleted {webhook}\n"
    assert terminal("webhooks", "delete", webhook, "-y", "--json", code=4).out == ""
    assert terminal("webhooks", "list", "--flow", "nope", code=4).out == ""


def test_a_test_event_is_delivered_seen_and_sent_again(terminal: Terminal, webhook: str) -> None:
    """Each message is one delivery, shown with what was sent."""
    made = terminal("webhooks", "test", webhook, "--json").json
    assert made["type"] == "webhook.test"
    delivery = made["id"]
    other = terminal("webhooks", "test", webhook)
    assert "webhook.test" in other.out
    assert f"flowrunner webhooks delivery {webhook} msg_" in other.err
    assert len(terminal("webhooks", "deliveries", webhook).out.splitlines()) == 3
    assert delivery in [one["id"] for one in terminal("webhooks", "deliveries", webhook, "--json").json["items"]]
    assert terminal("webhooks", "delivery", webhook, delivery, "--json").json["payload"]["type"] == "webhook.test"
    assert '"webhook.test"' in terminal("webhooks", "delivery", webhook, delivery).out
    assert terminal("webhooks", "retry", webhook, delivery, "--json").json["id"] == delivery
    assert delivery in terminal("webhooks", "retry", webhook, delivery).out
    for command in (
        ["deliveries", "nope"],
        ["delivery", webhook, "nope"],
        ["retry", webhook, "nope"],
        ["test", "nope"],
    ):
        assert terminal("webhooks", *command, code=4).out == ""
    terminal("webhooks", "update", webhook, "--disable")
    assert "disabled" in terminal("webhooks", "test", webhook, code=1).err


def test_the_key_can_be_changed(terminal: Terminal, webhook: str) -> None:
    """The new one is shown this once, and the old one signs beside it for a while."""
    shown = terminal("webhooks", "rotate-secret", webhook).out
    assert "whsec_" in shown
    assert "old key until" in shown
    assert terminal("webhooks", "rotate-secret", webhook, "--json").json["signing_key"].startswith("whsec_")
    assert terminal("webhooks", "rotate-secret", "nope", code=4).out == ""
