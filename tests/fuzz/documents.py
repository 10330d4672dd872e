"""Doors for flows: the YAML reader, the whole loader, the importers.

What the reader takes must be the same to PyYAML's own parser, and must survive being written and read again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import yaml
from flowrunner.bootstrap import make_registry
from flowrunner.core.flow import Json
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.core.problems import Problem
from flowrunner.language.catalog import Environment
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.importers.base import CannotImport
from flowrunner.language.importers.registry import Importers, import_flow
from flowrunner.language.importers.yaml_text import entry
from flowrunner.language.inputs import MAX_PROBLEMS as MOST_INPUT_PROBLEMS
from flowrunner.language.inputs import check_schema, input_problems
from flowrunner.language.load import load_flow, load_valid_flow
from flowrunner.language.reader import MAX_DEPTH, RESERVED_KEYS, _checked, read_document
from flowrunner.language.suggest import MAX_PROBLEMS
from flowrunner.sandbox.errors import TemplateSyntaxError
from flowrunner.sandbox.templates import compile_template, references
from flowrunner.settings import Settings

from tests.fuzz.target import ACCEPTED, REFUSED, Target, told, words
from tests.language.environment import check_scripts

_BASE: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read(data: bytes) -> str:
    """The YAML reader."""
    try:
        document = read_document(data)
    except InvalidFlow as refused:
        _well_told(refused.problems)
        return REFUSED
    _same(document.value, yaml.load(_checked(data), Loader=_BASE))
    told(_depth(document.value) <= MAX_DEPTH, "a document is deeper than it may be")
    for place in (*document.values.values(), *document.keys.values()):
        told(min(place) >= 1 and place[0] <= len(document.lines) + 1, "a place is outside of the document")
    if isinstance(document.value, dict):
        again = read_document(_written(document.value)).value
        told(_exactly(again, document.value), "a value is another one when it was written and read")
    return ACCEPTED


def load(data: bytes) -> str:
    """The loader with every node type; scripts are not compiled, which is the engine's part."""
    try:
        loaded = load_flow(data, environment())
    except InvalidFlow as refused:
        _well_told(refused.problems)
        return REFUSED
    _well_told(loaded.warnings, some=False)
    told(_exactly(load_valid_flow(data), loaded.flow), "a stored flow is not the one that was checked")
    value = read_document(data).value
    rewritten = load_flow(_written(value), environment())
    told(_exactly(rewritten.flow, loaded.flow), "a flow is another one when it was written and read")
    return ACCEPTED


def bring(data: bytes) -> str:
    """The importers, whichever knows the document."""
    try:
        text = import_flow(data, lambda text: load_flow(text, environment()), importers=IMPORTERS)
    except CannotImport as refused:
        told(refused.problems and all(problem.message for problem in refused.problems), "a refusal without words")
        return REFUSED
    lines = text.replace("\n", "")
    told(lines.isprintable(), "an imported flow has characters that cannot be seen")
    _texts_came_through(json.loads(data.decode("utf-8-sig")), text)
    return ACCEPTED


def inputs(data: bytes) -> str:
    """A JSON Schema on the first line, and what it is to check: a flow with it, and a run's input."""
    first, _, rest = data.partition(b"\n")
    try:
        schema, value = parse_json(first), parse_json(rest or b"null")
    except BadJson:
        return REFUSED
    problems = check_schema(schema)
    told(all(message for _, message in problems), "a problem without words")
    if problems:
        return REFUSED
    found = input_problems(schema, value)
    told(len(found) <= MOST_INPUT_PROBLEMS and all(message for _, message in found), "problems that nobody reads")
    told(input_problems(schema, value) == found, "another verdict the second time")
    return ACCEPTED


IMPORTERS = Importers()


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The loader's surroundings with the real node types, and without processes."""
    return Environment(make_registry(Settings()), compile_template, references, check_scripts, TemplateSyntaxError)


def _well_told(problems: Sequence[Problem], *, some: bool = True) -> None:
    told(problems or not some, "a refusal without a problem")
    told(len(problems) <= MAX_PROBLEMS + 1 or not some, "more problems than anybody reads")
    for problem in problems:
        told(problem.message, "a problem without words")
        told((problem.line or 0) >= 1 and (problem.column or 0) >= 1, "a problem without a place")


def _written(value: dict[str, Json]) -> str:
    return "".join(f"{line}\n" for key, item in value.items() for line in entry(key, item)) or "{}"


def _same(ours: Json, theirs: Any) -> None:
    """PyYAML's BaseLoader makes every scalar a text; structure and texts have to agree."""
    if isinstance(ours, dict):
        told(isinstance(theirs, dict) and list(ours) == list(theirs), "PyYAML reads other keys")
        told(not RESERVED_KEYS & set(ours), "a reserved key came through")
        for key, item in ours.items():
            _same(item, theirs[key])
    elif isinstance(ours, list):
        told(isinstance(theirs, list) and len(ours) == len(theirs), "PyYAML reads another list")
        for one, other in zip(ours, theirs, strict=True):
            _same(one, other)
    else:
        told(isinstance(theirs, str), "PyYAML reads something else than a scalar")
        told(not isinstance(ours, str) or ours == theirs, "PyYAML reads another text")
        told(not isinstance(ours, bool) or theirs.lower() == str(ours).lower(), "PyYAML reads another truth")
        told(type(ours) is not int or int(theirs, 0) == ours, "PyYAML reads another number")


def _exactly(one: Any, other: Any) -> bool:
    """Equal with types (1 is not 1.0 nor true), the lines on which parts of a flow stand aside."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_exactly(item, other[key]) for key, item in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_exactly, one, other))
    if is_dataclass(one):
        names = [field.name for field in fields(one) if field.name not in ("line", "column")]
        return all(_exactly(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


def _depth(value: Json) -> int:
    level, depth = [value], 0
    while level := [
        item
        for one in level
        if isinstance(one, dict | list)
        for item in (one.values() if isinstance(one, dict) else one)
    ]:
        depth += 1
    return depth


def _texts_came_through(document: Json, text: str) -> None:
    """The messages that a workflow logs are in the flow as they were."""
    flow = read_document(text).value
    logged = {
        one["params"].get("message") for one in flow["nodes"].values() if one["type"] == "log" and "params" in one
    }
    for one in document["nodes"]:
        message = (one.get("config") or {}).get("message")
        if one["node_type"] == "debug.log" and isinstance(message, str) and message and "{{" not in message:
            told(message.replace("${", "$${") in logged, "a text is another one in the imported flow")


_YAML = words(
    "metadata: nodes: name: type: log params: message: next: needs: inputs: outputs: foreach: hooks: exec: triggers: - | > |- >+ |2 "
    "& * ! !!str !!binary %YAML %TAG --- ... ? : :: , # ~ yes 0o17 0x1F .inf .nan 1e3 012 << '' \"\\u00e9\" \\x41 \\U0001F600 =",
    *(b"\n  ", b": ", b"- ", b"\n- ", b"\n    ", b" #", b"|\n", b">\n", b"? ", b"{a: ", b"[a, ", b"&a ", b"*a", b"!t "),
)
_FLOW = _YAML + words(
    "condition switch script flow.run inline: http.request delay approval transform ai.agent llm.chat default error true false "
    "retry: max_attempts: delay: timeout: 5s 1d 400d items: as: when: cache: key: ttl: concurrency: egress: allow: cron: webhook "
    "schedule verify: scheme: secret: ${input.a} ${nodes.a.output} ${secrets.K} ${ ${} $${ connections: a.b->c.d any settled"
)
_FLOWENGINE = words(
    '"nodes": "connections": "node_type": "config": "debug.log" "http.request" "flow.branch" "time.delay" "flow.merge" "id": '
    '"from_node": "from_port": "to_node": "to_port": "settings": "on_error": "triggers": "retry_policy": "position": "name": '
    '"transform.json_parse" "transform.json_stringify" "message": {"type":"Number","value":1} ";\\n" "  a;\\n" "{{a}}" "\\u2028"'
)

_SCHEMA = words(
    '"type": "object" "string" "number" "array" "null" "properties": "required": "pattern": "^a+$" "(a+)+$" "patternProperties": "$ref": '
    '"#" "#/$defs/a" "#a" "$defs": "$anchor": "$dynamicRef": "$id": "allOf": "anyOf": "oneOf": "not": "if": "then": "else": "items": '
    '"prefixItems": "uniqueItems":true "additionalProperties":false "unevaluatedProperties":false "enum": "const": "default": '
    '"multipleOf":0.1 "minimum": "maxLength":1e400 "format":"email" "contains": "minContains":0 "propertyNames": "dependentSchemas": '
    '"dependentRequired": true false {} [] "a" 1 1.0 -0 1e308 "aaaaaaaaaaaaaaaaaaaaaaaaa!"',
    b"\n",
    b'{"$ref":"#"}',
    b'\n{"a":1}',
)

TARGETS = (
    Target("yaml", read, _YAML),
    Target("flow", load, _FLOW, pace=6),
    Target("import", bring, _FLOWENGINE, pace=6),
    Target("inputs", inputs, _SCHEMA, pace=4),
)
