"""Each node type of `flowengine` as one of ours."""

from __future__ import annotations

import json
import re
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.language.importers.base import Problems
from flowrunner.language.importers.flowengine_reading import DELAY as USUAL_DELAY
from flowrunner.language.importers.flowengine_reading import KINDS, Node, Retry
from flowrunner.language.importers.flowengine_wiring import Term, Wiring, step

ANY_STATUS = ["1xx", "2xx", "3xx", "4xx", "5xx"]
"""flowengine hands every answer on, whatever its status."""
PATIENCE = "5m"
NO_MESSAGE = "(no message)"
_CREDENTIAL = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)

Fields = dict[str, Json]


def convert_node(node: Node, wiring: Wiring, problems: Problems) -> tuple[Fields, list[str]]:
    """The node's fields in the order of reading, and remarks on it."""
    remarks = [
        f"{one.out} of {wiring.flow.nodes[one.source].name} came to the port {one.port}, which flowengine does not "
        "read: it only says what comes first"
        for one in wiring.unread(node)
    ]
    for port in KINDS[node.type].must:
        if not wiring.is_root(node.id) and port not in wiring.ports(node) and port not in node.config:
            problems.add(node.path, f"nothing is connected to the port {port!r}, without which {node.type} fails")
    match node.type:
        case "http.request":
            fields = _http(node, wiring, remarks)
        case "transform.json_parse":
            fields = {"type": "json.parse", "params": {"text": _value(node, wiring, "json")}}
        case "transform.json_stringify":
            fields = _stringify(node, wiring)
        case "time.delay":
            fields = {"type": "delay", "params": {"for": duration(node.config.get("delay_ms", USUAL_DELAY))}}
            inputs: Json = {port: expression(wiring.term(node, port)) for port in wiring.ports(node)}
            fields |= {"inputs": inputs} if inputs else {}
        case "debug.log":
            fields = _log(node, wiring)
        case "flow.branch":
            fields = _branch(node, wiring)
        case _:
            fields = _merge(node, wiring)
    head: Fields = {"type": fields.pop("type")}
    if node.label and node.label != node.name:
        head["name"] = node.label
    return {**head, **_around(node, wiring), **fields, **_after(node, wiring)}, remarks


def _around(node: Node, wiring: Wiring) -> Fields:
    fields = {"needs": wiring.needs(node.id), "when": wiring.when(node.id)}
    return {name: value for name, value in fields.items() if value is not None}


def _after(node: Node, wiring: Wiring) -> Fields:
    following = wiring.next(node.id)
    fields: Fields = {"retry": _retry(node.retry, node.type)} if node.retry else {}
    fields |= {"next": following} if following is not None else {}
    if node.position:
        x, y = (int(part) if part == int(part) else part for part in node.position)
        fields["ui"] = {"x": x, "y": y}
    return fields


def _retry(retry: Retry, type_name: str) -> Json:
    policy: Fields = {
        "max_attempts": retry.max_attempts,
        "delay": duration(retry.delay),
        "backoff": retry.backoff,
        "max_delay": duration(retry.max_delay),
        "jitter": "none",
    }
    if not retry.on_timeout and type_name == "http.request":  # the others wait for nobody
        policy["on"] = ["HttpConnect"]
    return policy


def duration(millis: Any) -> str:
    """A duration in the largest unit that says it exactly."""
    whole = int(millis)
    units = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))
    return next((f"{whole // size}{unit}" for unit, size in units if whole and not whole % size), f"{whole}ms")


def escaped(value: Json) -> Json:
    """A value in which nothing is an expression."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {name: escaped(item) for name, item in value.items()}
    return value


def expression(term: Term | None, otherwise: str | None = None) -> Json:
    """The term as a whole value; null, or `otherwise`, where it gives none."""
    if term is None:
        return otherwise
    if otherwise is not None and term.given is not None:
        return f"${{{term.whole} ?? {json.dumps(otherwise)}}}"
    return f"${{{term.whole}}}"


def _value(node: Node, wiring: Wiring, port: str) -> Json:
    """What a port gets: from a connection, else from the configuration, else from the run's input."""
    if port in node.config and port not in wiring.ports(node):
        return escaped(node.config[port])
    if wiring.is_root(node.id) and port in KINDS[node.type].must:
        return f"${{input{step(port)}}}"
    return expression(wiring.term(node, port))


def _http(node: Node, wiring: Wiring, remarks: list[str]) -> Fields:
    method = str(node.config.get("method") or "GET").upper()
    params: Fields = {"url": _value(node, wiring, "url")}
    if method != "GET":
        params["method"] = method
    given = node.config.get("headers")
    headers: Fields = {name: escaped(value) for name, value in given.items()} if isinstance(given, dict) else {}
    body = _body(node, wiring, headers) if method in {"POST", "PUT"} else {}
    if method not in {"POST", "PUT"} and "body" in wiring.ports(node):
        remarks.append(f"something is connected to the port body, which flowengine does not send by {method}")
    if any(_CREDENTIAL.search(name) for name in headers):
        remarks.append("a header looks like a credential: keep it as a secret, and write ${secrets.NAME} here")
    if headers:
        params["headers"] = headers
    params |= body
    params |= {"timeout": PATIENCE, "response": "text", "expect_status": [*ANY_STATUS]}
    return {"type": "http.request", "params": params}


def _body(node: Node, wiring: Wiring, headers: Fields) -> Fields:
    if "body" in node.config and "body" not in wiring.ports(node):
        value = node.config["body"]
        as_it_is = isinstance(value, str) or (isinstance(value, dict) and value.keys() == {"$bytes"})
        return {} if value is None else {"body" if as_it_is else "json": escaped(value)}
    term = wiring.term(node, "body")
    if term is None:
        return {}
    if term.shape == "text":
        return {"body": expression(term)}
    if term.shape == "json" and term.given is None:
        return {"json": expression(term)}
    # A text goes as it is, anything else as JSON, and nothing when there is nothing.
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = (
            f'${{(value => value == null || typeof value == "string" ? null : "application/json")({term.whole})}}'
        )
    return {
        "body": '${(value => value == null || typeof value == "string" ? value : JSON.stringify(value))('
        + term.whole
        + ")}"
    }


def _stringify(node: Node, wiring: Wiring) -> Fields:
    params: Fields = {"value": _value(node, wiring, "value"), "indent": 2, "sort_keys": True}
    fields: Fields = {"type": "json.stringify", "params": params}
    term = wiring.term(node, "value")
    if term is not None and term.given is not None and ("value" not in node.config or not wiring.is_root(node.id)):
        fields["hooks"] = {"prep": f'if (!({term.given})) throw new Error("nothing came to the port value");\n'}
    return fields


def _log(node: Node, wiring: Wiring) -> Fields:
    ports = wiring.ports(node)
    if "message" in node.config and "message" not in ports:
        message = escaped(node.config["message"])
    else:
        message = expression(wiring.term(node, "message"), NO_MESSAGE)
    params: Fields = {"message": message}
    if wiring.is_root(node.id):
        params["data"] = "${input}"
    others: Json = {port: expression(wiring.term(node, port)) for port in ports if port != "message"}
    if others:
        params["data"] = others
    return {"type": "log", "params": params}


def _branch(node: Node, wiring: Wiring) -> Fields:
    if "condition" in node.config and "condition" not in wiring.ports(node):
        condition: Json = node.config["condition"]
    else:
        term = wiring.term(node, "condition")
        condition = f"${{{term.whole} === true}}" if term else False
    payload = _value(node, wiring, "payload")
    return {"type": "condition", "inputs": {"payload": payload}, "params": {"if": condition}}


def _merge(node: Node, wiring: Wiring) -> Fields:
    if wiring.is_root(node.id):
        return {"type": "transform", "params": {"value": "${input}"}}
    terms = {port: wiring.term(node, port) for port in wiring.ports(node)}
    if all(term is not None and term.given is None for term in terms.values()):
        return {"type": "transform", "params": {"value": {port: expression(term) for port, term in terms.items()}}}
    lines = ["const merged = {};"]
    for port, term in terms.items():
        if term is not None:
            condition = f"if ({term.given}) " if term.given else ""
            lines.append(f"{condition}merged{step(port)} = {term.text};")
    return {"type": "script", "hooks": {"exec": "\n".join([*lines, "return merged;"]) + "\n"}}
