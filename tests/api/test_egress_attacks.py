"""The egress corpus through everything that reaches out: each node that sends, webhooks when saved and when sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient

from tests.adapters.test_egress_corpus import Network
from tests.api.harness import HELLO, Service, service
from tests.attacks import attacks
from tests.servers import RecordingServer, Route, ok, redirect
from tests.services.outbound import Here

PUBLIC = "93.184.216.34"
SENDERS = """
metadata: {name: senders}
inputs: {type: object}
nodes:
  http: {type: http.request, on_error: continue, params: {url: "${input.url}"}, next: hook}
  hook: {type: webhook, on_error: continue, params: {url: "${input.url}"}, next: plain}
  plain: {type: notification, on_error: continue, params: {channel: webhook, url: "${input.url}", message: x}, next: slack}
  slack: {type: notification, on_error: continue, params: {channel: slack, url: "${input.url}", message: x}, next: model}
  model: {type: llm.chat, on_error: continue, params: {base_url: "${input.url}", model: m, prompt: x}, next: ask}
  ask: {type: wait.callback, on_error: continue, params: {timeout: 1s, request: {url: "${input.url}"}}}
"""
NODES = ("http", "hook", "plain", "slack", "model", "ask")
URLS = [
    entry["input"].partition(" ")[0] for entry in attacks("egress.json") if "://" in entry["input"].partition(" ")[0]
]
"""Those entries that are a URL, and nothing else."""

MORE = (
    "http://127.0.0.1:80@127.0.0.2/", "http://[::ffff:0:127.0.0.1]/", "http://[::127.0.0.1]/", "http://[2002:7f00:1::]/",
    "http://[64:ff9b::10.0.0.1]/", "http://localhost.localdomain/", "http://ip6-localhost/", "http://127.0.0.1%2f.example.com/",
    "http://127。0。0。1/", "http://①②⑦.0.0.1/", "http://0x7f.1/", "http://017700000001/", "http://[fe80::1%25lo]/", "http://[fec0::1]/",
    "http://metadata.google.internal/", "HTTP://LOCALHOST/", "http://\tlocalhost/", "http:localhost/", "http:/localhost/",
    "https://localhost:443/", "ws://127.0.0.1/", "http://127.0.0.1:99999/", "http://[::1", "http://x@[::1]:80/",
)  # fmt: skip
"""More of the same kind."""


class Names:
    """A resolver that knows few names and never forgets its order: the last answer holds for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(one) for name, one in answers.items()}

    def __call__(self, host: str, *_: Any) -> Sequence[str]:
        if host.rstrip(".").lower() in ("localhost", "localhost.localdomain", "ip6-localhost", "127.0.0.1.nip.io"):
            return ["127.0.0.1"]
        if host == "metadata.google.internal":
            return ["169.254.169.254"]
        known = self.answers.get(host)
        if known is None:
            raise OSError(f"there is no {host}")
        return known.pop(0) if len(known) > 1 else known[0]


@contextmanager
def watched(route: Route = ok, **names: Sequence[Sequence[str]]) -> Iterator[tuple[Service, Network, Names]]:
    """The service behind a guard with its own names, and what it would have connected to."""
    resolver = Names(**names)
    with RecordingServer(route) as server:
        network, client = Network(server.port), GuardedClient(Guard(resolver=resolver))
        client._backend._inner = network
        with service(http=client, guard=Guard(resolver=resolver)) as api:
            yield api, network, resolver


def errors(api: Service, run: str) -> dict[str, str | None]:
    """The code of each step's error."""
    steps = api.call("GET", f"/v1/runs/{run}/steps").json()["items"]
    return {step["node"]: (step["error"] or {}).get("code") for step in steps}


def passed_on(api: Service) -> None:
    """What happened is told: deliveries are made and sent, here and now."""
    api.platform.outbound.sender._pool = Here()
    api.platform.outbound.relay.sweep()
    for _ in range(3):
        api.platform.outbound.sender.send()
        api.later(200)  # one host gets a few in a second


@pytest.fixture(scope="module")
def shut() -> Iterator[tuple[Service, Network, Names]]:
    with watched() as made:
        yield made


@pytest.mark.parametrize("url", [*URLS, *MORE])
def test_no_node_and_no_webhook_gets_out(shut: tuple[Service, Network, Names], url: str) -> None:
    """Each node that sends fails, and a webhook cannot be saved: by the API, by a change, in a document."""
    api, network, _ = shut
    found = api.call("GET", "/v1/flows?name=senders").json()["items"]
    flow = found[0]["id"] if found else api.flow(SENDERS)["id"]
    run = api.start(flow, {"url": url})
    codes = errors(api, run)
    assert set(codes) >= set(NODES[:5])
    assert {codes[node] for node in NODES if node in codes} <= {"EGRESS_DENIED"}, codes
    assert api.call("POST", "/v1/webhooks", json={"url": url, "events": ["run.failed"]}).status_code == 400
    good = api.call("POST", "/v1/webhooks", json={"url": f"http://{PUBLIC}/", "events": ["step.event"]}).json()["id"]
    assert api.call("PATCH", f"/v1/webhooks/{good}", json={"url": url}).status_code == 400
    assert api.call("DELETE", f"/v1/webhooks/{good}").status_code == 204
    document = HELLO.replace("nodes:", f"webhooks: [{{url: {json.dumps(url)}, events: [run.failed]}}]\nnodes:")
    assert api.call("POST", "/v1/flows", content=document).status_code == 400
    assert network.reached == []


@pytest.mark.parametrize("inside", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00:ec2::254"])
def test_a_name_that_changes_its_mind(inside: str) -> None:
    """egress-34 and -36: public when the webhook is saved, ours when it is sent: nothing is sent, and it is said why."""
    with watched(rebind_example=[[PUBLIC]]) as (api, network, names):
        wish = {"url": "http://rebind.example/", "events": ["run.completed"]}
        webhook = api.call("POST", "/v1/webhooks", json=wish).json()["id"]
        hook = "webhooks: [{url: 'http://rebind.example/', events: [run.completed]}]"
        flow = api.flow(HELLO.replace("nodes:", f"{hook}\nnodes:"))["id"]
        names.answers["rebind.example"] = [[inside]]
        api.start(flow, {"name": "x"})
        passed_on(api)
        hooks = [one["id"] for one in api.call("GET", "/v1/webhooks").json()["items"]]
        for one in {webhook, *hooks}:
            (delivery,) = api.call("GET", f"/v1/webhooks/{one}/deliveries").json()["items"]
            whole = api.call("GET", f"/v1/webhooks/{one}/deliveries/{delivery['id']}").json()
            assert whole["history"][0]["error"].startswith("EGRESS_DENIED")
        assert network.reached == []


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "http://[::1]/", "file:///etc/passwd", "//10.0.0.1/"])
def test_a_redirect_inside_is_followed_by_nobody(target: str) -> None:
    """egress-33: by no node and no delivery; the first answer is no success."""
    with watched(lambda _: redirect(target), ok_example=[[PUBLIC]]) as (api, network, _):
        wish = {"url": "http://ok.example/", "events": ["run.completed"]}
        webhook = api.call("POST", "/v1/webhooks", json=wish).json()["id"]
        run = api.start(api.flow(SENDERS)["id"], {"url": "http://ok.example/"})
        codes = errors(api, run)
        assert codes["http"] == "EGRESS_DENIED"
        assert {codes[node] for node in NODES} <= {"EGRESS_DENIED", "HttpStatus:302", "LLM_REQUEST"}
        api.call("POST", f"/v1/webhooks/{webhook}/test")
        passed_on(api)
        deliveries = api.call("GET", f"/v1/webhooks/{webhook}/deliveries").json()["items"]
        assert deliveries
        assert all(one["status"] != "delivered" for one in deliveries)
        assert set(network.reached) == {PUBLIC}


def test_a_flow_cannot_widen_what_it_may_reach() -> None:
    """`egress` of a document narrows; hosts that the guard denies stay denied, whoever allows them."""
    with watched(ok_example=[[PUBLIC]]) as (api, network, _):
        head = "egress: {allow: ['127.0.0.1', 'localhost', '*.example', '10.0.0.0']}\n"
        document = SENDERS.replace("nodes:", f"{head}nodes:", 1)
        answer = api.call("POST", "/v1/flows", content=document)
        assert answer.status_code == 201, answer.text
        for url in ("http://127.0.0.1/", "http://localhost/", "http://10.0.0.0/"):
            assert set(errors(api, api.start(answer.json()["id"], {"url": url})).values()) == {"EGRESS_DENIED"}
        assert network.reached == []
