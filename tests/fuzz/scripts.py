"""Doors for expressions: the splitter, what it renders by itself, and the workers that evaluate the rest."""

from __future__ import annotations

import atexit
import json
from functools import lru_cache
from typing import Any

import orjson
from flowrunner.errors import StepError
from flowrunner.sandbox.code import analyse
from flowrunner.sandbox.errors import ExpressionError, SandboxUnavailable, TemplateSyntaxError
from flowrunner.sandbox.evaluator import Limits, Sandbox, Script
from flowrunner.sandbox.paths import ROOTS, UNDEFINED
from flowrunner.sandbox.scanner import code_only
from flowrunner.sandbox.templates import Template, compile_template

from tests.fuzz.target import ACCEPTED, REFUSED, Target, told, words

DATA = "${secrets.KEY}"
"""What is in every value that an expression reads: data which is evaluated would ask for the secret."""
TREE: dict[str, Any] = {"a": DATA, "b": [DATA, None, 1.5, {"c": DATA}], "d": {}, "${e}": 2**53, "": "é😀", "length": 0}


class Scope:
    """Gives the tree for every root, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def load(self, root: str, key: str | None) -> Any:
        self.asked.append((root, key))
        return {"absent": UNDEFINED, "none": None}.get(key or "", TREE)


def split(data: bytes) -> str:
    """The splitter, and everything that can be told of an expression without running it."""
    text = data.decode("utf-8", "replace")
    try:
        made = compile_template({"k": [text]})
    except TemplateSyntaxError as refused:
        told(refused.path == ("k", 0) and text.startswith("${", refused.offset), "a fault at another place")
        return REFUSED
    for one in made.expressions:
        begin, end = one.offset, one.offset + len(one.source)
        told(text[begin - 2 : begin] == "${" and text[begin : end + 1] == one.source + "}", "an expression cut wrongly")
        told(len(code_only(one.source)) == len(one.source), "code has another length than its source")
        told({reference.root for reference in analyse(one.source).references} <= ROOTS, "a root that is none")
    _again(text, made)
    return _rendered(made) if made.native else ACCEPTED


def evaluate(data: bytes) -> str:
    """An expression in the sandbox, once: the secret is read only by those that name it."""
    source = data.decode("utf-8", "replace")
    scope = Scope()
    script = Script(kind="expressions", sources=(source,))
    try:
        done = sandbox().evaluate("fuzz", script, scope.load, now_ms=0, seed="s")
    except SandboxUnavailable:
        raise
    except StepError as refused:
        told(refused.message and refused.code, "a refusal without words")
        json.dumps(refused.details)
        return REFUSED
    told(isinstance(done.value, list) and len(done.value) == 1, "an expression has not one value")
    orjson.dumps(done.value)
    if "secrets" not in source and "\\" not in source:
        told(
            not [key for root, key in scope.asked if root == "secrets"],
            "data was evaluated, or a secret is found by chance",
        )
    return ACCEPTED


@lru_cache(maxsize=1)
def sandbox() -> Sandbox:
    """One worker; little of everything, since most of what runs long is meant to."""
    made = Sandbox(Limits(cpu=100, memory=16 * 1024 * 1024, output=64 * 1024, wall=20_000), processes=1)
    atexit.register(made.close)
    return made


def _again(text: str, made: Template) -> None:
    """A text that holds no expression is the text, but for what was escaped; one that does is found whole or in parts."""
    if made.constant:
        told(made.assemble(()) == {"k": [text.replace("$${", "${")]}, "a text without expressions was changed")
        return
    values = made.assemble([DATA] * len(made.expressions))["k"][0]
    told(values.count(DATA) >= len(made.expressions), "what an expression gave is not in the text as it is")


def _rendered(made: Template) -> str:
    scope = Scope()
    try:
        value = made.render(scope.load)
    except ExpressionError as refused:
        told(refused.message.startswith("cannot read"), "a path failed in another way")
        return REFUSED
    asked = {(path.root, str(path.steps[0]) if path.root in ("nodes", "vars", "secrets") and path.steps else None)
             for one in made.expressions if (path := one.native)}  # fmt: skip
    told(
        len(scope.asked) == len(made.expressions) and set(scope.asked) <= asked, "not one evaluation of each expression"
    )
    orjson.dumps(value)
    return ACCEPTED


_JS = words(
    "input nodes prev vars item index error run flow account secrets .a .b [0] ['a'] [\"b\"] . ?. ?? ... => ( ) ${ } $${ ` / // /* */ "
    "/[/]/ /a/g \\ ' \" + - * ** % == === !== && || ! ~ ? : , ; = { [ ] function(){} return this new typeof void delete in of "
    "instanceof async await yield let const var class super import( eval( Function( constructor __proto__ prototype toString "
    "Object Array JSON.stringify( .map( .filter( .repeat( .join( .length Math. Date now() uuid() hash( hmac( jsonpath( base64 log( "
    "emit( 1e309 0x 1n 0.1 null undefined NaN Infinity globalThis Symbol Proxy Reflect RegExp BigInt Promise Map Set absent none \\u0041"
)

TARGETS = (
    Target("expression", split, _JS),
    Target("evaluation", evaluate, _JS, pace=40),
)
