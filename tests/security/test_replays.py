"""Messages of hooks that come again: each starts one run, however often it is delivered and however it is signed anew."""

from __future__ import annotations

import base64
import hashlib
import hmac

from flowrunner.ports.history import RunFilter
from flowrunner.services.hooks import HookCall
from flowrunner.testing import START

from tests.engine.harness import ACCOUNT
from tests.security.counts import times
from tests.services.triggering import services

KEY = b"k" * 32
FLOW = (
    "metadata: {name: orders}\n"
    "triggers:\n  - {type: webhook, path: orders, verify: {scheme: standard-webhooks, secret: SIGNING}}\n"
    "nodes:\n  a: {type: transform, params: {value: '${input}'}}\n"
)
MINUTE = 60_000


def message(number: int, now: int) -> HookCall:
    """A valid message of that number, signed at that moment."""
    moment, body = str(now // 1000), b'{"n": %d}' % number
    mac = hmac.new(KEY, b"m%d.%s.%s" % (number, moment.encode(), body), hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "webhook-id": f"m{number}",
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
    return HookCall(ACCOUNT, "orders", "POST", headers, "", body, f"192.0.2.{number % 200}", "c")


def test_no_replay_starts_a_second_run() -> None:
    """Every message is sent, sent again as it was, and sent once more newly signed after hours: one run of each."""
    count = times(120, 10_000)
    unlimited = {"concurrent_runs": 0, "runs_per_minute": 0}
    with services(quotas=unlimited, secrets={"SIGNING": "whsec_" + base64.b64encode(KEY).decode()}) as made:
        made.save(FLOW)
        first = [made.hooks.receive(message(number, START)).run for number in range(count)]
        again = [made.hooks.receive(message(number, START)).run for number in range(count)]
        made.bench.clock.turn_to(START + 70 * 60 * MINUTE)
        later = [made.hooks.receive(message(number, START + 70 * 60 * MINUTE)).run for number in range(count)]
        rows = made.engine.parts.backend.history.runs(ACCOUNT, RunFilter(limit=2 * count))
    assert first == again == later
    assert len(set(first)) == len(rows) == count
