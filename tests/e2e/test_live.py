"""What happens is told while it happens: over server-sent events, over a WebSocket, and afterwards in pages."""

from __future__ import annotations

from typing import Any

from tests.e2e.client import Team, fresh, hear, say

TALK = """
metadata: {name: NAME}
nodes:
  a: {type: transform, params: {value: 1}, next: b}
  b: {type: script, hooks: {exec: "log('in b'); emit('progress', {percent: 50}); return 2"}, next: pause}
  pause: {type: delay, params: {for: 2s}, next: c}
  c: {type: log, params: {message: done, level: warning}}
"""
ONLY_ONCE = {"run.started", "run.completed"}


def history(team: Team, run: str) -> list[str]:
    """The ids of all events of a run that has ended."""
    page = team.call("GET", f"/v1/runs/{run}/events?limit=1000", 200)
    assert page["ended"]
    return [event["id"] for event in page["events"]]


def check(team: Team, run: str, heard: list[dict[str, Any]]) -> None:
    """All that is in the history was heard, and nothing else."""
    types = [event["type"] for event in heard]
    assert types[0] == "run.started"
    assert types[-1] == "run.completed"
    assert {"step.log", "step.event", "step.waiting", "step.succeeded"} <= set(types)
    assert set(history(team, run)) == {event["id"] for event in heard}


def test_an_event_source_hears_everything(team: Team) -> None:
    """Though API Gateway passes nothing on before a function has ended: it closes, and the client comes back."""
    run = team.start(team.flow(TALK.replace("NAME", fresh("sse"))))
    heard = list(team.events(run))
    check(team, run, heard)


def test_a_latecomer_hears_the_whole_history(team: Team) -> None:
    """At once, and is told that it is over."""
    run = team.run(TALK.replace("NAME", fresh("late")))["id"]
    check(team, run, list(team.events(run)))


def test_a_web_socket_hears_everything(team: Team) -> None:
    """Pushed by the table's stream, up to the run's end."""
    flow = team.flow(TALK.replace("NAME", fresh("socket")))
    with team.socket() as socket:
        run = team.start(flow)
        say(socket, type="subscribe", run=run)
        assert hear(socket) == {"type": "subscribed", "run": run}
        heard = {}
        while (message := hear(socket))["type"] == "event":
            assert message["run"] == run
            heard[message["event"]["id"]] = message["event"]
        assert message == {"type": "unsubscribed", "run": run, "reason": "ended"}
    check(team, run, list(heard.values()))


def test_a_web_socket_takes_up_where_another_ended(team: Team) -> None:
    """With the last id, only what came later is told (at least once)."""
    run = team.run(TALK.replace("NAME", fresh("again")))["id"]
    with team.socket() as socket:
        say(socket, type="subscribe", run=run)
        messages = [hear(socket)]
        while messages[-1]["type"] != "unsubscribed":
            messages.append(hear(socket))
        events = [message for message in messages if message["type"] == "event"]
        half = len(events) // 2
        say(socket, type="subscribe", run=run, last_event_id=events[half]["last_event_id"])
        again = [hear(socket)]
        while again[-1]["type"] != "unsubscribed":
            again.append(hear(socket))
    later = [message["event"]["id"] for message in again if message["type"] == "event"]
    assert set(later) >= {message["event"]["id"] for message in events[half + 1 :]}
    assert events[0]["event"]["id"] not in later


def test_a_web_socket_hears_of_the_account(team: Team) -> None:
    """Starts and ends of all runs from now on."""
    flow = team.flow(
        "metadata: {name: NAME}\nnodes: {a: {type: log, params: {message: hi}}}".replace("NAME", fresh("any"))
    )
    with team.socket() as socket:
        say(socket, type="subscribe", account=True, steps=False)
        assert hear(socket)["type"] == "subscribed"
        run = team.start(flow)
        heard: list[str] = []
        while "run.completed" not in heard:
            message = hear(socket)
            if message["type"] == "event" and message["event"]["run_id"] == run:
                heard.append(message["event"]["type"])
    assert set(heard) == ONLY_ONCE


def test_strangers_get_no_web_socket(team: Team, other: Team) -> None:
    """A wrong ticket is turned away, and so is whoever asks for another account's run."""
    run = team.run(TALK.replace("NAME", fresh("secret")))["id"]
    with other.socket() as socket:
        say(socket, type="subscribe", run=run)
        assert hear(socket)["type"] == "error"
