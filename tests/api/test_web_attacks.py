"""Paths, links and texts that are meant for somebody else: the corpora about them over HTTP, and more of the kind."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from email import message_from_bytes
from email.policy import HTTP
from urllib.parse import quote

import pytest
from flowrunner.services.identity import Role

from tests.api.harness import HELLO, Service, service
from tests.api.live_server import LiveServer, live_server
from tests.api.pages import MARKUP, Entry, answered, contained, replies
from tests.attacks import attacks, needs_corpus
from tests.servers import RecordingServer


@pytest.fixture
def api() -> Iterator[Service]:
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as made:
        made.team()
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """A real server: what it gets is what is written here, without a client that tidies paths up."""
    with live_server({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as made:
        yield made


def raw(server: LiveServer, target: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for a request target that is sent as it is."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in {**server.headers(role=Role.OWNER), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


# -- paths ----------------------------------------------------------------------------------------------------------

UP = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%5c",
    "..\\",
    "....//",
    "..;/",
    "%c0%ae%c0%ae/",
    "..%00/",
)
PLACES = ("/", "/v1/", "/v1/runs/", "/v1/runs/r/logs/", "/v1/flows/", "/v1/plugins/", "/v1/secrets/", "/v1/schema/", "/hooks/acct-acme/", "/v1/callbacks/", "/console/", "/static/")  # fmt: skip
FILES = ("etc/passwd", "proc/self/environ", "app.py")


def nothing_found(status: int, headers: Mapping[str, str], body: bytes, target: str) -> None:
    assert status in (400, 401, 404, 405), target
    assert json.loads(body)["error"]["code"], target
    assert b"root:" not in body
    assert b"PATH=" not in body
    assert "location" not in headers


def no_file(server: LiveServer, entry: Entry) -> None:
    """The path that is asked for, with and without credentials."""
    target = entry["input"]["get"]
    assert raw(server, target)[0] == 404
    nothing_found(*raw(server, target, Authorization=""), target)


def no_such_plugin(server: LiveServer, entry: Entry) -> None:
    """A node type is a name in a table: nothing is imported or opened by what a document says."""
    api, name = server.api, entry["input"]["plugin"]
    modules = (
        "this",
        "antigravity",
        "../../../../tmp/evil",
        "flowrunner.nodes.log:LogNode",
        "log:LogNode",
        "/tmp/evil.py",
    )
    before = set(sys.modules)
    for node_type in (
        name,
        *modules,
        "file:///tmp/evil.py",
        "__import__('this')",
        "this:s",
        "log\0",
        "LOG ",
        "log/../script",
    ):
        document = json.dumps({"metadata": {"name": "x"}, "nodes": {"a": {"type": node_type}}})
        answer = api.call("POST", "/v1/flows", content=document)
        assert answer.status_code == 400, node_type
        answer = api.call("PATCH", f"/v1/plugins/{quote(node_type, safe='')}", json={"enabled": True})
        assert answer.status_code == 404, node_type
    assert not {"this", "antigravity"} & (set(sys.modules) - before)


def no_import_of_runs(server: LiveServer, entry: Entry) -> None:
    """Runs come from starts; no body that is taken has room for the name of a file."""
    body = {name: value for name, value in entry["input"].items() if name != "via"}
    flow = server.api.flow(HELLO.replace("hello", "imports"))["id"]
    for method, path in (
        ("POST", "/v1/runs"),
        ("POST", "/v1/runs/import"),
        ("PUT", "/v1/runs/r"),
        ("POST", "/v1/import"),
    ):
        assert server.api.call(method, path, json=body).status_code in (404, 405), path
    for path in (f"/v1/flows/{flow}/runs", "/v1/runs/r/cancel", "/v1/runs/r/redrive"):
        assert server.api.call("POST", path, json=body).status_code == 400, path
    for text in ("@/etc/passwd", "!include /etc/passwd", "A=$(cat /etc/passwd)", "A=`id`", "A=file:///etc/passwd"):
        answer = server.api.call("POST", "/v1/secrets/import", json={"text": text, "format": "dotenv"})
        assert "root:" not in answer.text
        assert answer.status_code in (200, 400)
    for field in ("path", "file", "url"):
        assert server.api.call("POST", "/v1/secrets/import", json={field: "/etc/passwd"}).status_code == 400


def names_of_files(_: LiveServer, entry: Entry) -> None:
    """A name that somebody else chose stays one parameter: in what we send, and in what a flow answers with."""
    name = entry["input"]["content_disposition"]
    sends = """
metadata: {name: sends}
nodes:
  a:
    type: http.request
    params: {method: POST, url: "${input.url}", multipart: {file: {filename: "${input.name}", content: x}}}
"""
    with RecordingServer() as receiver, service(allow=["127.0.0.1"]) as api:
        flow = api.flow(sends)["id"]
        for one in (name, name + "\r\nX-Injected: 1", "a\\", 'a"', "\r\n\r\n<script>"):
            api.start(flow, {"url": receiver.url, "name": one})
            request = receiver.requests[-1]
            head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
            parts = list(message_from_bytes(head + request.body, policy=HTTP).iter_parts())
            assert [part.get_param("name", header="Content-Disposition") for part in parts] == ["file"]
            assert b"\r\nX-Injected" not in request.body
        replies(
            api, "{status: 200, headers: {Content-Disposition: 'attachment; filename=\"${nodes.a.output}\"'}, body: x}"
        )
        for one in (name, name + "\r\nX-Injected: 1", "a\nb", "é", "\0"):
            answer = answered(api, "page", json=one)
            assert "x-injected" not in answer.headers
            contained(answer.headers)


def no_uploads(_: LiveServer, entry: Entry) -> None:
    """What was sent as a page comes back as a text in JSON, or under our own type and contained."""
    with service() as api:
        assert api.call("POST", "/v1/flows", content=HELLO, headers={"Content-Type": "text/html"}).status_code == 415
        replies(api, "{status: 200, body: '${nodes.a.output}'}")
        for kind in ("text/html", "text/html; charset=utf-7", "image/svg+xml", "application/json"):
            body = f'"{MARKUP}"' if kind == "application/json" else MARKUP
            answer = answered(api, "page", content=body, headers={"Content-Type": kind})
            assert answer.headers["content-type"] in ("text/plain; charset=utf-8", "application/octet-stream")
            contained(answer.headers)
        for run in api.call("GET", "/v1/runs").json()["items"]:
            shown = api.call("GET", f"/v1/runs/{run['id']}")
            assert shown.headers["content-type"] == "application/json"
            contained(shown.headers)


PATHS: Mapping[str, Callable[[LiveServer, Entry], None]] = {
    "path-01": no_such_plugin,
    "path-02": no_such_plugin,
    "path-07": no_file,
    "path-08": no_file,
    "path-10": no_file,
    "path-11": no_import_of_runs,
    "path-13": names_of_files,
    "path-14": no_uploads,
}
NOT_YET = {"path-04", "path-05"}
"""Zip files of plugins cannot be sent to this server."""


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "path", but=NOT_YET), ids=lambda entry: str(entry["id"]))
def test_attacks_on_paths(server: LiveServer, entry: Entry) -> None:
    """Every entry ends as the corpus says; a new one fails until it is run."""
    PATHS[entry["id"]](server, entry)


def test_no_way_up_leads_anywhere(server: LiveServer) -> None:
    """However it is spelled and wherever it begins."""
    for place in PLACES:
        for up in UP:
            for file in FILES:
                target = f"{place}{up * 6}{file}"
                nothing_found(*raw(server, target), target)


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/",
        "//evil.example/v1/flows",
        "/\\evil.example",
        "/%2f%2fevil.example",
        "/v1/flows/",
        "/v1//flows",
        "/v1/./flows",
        "/v1/x/../flows",
        "/v1/flows%00",
        "/v1/flows%20",
        "/v1/flows.json",
        "/v1/flows;a=b",
        "/login?next=//evil.example",
        "http://evil.example/v1/nothing",
    ],
)
def test_no_answer_sends_anybody_elsewhere(server: LiveServer, target: str) -> None:
    """auth-34 of the broad corpus: there is no page that leads on, and no spelling of a path that is corrected."""
    for method in ("GET", "POST", "HEAD"):
        status, headers, _ = raw(server, target, method, **{"Content-Length": "0"})
        assert status in (400, 404, 405), (method, status)
        assert "location" not in headers
        assert "evil" not in str(headers)


# -- links, and logs as far as the API shows them -------------------------------------------------------------------


def test_links_lead_to_the_configured_address() -> None:
    """auth-33 of the broad corpus: whatever host a request says it was sent to, links name ours or none."""
    hook = "metadata: {name: h}\ntriggers: [{type: webhook, path: p}]\nnodes:\n  a: {type: transform}\n"
    asks = "metadata: {name: asks}\nnodes: {ok: {type: wait.callback, params: {}}}\n"
    forged = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "host=evil.example",
    }
    for configured in ("https://flows.example", None):
        with service({"public_url": configured} if configured else {}, public_url=configured) as api:
            answer = api.call("POST", "/v1/flows", content=hook, headers=forged)
            assert "evil" not in f"{answer.text}{dict(answer.headers)}"
            run = api.call("POST", f"/v1/flows/{api.flow(asks)['id']}/runs", json={}, headers=forged)
            api.work()
            for method, path in (
                ("POST", "/hooks/acct-acme/p"),
                ("GET", "/v1/hooks"),
                ("GET", f"/v1/runs/{run.json()['id']}/steps/ok"),
                ("POST", f"/v1/flows/{answer.json()['id']}/runs"),
                ("GET", "/openapi.json"),
                ("GET", "/nothing/"),
            ):
                found = api.call(method, path, headers=forged)
                assert "evil" not in f"{found.text}{dict(found.headers)}", path
            shown = api.call("POST", "/hooks/acct-acme/p", role=None, headers=forged).json()["status_url"]
            assert shown.startswith(f"{configured or ''}/v1/runs/")


@needs_corpus
@pytest.mark.parametrize(
    "entry",
    [entry for entry in attacks("corpus.json", "log") if entry["id"] in ("log-09", "log-10")],
    ids=lambda entry: str(entry["id"]),
)
def test_what_a_spreadsheet_or_a_page_would_run(api: Service, entry: Entry) -> None:
    """It is a text in JSON, whatever the reader says that it takes; a flow cannot have such a name at all."""
    value = next(iter(entry["input"].values()))
    flow = api.flow()["id"]
    body = {"input": {"name": value}, "labels": {"title": value}}
    run = api.call("POST", f"/v1/flows/{flow}/runs", json=body).json()["id"]
    api.work()
    for accept in ("text/csv", "text/html", "application/xhtml+xml", "*/*"):
        for path in (f"/v1/runs/{run}", "/v1/runs", f"/v1/runs/{run}/steps/greet", "/v1/usage", "/v1/audit"):
            answer = api.call("GET", f"{path}?format=csv", headers={"Accept": accept})
            assert answer.headers["content-type"] == "application/json", path
            contained(answer.headers)
            assert isinstance(answer.json(), dict)
    assert api.call("GET", f"/v1/runs/{run}").json()["labels"]["title"] == value
    name = json.dumps({"metadata": {"name": value}, "nodes": {"a": {"type": "transform"}}})
    assert api.call("POST", "/v1/flows", content=name).status_code == 400
