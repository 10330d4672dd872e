"""Paths, pages and queries that are meant for somebody else: the corpora about them over HTTP, and more of the kind."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import HTTP
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.errors import ConfigurationError
from flowrunner.services.identity import Role
from flowrunner.settings import load_settings

from tests.api.harness import HELLO, PASSWORD, Service, service
from tests.api.live_server import LiveServer, live_server
from tests.attacks import attacks, needs_corpus
from tests.servers import RecordingServer

Entry = Mapping[str, Any]
MARKUP = "<img src=x onerror=alert(1)>"


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


def answered(api: Service, path: str, **options: Any) -> httpx2.Response:
    """The answer of a hook that waits for its run."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.call, "POST", f"/hooks/acct-acme/{path}", role=None, **options)
        while not waiting.done():
            api.work()
        return waiting.result()


def replies(api: Service, outputs: str) -> None:
    """A flow at the path `page` whose output is the answer."""
    api.flow(
        f"metadata: {{name: page}}\ntriggers: [{{type: webhook, path: page, respond: sync}}]\noutputs: {outputs}\n"
        "nodes:\n  a: {type: transform, params: {value: '${input.body}'}}\n"
    )


def contained(headers: Mapping[str, str]) -> None:
    """A browser that shows this as a page runs nothing of it in the console's name."""
    assert headers["content-security-policy"] in ("sandbox", "default-src 'none'; frame-ancestors 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "set-cookie" not in headers


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


# -- the console's side ---------------------------------------------------------------------------------------------

CONSOLE = "https://console.example"
STRANGERS = (
    "null", "https://console.example.evil.example", "http://console.example", "https://console.example:444",
    "https://evil-console.example", "https://sub.console.example", "https://consoleXexample", "https://console.example.",
    "https://console.example@evil.example", "file://", "*", "https://console.example, https://evil.example", "",
    "chrome-extension://console.example", "https://console.example/",
)  # fmt: skip


def log_in(api: Service) -> tuple[str, str]:
    """The cookie of a session as it is sent, and its CSRF token."""
    answer = api.client.post("/v1/session", json={"username": "acme-owner", "password": PASSWORD})
    api.client.cookies.clear()
    return answer.headers["Set-Cookie"].partition(";")[0], answer.json()["csrf_token"]


def not_allowed(_: Service, entry: Entry) -> None:
    """No stranger's page reads an answer, and none sends with the console's cookie."""
    with service({"api": {"cors_origins": [CONSOLE]}}) as api:
        api.team()
        cookie, csrf = log_in(api)
        for origin in (entry["input"]["origin"], *STRANGERS):
            ask = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            assert "access-control-allow-origin" not in api.client.options("/v1/flows", headers=ask).headers, origin
            for headers in ({}, {"Cookie": cookie}, api.team().headers()):
                answer = api.client.get("/v1/flows", headers={**headers, "Origin": origin})
                assert "access-control-allow-origin" not in answer.headers, origin
            sent = api.client.post(
                "/v1/flows", content=HELLO, headers={"Cookie": cookie, "Origin": origin, "X-CSRF-Token": csrf}
            )
            assert sent.status_code == 403, origin
        answer = api.client.get("/v1/flows", headers={"Cookie": cookie, "Origin": CONSOLE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, CONSOLE)
        assert "Origin" in answer.headers["vary"]


def no_token(api: Service, entry: Entry) -> None:
    """Every change, with the cookie and the right origin and no CSRF token, another session's, or one in a wrong place."""
    cookie, csrf = log_in(api)
    _, others = log_in(api)
    own = {"Cookie": cookie, "Origin": "http://testserver"}
    for wrong in (
        {},
        {"X-CSRF-Token": others},
        {"X-CSRF-Token": csrf[:-1]},
        {"X-CSRF": csrf},
        {"X-CSRF-Token": cookie.partition("=")[2]},
    ):
        for method, path in (
            ("POST", "/v1/flows"),
            ("PUT", "/v1/secrets/A"),
            ("PATCH", "/v1/account"),
            ("DELETE", "/v1/session"),
        ):
            answer = api.client.request(method, path, headers={**own, **wrong}, params={"csrf_token": csrf})
            assert answer.status_code == 403, (method, wrong)
    assert api.client.get("/v1/flows", headers=own).status_code == 200, "it is still there"


def not_framed(api: Service, _: Entry) -> None:
    """No answer of any kind may be shown inside another page."""
    api.flow("metadata: {name: h}\ntriggers: [{type: webhook, path: p}]\nnodes:\n  a: {type: transform}\n")
    for method, path in (
        ("GET", "/v1/flows"), ("GET", "/nothing"), ("GET", "/"), ("GET", "/console/"), ("GET", "/healthz"), ("GET", "/openapi.json"),
        ("POST", "/hooks/acct-acme/p"), ("GET", "/hooks/acct-acme/p"), ("GET", "/hooks/x/y"), ("POST", "/v1/callbacks/x"), ("DELETE", "/v1/flows"),
    ):  # fmt: skip
        for role in (None, *api.team().tokens):
            answer = api.call(method, path, role=role, headers={"Origin": "https://evil.example"})
            contained(answer.headers)
            if answer.headers["content-security-policy"] != "sandbox":
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def the_cookie(_: Service, __: Entry) -> None:
    """Over HTTPS it is one that no script, no other host and no plain connection has anything to do with."""
    with service({"public_url": "https://flows.example"}) as api:
        api.team()
        answer = api.client.post("/v1/session", json={"username": "acme-owner", "password": PASSWORD})
        [(name, morsel)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
        assert name.startswith("__Host-")
        assert (morsel["secure"], morsel["httponly"], morsel["path"], morsel["domain"]) == (True, True, "/", "")
        assert morsel["samesite"].lower() in ("lax", "strict")
        assert morsel.value not in answer.text


def pages_of_flows(api: Service, entry: Entry) -> None:
    """A page that a flow answers with has no origin, whatever headers the flow asks for."""
    wished = {
        "Content-Type": "text/html", "Content-Security-Policy": "default-src *", "content-security-policy": "x", "X-Frame-Options": "ALLOWALL",
        "Content-Security-Policy-Report-Only": "x", "Set-Cookie": "flowrunner_session=fixed", "Set-Cookie2": "a=b", "Clear-Site-Data": '"*"',
        "X-Content-Type-Options": "none", "Service-Worker-Allowed": "/", "Access-Control-Allow-Credentials": "true", "Transfer-Encoding": "chunked",
        "Content-Length": "1", "Connection": "close", "Strict-Transport-Security": "max-age=0", "X-Correlation-Id": "theirs", "Refresh": "0;url=//evil.example",
        "X-A\r\nSet-Cookie": "a=b", "X-B": "1\r\nSet-Cookie: a=b", "Content-Security-Policy ": "x", "X-Accel-Redirect": "/etc/passwd", "Link": "</x>; rel=preload",
    }  # fmt: skip
    page = entry["input"]["respond_to_webhook_html"]
    replies(api, json.dumps({"status": 200, "headers": wished, "body": page}))
    answer = answered(api, "page", json={})
    contained(answer.headers)
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-length"] == str(len(page))
    assert answer.headers["x-correlation-id"] != "theirs"
    refused = {"set-cookie2", "clear-site-data", "service-worker-allowed", "access-control-allow-credentials", "refresh", "transfer-encoding", "x-b", "x-accel-redirect", "strict-transport-security"}  # fmt: skip
    assert not refused & set(answer.headers)


CONSOLES: Mapping[str, Callable[[Service, Entry], None]] = {
    "console-02": not_allowed,
    "console-03": not_allowed,
    "console-05": no_token,
    "console-06": not_framed,
    "console-08": the_cookie,
    "console-09": pages_of_flows,
}


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "console"), ids=lambda entry: str(entry["id"]))
def test_attacks_on_the_console(api: Service, entry: Entry) -> None:
    """What of them meets the server: every entry ends as the corpus says; a new one fails until it is run."""
    CONSOLES[entry["id"]](api, entry)


@pytest.mark.parametrize(
    "origin", ["*", "null", "https://*.example", "https://a/", "a.example", "HTTPS://A", "https://a b", ""]
)
def test_origins_are_named_one_by_one(origin: str) -> None:
    """A setting that would let every page in stops the start."""
    with pytest.raises(ConfigurationError, match=r"api\.cors_origins.*an origin is like"):
        load_settings({"FLOWRUNNER_API__CORS_ORIGINS": f"{CONSOLE},{origin or '?'}"})
    assert load_settings({"FLOWRUNNER_API__CORS_ORIGINS": f"{CONSOLE},http://[::1]:8080"}).settings.api.cors_origins


def test_two_cookies_of_one_name(api: Service) -> None:
    """A neighbour who can set a cookie beside ours gets nobody into another session: one of them counts, as for reads so for changes."""
    cookie, csrf = log_in(api)
    name = cookie.partition("=")[0]
    for both in (f"{name}=fixed; {cookie}", f"{cookie}; {name}=fixed", f"{name}={cookie}", f'{name}="fixed"; {cookie}'):
        headers = {"Cookie": both, "Origin": "http://testserver", "X-CSRF-Token": csrf}
        reads = api.client.get("/v1/session", headers=headers).status_code
        changes = api.client.patch("/v1/account", json={"name": "acme"}, headers=headers).status_code
        assert (reads, changes) in ((200, 200), (401, 401)), both


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


# -- logs and stores, as far as the API shows them ------------------------------------------------------------------


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


SQL = (
    "name'); DROP TABLE runs;--",
    "' OR '1'='1",
    '" OR 1=1 --',
    "%",
    "_",
    "\\",
    "a\\%",
    "$1",
    "?1",
    ":name",
    "*",
    "[a-z]",
    "NULL",
    "--",
)


def literal(api: Service, given: str) -> None:
    """It goes in as a value, comes out as it was, and finds itself only, in every place that takes a text."""
    kept = 'metadata: {name: kept}\nnodes:\n  s: {type: store, params: {op: set, key: "${input}", value: "${input}"}, next: g}\n'
    kept += '  g: {type: store, params: {op: get, key: "${input}"}}\n'
    if api.call("GET", "/v1/flows?name=kept").json()["items"]:
        flow = api.call("GET", "/v1/flows?name=kept").json()["items"][0]
    else:
        flow = api.flow(kept)
    runs = len(api.call("GET", "/v1/runs?limit=100").json()["items"])
    wish = {"input": given, "labels": {"given": given}}
    run = api.call("POST", f"/v1/flows/{flow['id']}/runs", json=wish, headers={"Idempotency-Key": given})
    assert run.status_code == 202, run.text
    api.work()
    shown = api.call("GET", f"/v1/runs/{run.json()['id']}").json()
    assert (shown["status"], shown["output"]["g"]["value"], shown["labels"]["given"]) == ("completed", given, given)
    for path, params in (
        ("/v1/flows", {"q": f"nobody{given}"}), ("/v1/flows", {"name": given}), ("/v1/flows", {"label": f"team={given}"}), ("/v1/runs", {"flow": given}),
        ("/v1/audit", {"who": given}), ("/v1/audit", {"action": given}), ("/v1/schedules", {"flow": given}), ("/v1/webhooks", {"flow": given}),
    ):  # fmt: skip
        answer = api.call("GET", path, params=params)
        assert answer.status_code in (200, 400), (path, params)
        if answer.status_code == 200 and path != "/v1/webhooks":
            assert answer.json()["items"] == [], (path, params)
    for path in (
        "/v1/runs/{}",
        "/v1/flows/{}",
        "/v1/schedules/{}",
        "/v1/webhooks/{}",
        "/v1/users/{}",
        "/v1/tokens/{}",
        "/v1/secrets/{}",
    ):
        assert api.call("GET", path.format(quote(given, safe=""))).status_code in (400, 404), path
    assert api.client.post("/v1/session", json={"username": given, "password": given}).status_code == 401
    assert api.call("GET", "/v1/flows", role=None, headers={"Authorization": f"Bearer {given}"}).status_code == 401
    api.later(60_000)
    assert len(api.call("GET", "/v1/runs?limit=100").json()["items"]) == runs + 1


@pytest.fixture
def on_file(tmp_path: Path) -> Iterator[Service]:
    backend = SqliteBackend(tmp_path / "flows.db", "normal")
    backend.migrate()
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}, backend=backend) as made:
        made.team()
        yield made


def no_expressions(api: Service, given: Mapping[str, Any]) -> None:
    """A filter is one of ours with a value, never an expression; a body that has one is refused."""
    api.start(api.flow()["id"], {"name": "x"})
    text = json.dumps(given)
    for params in ({"status": text}, {"since": text}, {"limit": text}, {"cursor": text}, {"until": "1=1"}):
        assert api.call("GET", "/v1/runs", params=params).status_code == 400, params
    for params in ({"sort": text}, {"sort": "name;drop"}, {"status": text}, {"label": "=x"}):
        assert api.call("GET", "/v1/flows", params=params).status_code == 400, params
    flow = api.call("GET", "/v1/flows").json()["items"][0]["id"]
    for field in ("filter", "where", "FilterExpression", "attribute_exists(x)"):
        assert api.call("POST", f"/v1/flows/{flow}/runs", json={field: given}).status_code == 400
        answer = api.call("GET", "/v1/runs", params={field: text})  # a parameter that nothing reads changes nothing
        assert len(answer.json()["items"]) == 1


@needs_corpus
@pytest.mark.parametrize(
    "entry",
    [entry for entry in attacks("corpus.json", "sql") if entry["id"] in ("sql-11", "sql-12")],
    ids=lambda entry: str(entry["id"]),
)
def test_attacks_on_our_own_store(on_file: Service, entry: Entry) -> None:
    """On SQLite, through the API."""
    if "sqlite_local" in entry["input"]:
        literal(on_file, entry["input"]["sqlite_local"])
    else:
        no_expressions(on_file, entry["input"]["dynamodb_filter"])


def test_texts_that_mean_something_to_a_store(on_file: Service) -> None:
    """Quotes, wildcards, placeholders: all of them are letters like others."""
    for given in SQL:
        literal(on_file, given)
    for name in ("under_score", "plain"):
        on_file.flow(HELLO.replace("hello", name))
    for query, names in (("_", ["under_score"]), ("%", []), ("*", []), ("plain", ["plain"]), ("p%n", [])):
        found = on_file.call("GET", "/v1/flows", params={"q": query}).json()["items"]
        assert [one["name"] for one in found] == names, query
