"""The canary: secrets that every flow here tries to leak are in no row, no file, no log line and no answer.

security.md: a secret's value never appears in any store row, log line, event or error; what a flow sends out on purpose
is sent. The store is a real SQLite file, whose bytes are searched with those of its write-ahead log.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.engine.engine import Engine
from flowrunner.engine.values import ValueLimits

from tests.api.harness import Service, service
from tests.attacks import attacks, needs_corpus
from tests.servers import Received, RecordingServer, Reply

CANARIES = {
    "WORD": "hunter2hunter2",
    "ODD": "cän/ary+?&=\"quoted\\\"<b>'1' \t~",
    "NUMBER": "8412096375512",
    "SHORT": "q7Zk",
    "LINES": "-----BEGIN KEY-----\nMIIcanarycanary1\nMIIcanarycanary2\n-----END KEY-----",
}


def traces(value: str) -> dict[str, bytes]:
    """What would betray a value. Made here by other means than the redactor's."""
    raw = value.encode()
    found: dict[str, bytes] = {
        "plain": raw,
        "json": json.dumps(value)[1:-1].encode(),
        "json utf-8": json.dumps(value, ensure_ascii=False)[1:-1].encode(),
    }
    for line in value.splitlines():
        if len(line) > 8:
            found[f"line {line}"] = line.encode()
    if len(value) < 8:
        return found
    found |= {
        "lower": value.lower().encode(),
        "upper": value.upper().encode(),
        "url": quote(value, safe="").encode(),
        "url path": quote(value).encode(),
        "form": quote_plus(value).encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "base64": base64.b64encode(raw).rstrip(b"=")[:-1],
        "base64url": base64.urlsafe_b64encode(raw).rstrip(b"=")[:-1],
    }
    for shift in (1, 2):  # inside a longer text: without the characters that its neighbours have a part in
        found[f"base64 +{shift}"] = base64.b64encode(b"x" * shift + raw + b"xx")[4 : -4 - len(raw) % 3]
    return found


def leaks(content: bytes) -> list[str]:
    """Which canaries a content shows, and how."""
    return [
        f"{name} as {form}"
        for name, value in CANARIES.items()
        for form, trace in traces(value).items()
        if trace in content
    ]


def flow(name: str, nodes: str, top: str = "") -> str:
    return f"metadata: {{name: {name}}}\n{top}\nnodes:\n{nodes}\n"


EACH = ["WORD", "ODD", "NUMBER", "SHORT", "LINES"]
ALL_OF = ", ".join(f"secrets.{name}" for name in EACH)

FLOWS: dict[str, str] = {
    "log": f"""
  a: {{type: script, hooks: {{exec: "[{ALL_OF}].forEach(s => {{ log(s); log('x', s, {{k: s}}); log(base64.encode(s)); log(encodeURIComponent(s)); log('user:' + s + '@host') }})"}}, next: b}}
  b: {{type: log, params: {{message: "again ${{secrets.WORD}}", data: {{"k": "${{secrets.ODD}}"}}}}}}""",
    "output": f"""
  a: {{type: script, hooks: {{exec: "return [{ALL_OF}]"}}, next: b}}
  b: {{type: transform, params: {{value: "${{nodes.a.output}}"}}, next: c}}
  c: {{type: script, hooks: {{exec: "return {{ [input[0]]: input, joined: input.join('|'), inner: JSON.stringify(JSON.stringify(input)) }}"}}}}""",
    "encoded": f"""
  a: {{type: script, hooks: {{exec: "return [{ALL_OF}].map(s => [base64.encode(s), base64.encode('u:' + s), base64.encode('us:' + s + '!'), encodeURIComponent(s), encodeURI(s), s.toUpperCase(), s.toLowerCase(), Array.from(s).map(c => c.charCodeAt(0) < 128 ? c.charCodeAt(0).toString(16).padStart(2, '0') : '').join('')])"}}}}""",
    "number": """
  a: {type: script, hooks: {exec: "return {n: Number(secrets.NUMBER), list: [Number(secrets.NUMBER) + 0.5]}"}}""",
    "thrown": """
  a: {type: script, on_error: continue, hooks: {exec: "throw new Error('bad key ' + secrets.WORD + ' ' + secrets.ODD)"}}
  b: {type: transform, on_error: continue, params: {value: "${nope(secrets.WORD)}"}}
  c: {type: transform, on_error: continue, params: {value: "${(() => { throw new Error(secrets.ODD) })()}"}}
  d: {type: json.parse, on_error: continue, params: {text: "{${secrets.WORD}"}}""",
    "event": f"""
  a: {{type: script, hooks: {{exec: "emit(secrets.WORD, {{k: [{ALL_OF}]}}); emit('e', base64.encode(secrets.ODD))"}}}}""",
    "vars": """
  a: {type: script, hooks: {exec: "vars.kept = secrets.WORD; vars.deep = {a: [secrets.ODD, secrets.LINES]}"}, next: b}
  b: {type: transform, params: {value: "${vars.kept + vars.deep.a[0]}"}, next: c}
  c: {type: script, on_error: continue, hooks: {exec: "vars[secrets.WORD] = 1"}}""",
    "foreach": f"""
  a: {{type: transform, foreach: {{items: "${{[{ALL_OF}]}}"}}, params: {{value: "${{item}}"}}, next: b}}
  b: {{type: script, foreach: {{items: "${{nodes.a.output}}", as: one}}, hooks: {{exec: "log(one); return one + '!'"}}, next: c}}
  c: {{type: script, foreach: {{items: "${{nodes.a.output}}"}}, on_error: continue, hooks: {{exec: "throw new Error(item)"}}}}""",
    "ports": """
  a: {type: transform, params: {value: {key: "${secrets.WORD}"}}, next: b}
  b: {type: script, inputs: {given: "${nodes.a.output.key}", own: "${secrets.ODD}"}, hooks: {prep: "context.more = secrets.LINES", exec: "return input", post: "return {output, action: secrets.WORD}"}}""",
    "bad ports": """
  a: {type: script, on_error: continue, inputs: {own: "${(() => { throw new Error(secrets.ODD) })()}"}, hooks: {exec: "return 1"}}
  b: {type: transform, on_error: continue, foreach: {items: "${(() => { throw new Error(secrets.WORD) })()}"}, params: {value: 1}}
  c: {type: transform, on_error: continue, when: "${(() => { throw new Error(secrets.WORD) })()}", params: {value: 1}}
  d: {type: transform, on_error: continue, cache: {key: "${(() => { throw new Error(secrets.WORD) })()}", ttl: 1h}, params: {value: 1}}
  e: {type: filter, on_error: continue, params: {items: [1, 2], where: "${(() => { throw new Error(secrets.WORD + item) })()}"}}
  f: {type: json.parse, on_error: continue, params: {text: "${secrets.ODD}"}}
  g: {type: delay, on_error: continue, params: {for: "${secrets.WORD}"}}
  h: {type: http.request, on_error: continue, params: {url: "${secrets.WORD}"}}
  i: {type: webhook, on_error: continue, params: {url: "https://${secrets.WORD}.example.com/", secret: "${secrets.ODD}"}}
  j: {type: flow.run, on_error: continue, params: {flow: "${secrets.WORD}"}}
  k: {type: transform, on_error: continue, params: {value: {"$.${secrets.WORD}": 1}}}
  l: {type: notification, on_error: continue, params: {channel: slack, url: "ftp://${secrets.WORD}", message: hi}}""",
    "store": """
  a: {type: store, params: {op: set, key: kept, value: {k: "${secrets.WORD}", n: "${Number(secrets.NUMBER)}"}}, next: b}
  b: {type: store, params: {op: get, key: kept}, next: c}
  c: {type: store, params: {op: list}, next: d}
  d: {type: store, on_error: continue, params: {op: set, key: "${secrets.WORD}", value: 1}, next: e}
  e: {type: store, on_error: continue, params: {op: increment, key: "n${secrets.WORD}"}}""",
    "cache": """
  a: {type: script, cache: {key: "${secrets.WORD}", ttl: 1h}, hooks: {exec: "return secrets.ODD"}, next: b}
  b: {type: script, cache: {key: "fixed", ttl: 1h}, hooks: {exec: "return secrets.LINES"}}""",
    "child": """
  a:
    type: flow.run
    params:
      input: {key: "${secrets.WORD}", more: ["${secrets.ODD}"]}
      inline:
        metadata: {name: child}
        nodes: {c: {type: script, hooks: {exec: "log(input.key); return {got: input, own: secrets.LINES}"}}}
    next: b
  b: {type: log, params: {message: "${JSON.stringify(nodes.a.output)}"}, next: c}
  c:
    type: flow.run
    on_error: continue
    params:
      input: {key: "${secrets.WORD}"}
      inline:
        metadata: {name: failing child}
        nodes: {c: {type: script, hooks: {exec: "throw new Error(input.key)"}}}
    next: d
  d:
    type: flow.run
    on_error: continue
    hooks: {prep: "context.inline = {metadata: {name: 'made', description: secrets.WORD}, nodes: {a: {type: 'log', params: {message: 'x'}}}}"}
    params: {inline: {metadata: {name: unused}, nodes: {a: {type: log, params: {message: x}}}}}""",
    "condition": """
  a: {type: switch, params: {value: "${secrets.WORD}", cases: {x: y}}, next: {default: b}}
  b: {type: transform, when: "${secrets.ODD === 'no'}", params: {value: 1}}""",
    "wait": """
  a: {type: approval, params: {timeout: 1s, message: "approve ${secrets.WORD}?", data: {k: "${secrets.ODD}"}}, next: {approved: b, timeout: b}}
  b: {type: delay, params: {for: 1s}, hooks: {post: "return {output: secrets.LINES}"}, next: c}
  c: {type: log, params: {message: "${nodes.b.output}"}}""",
    "fallback": """
  a: {type: script, hooks: {exec: "throw new Error('no')"}, fallback: {value: "${secrets.WORD}"}}""",
    "outputs": """
  a: {type: script, hooks: {exec: "return 1"}}""",
    "bad outputs": """
  a: {type: script, hooks: {exec: "return 1"}}""",
    "large": """
  a: {type: script, hooks: {exec: "return {pad: 'x'.repeat(5000), key: secrets.WORD}"}, next: b}
  b: {type: script, hooks: {exec: "return input.key + ' ' + input.pad.length"}}""",
}
TOPS = {
    "outputs": 'outputs: {key: "${secrets.WORD}", more: ["${secrets.ODD}", "${secrets.LINES}"]}',
    "bad outputs": 'outputs: {key: "${(() => { throw new Error(secrets.WORD) })()}"}',
    "condition": 'concurrency: {key: "${secrets.WORD}", max_runs: 1}',
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flows.db"


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Answers with what it was sent, headers too."""

    def echo(request: Received) -> Reply:
        body = {"headers": request.headers, "body": request.body.decode("latin-1"), "target": request.target}
        status = 500 if "fail" in request.target else 200
        return Reply(status, json.dumps(body).encode(), (("Content-Type", "application/json"),))

    with RecordingServer(echo) as running:
        yield running


@pytest.fixture
def api(file: Path) -> Iterator[Service]:
    """A service on a file, with the canaries in the vault of its team."""
    backend = SqliteBackend(file, "normal")
    backend.migrate()
    with service(backend=backend, allow=["127.0.0.1"], limits=ValueLimits(inline=2_000)) as made:
        for name, value in CANARIES.items():
            assert made.call("PUT", f"/v1/secrets/{name}", json={"value": value}).status_code == 200
        yield made


def work(api: Service) -> None:
    """Until nothing is due any more."""
    for _ in range(1_000):
        due = api.worker.drain()
        api.platform.background.run_once()
        if due is None:
            return
        api.clock.turn_to(due)
    raise AssertionError("the runs go on for ever")


def start(api: Service, name: str, text: str) -> str:
    answer = api.call("POST", "/v1/flows", content=text, headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 201, (name, answer.text)
    return again(api, answer.json()["id"])


def again(api: Service, flow_id: str) -> str:
    run = api.call("POST", f"/v1/flows/{flow_id}/runs", json={"input": {"name": "somebody"}})
    assert run.status_code in (200, 202), run.text
    return str(run.json()["id"])


def everything_shown(api: Service) -> Iterator[tuple[str, bytes]]:
    """Every answer about runs, and about what else there is."""
    runs = api.call("GET", "/v1/runs?limit=100").json()["items"]
    paths = ["/v1/runs?limit=100", "/v1/secrets", "/v1/audit?limit=100", "/v1/flows", "/v1/usage"]
    paths += ["/v1/webhooks", "/v1/schedules", "/metrics", "/openapi.json"]
    for run in runs:
        base = f"/v1/runs/{run['id']}"
        paths += [
            base,
            f"{base}/steps?limit=100",
            f"{base}/events?limit=100",
            f"{base}/logs?limit=100",
            f"{base}/timeline",
        ]
        steps = api.call("GET", f"{base}/steps?limit=100").json()["items"]
        paths += [f"{base}/steps/{quote(step['id'], safe='')}" for step in steps]
    for path in paths:
        answer = api.call("GET", path)
        assert answer.status_code in (200, 404), (path, answer.text)
        yield path, answer.content
        assert not leaks(repr(dict(answer.headers)).encode()), path


def found_in(content: bytes) -> str:
    """For the message of a failing test: the surroundings of a leak."""
    for value in CANARIES.values():
        for trace in traces(value).values():
            place = content.find(trace)
            if place >= 0:
                return repr(content[max(0, place - 300) : place + 100])
    return ""


def check_everything(
    api: Service, file: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """No canary in any answer, in any byte of the store's files, in any log line, in anything printed."""
    for path, content in everything_shown(api):
        assert not leaks(content), (path, leaks(content), found_in(content))
    logged = caplog.text + repr([record.__dict__ for record in caplog.records])
    printed = ("".join(capfd.readouterr()) + logged).encode()
    assert not leaks(printed), (leaks(printed), found_in(printed))
    files = [one for one in file.parent.iterdir() if one.name.startswith(file.name)]
    assert len(files) >= 2, "there is a write-ahead log"
    for one in files:
        content = one.read_bytes()
        assert not leaks(content), (one.name, leaks(content), found_in(content))


def test_the_search_would_find_them(api: Service, file: Path) -> None:
    """Each canary in each form, written by a flow that cannot know that it is one, is found by this search."""
    for name, value in CANARIES.items():
        for form, trace in traces(value).items():
            assert f"{name} as {form}" in leaks(b"x" + trace + b"x")
    given = {"name": "plain", "key": CANARIES["WORD"]}
    flow_id = api.flow(flow("unknowing", '  a: {type: transform, params: {value: "${input.key}"}}'))["id"]
    api.start(flow_id, given)
    content = b"".join(one.read_bytes() for one in file.parent.iterdir())
    assert "WORD as plain" in leaks(content)


@pytest.mark.parametrize("name", FLOWS)
def test_no_flow_leaks_a_canary(
    name: str, api: Service, file: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Into no row, no answer, no log line: see the table of flows."""
    caplog.set_level(logging.DEBUG)
    text = flow(name.replace(" ", "-"), FLOWS[name], TOPS.get(name, ""))
    run = start(api, name, text)
    work(api)
    shown = api.call("GET", f"/v1/runs/{run}").json()
    again(api, shown["flow"]["id"])  # with what is cached now
    work(api)
    assert shown["status"] == ("failed" if name == "bad outputs" else "completed"), shown["error"]
    check_everything(api, file, caplog, capfd)


def test_what_is_sent_on_purpose_is_sent(
    api: Service,
    server: RecordingServer,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Also by later steps, from outputs, vars, items, the store and child runs: only what is shown is masked."""
    caplog.set_level(logging.DEBUG)
    url = server.url
    nodes = f"""
  a: {{type: transform, params: {{value: {{auth: "Bearer ${{secrets.WORD}}", odd: "${{secrets.ODD}}"}}}}, next: b}}
  b: {{type: http.request, params: {{method: POST, url: "{url}/b?k=${{secrets.SHORT}}", headers: {{Authorization: "${{nodes.a.output.auth}}"}}, body: "${{nodes.a.output.odd}}"}}, next: c}}
  c: {{type: transform, params: {{value: "${{nodes.b.output.body}}"}}, next: d}}
  d: {{type: script, hooks: {{exec: "vars.token = secrets.LINES; return nodes.c.output.headers.authorization"}}, next: e}}
  e: {{type: store, params: {{op: set, key: k, value: "${{vars.token}}"}}, next: f}}
  f: {{type: store, params: {{op: get, key: k}}, next: g}}
  g: {{type: flow.run, params: {{input: {{key: "${{nodes.f.output.value}}"}}, inline: {{metadata: {{name: inner}}, nodes: {{x: {{type: transform, params: {{value: "${{input.key}}"}}}}}}}}}}, next: h}}
  h: {{type: http.request, params: {{method: POST, url: "{url}/h", json: {{list: "${{[nodes.d.output, nodes.g.output.x, vars.token]}}"}}}}, next: i}}
  i: {{type: http.request, foreach: {{items: "${{[nodes.d.output]}}"}}, params: {{url: "{url}/i", headers: {{X-Key: "${{item}}"}}}}, next: j}}
  j: {{type: http.request, on_error: continue, params: {{url: "{url}/fail/${{encodeURIComponent(nodes.a.output.odd)}}"}}, next: k}}
  k: {{type: http.request, on_error: continue, params: {{url: "http://127.0.0.1:1/${{secrets.WORD}}"}}}}"""
    run = start(api, "sends", flow("sends", nodes))
    work(api)
    shown = api.call("GET", f"/v1/runs/{run}").json()
    assert shown["status"] == "completed", shown["error"]
    by_path = {request.path: request for request in server.requests}
    assert by_path["/b"].headers["authorization"] == f"Bearer {CANARIES['WORD']}"
    assert by_path["/b"].query == {"k": CANARIES["SHORT"]}
    assert by_path["/b"].body.decode() == CANARIES["ODD"]
    sent = json.loads(by_path["/h"].body)["list"]
    assert sent == [f"Bearer {CANARIES['WORD']}", CANARIES["LINES"], CANARIES["LINES"]]
    assert by_path["/i"].headers["x-key"] == f"Bearer {CANARIES['WORD']}"
    assert any(request.target == f"/fail/{quote(CANARIES['ODD'], safe=chr(39) + '~')}" for request in server.requests)
    check_everything(api, file, caplog, capfd)


def test_an_answer_from_outside_is_masked(
    api: Service,
    server: RecordingServer,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whoever was sent a secret may send it back: as an answer to a waiting step, before or after it waits."""
    caplog.set_level(logging.DEBUG)
    nodes = f"""
  a: {{type: wait.callback, params: {{request: {{url: "{server.url}/a", method: POST, body: {{key: "${{secrets.WORD}}"}}}}}}, next: b}}
  b: {{type: transform, params: {{value: "${{nodes.a.output}}"}}, next: c}}
  c: {{type: http.request, params: {{method: POST, url: "{server.url}/c", json: "${{nodes.b.output}}"}}}}"""
    answers: list[int] = []

    def answer_at_once(request: Received) -> Reply:
        if request.path == "/early":
            token = json.loads(request.body)["callback"]["token"]
            answers.append(api.client.post(f"/v1/callbacks/{token}", json={"echo": CANARIES["WORD"]}).status_code)
        return Reply(200)

    start(api, "late", flow("late", nodes))
    api.work()
    token = json.loads(server.requests[0].body)["callback"]["token"]
    late = api.client.post(f"/v1/callbacks/{token}", json={"echo": CANARIES["WORD"]})
    assert late.status_code < 300, late.text
    work(api)
    assert json.loads(server.requests[-1].body) == {"echo": CANARIES["WORD"]}, "the run itself gets what was answered"
    with RecordingServer(answer_at_once) as eager:
        start(api, "early", flow("early", nodes.replace(f"{server.url}/a", f"{eager.url}/early")))
        work(api)
    assert answers
    assert answers[0] < 300
    assert json.loads(server.requests[-1].body) == {"echo": CANARIES["WORD"]}
    check_everything(api, file, caplog, capfd)


def test_an_answer_that_another_process_takes_early_is_masked(
    api: Service, file: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """That process has not seen what the step reads, and the step has not said so yet."""
    caplog.set_level(logging.DEBUG)
    elsewhere = Engine(replace(api.platform.engine.parts))

    def answer_at_once(request: Received) -> Reply:
        elsewhere.control.answer(json.loads(request.body)["callback"]["token"], {"echo": CANARIES["WORD"]})
        return Reply(200)

    with RecordingServer(answer_at_once) as eager:
        nodes = f"""
  a: {{type: wait.callback, params: {{request: {{url: "{eager.url}", body: {{key: "${{secrets.WORD}}"}}}}}}, next: b}}
  b: {{type: transform, params: {{value: "${{nodes.a.output.echo.length}}"}}}}"""
        run = start(api, "elsewhere", flow("elsewhere", nodes))
        work(api)
    assert api.call("GET", f"/v1/runs/{run}").json()["output"] == {"b": len(CANARIES["WORD"])}
    check_everything(api, file, caplog, capfd)


def test_an_old_value_that_comes_back_from_outside_is_masked(
    api: Service,
    server: RecordingServer,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nothing in the run carries it any more: the process remembers what the run has read."""
    kept: list[str] = []

    def echo_later(request: Received) -> Reply:
        if request.method == "POST":
            kept.append(request.body.decode())
        return Reply(200, kept[0].encode(), (("Content-Type", "text/plain"),))

    with RecordingServer(echo_later) as remembers:
        nodes = f"""
  a: {{type: http.request, params: {{method: POST, url: "{remembers.url}", body: "${{secrets.WORD}}"}}, hooks: {{post: "return {{output: 1}}"}}, next: b}}
  b: {{type: approval, params: {{message: ok?}}, next: {{approved: c}}}}
  c: {{type: http.request, params: {{url: "{remembers.url}"}}}}"""
        run = start(api, "old", flow("old", nodes))
        api.work()
        assert api.call("PUT", "/v1/secrets/WORD", json={"value": "a-new-value-here"}).status_code == 200
        api.call("POST", f"/v1/runs/{run}/steps/b/signal", json={"payload": {"approved": True}})
        work(api)
    assert kept == [CANARIES["WORD"]]
    assert api.call("GET", f"/v1/runs/{run}").json()["output"]["c"]["body"] == "***"
    check_everything(api, file, caplog, capfd)


def test_webhooks_tell_masked_events(
    api: Service,
    server: RecordingServer,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """webhook_out-10: the payloads and their stored deliveries are masked before they are signed."""
    wish = {
        "url": f"{server.url}/hook",
        "events": ["run.completed", "run.failed", "step.log", "step.event", "step.failed"],
    }
    made = api.call("POST", "/v1/webhooks", json=wish)
    assert made.status_code == 201, made.text
    nodes = """
  a: {type: script, hooks: {exec: "log(secrets.WORD); emit('e', {k: secrets.ODD}); return secrets.LINES"}, next: b}
  b: {type: script, hooks: {exec: "throw new Error(secrets.WORD)"}}"""
    start(api, "told", flow("told", nodes, 'outputs: {key: "${nodes.a.output}"}'))
    for _ in range(20):
        work(api)
        api.clock.turn_to(api.clock.now() + 1_000)
        if len(server.requests) >= 4:
            break
        api.platform.outbound.sender.on_free()
    told = [request.body for request in server.requests]
    deliveries = api.call("GET", f"/v1/webhooks/{made.json()['id']}/deliveries?limit=100")
    assert deliveries.json()["items"]
    for content in (*told, deliveries.content):
        assert not leaks(content), found_in(content)
    check_everything(api, file, caplog, capfd)


def test_a_secret_that_is_changed_meanwhile_is_still_masked(
    api: Service, file: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the value that the run has read and carries along; also when it is gone."""
    nodes = """
  a: {type: script, hooks: {exec: "return [secrets.WORD, secrets.ODD]"}, next: b}
  b: {type: approval, params: {message: ok?}, next: {approved: c}}
  c: {type: script, hooks: {exec: "log(nodes.a.output[0], nodes.a.output[1], secrets.WORD); return [nodes.a.output, secrets.WORD]"}}"""
    run = start(api, "changed", flow("changed", nodes))
    api.work()
    assert api.call("PUT", "/v1/secrets/WORD", json={"value": "a-new-value-here"}).status_code == 200
    assert api.call("DELETE", "/v1/secrets/ODD").status_code == 204
    signalled = api.call("POST", f"/v1/runs/{run}/steps/b/signal", json={"payload": {"approved": True}})
    assert signalled.status_code < 300, signalled.text
    work(api)
    shown = api.call("GET", f"/v1/runs/{run}").json()
    assert shown["output"] == {"c": [["***", "***"], "***"]}
    check_everything(api, file, caplog, capfd)
    assert b"a-new-value-here" not in b"".join(one.read_bytes() for one in file.parent.iterdir())


def test_a_large_value_is_sealed_too(api: Service) -> None:
    """In a blob beside the masked one; the next step gets it whole."""
    run = start(api, "large", flow("large", FLOWS["large"]))
    work(api)
    assert api.call("GET", f"/v1/runs/{run}").json()["output"] == {"b": "*** 5000"}


@needs_corpus
def test_the_corpus_has_no_other_entry_about_masking() -> None:
    """log-04 is the flow `log` here (split over two fields: the documented limit), webhook_out-10 the test above."""
    about = {
        entry["id"]
        for entry in attacks("corpus.json")
        if "secret" in entry["expect"] or "redacted" in entry["expect"] or "any encoding" in entry["expect"]
    }
    # llm-05 comes with the llm nodes; expr-35 is answered by `SECRET_MISSING`; log-06 is about the logs of requests.
    assert about - {"llm-05", "expr-35", "log-06", "webhook_in-25"} == {"log-04", "webhook_out-10"}
