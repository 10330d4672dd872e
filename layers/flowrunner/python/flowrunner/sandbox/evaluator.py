"""Evaluating scripts: what they mention is loaded first, what they touch besides is loaded when they touch it.

With a time limit set the engine cannot call back into Python, so loading on first touch works by suspension: touching
something that is not there yet throws a private marker, it is loaded, and the script is evaluated again from the start.
That is harmless: effects are kept back until the end, and `now()` and `uuid()` give the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.errors import StepError
from flowrunner.sandbox.errors import ExpressionError, ScriptError, ScriptLimitExceeded
from flowrunner.sandbox.paths import KEYED, ROOTS, UNDEFINED, Loader
from flowrunner.sandbox.pool import WorkerPool, is_limit
from flowrunner.sandbox.scanner import code_only
from flowrunner.sandbox.templates import Reference, references

MAX_ROUNDS = 64
"""Evaluations of one script for loading what it touches; one that walks over more asks for `nodes` as a whole."""


@dataclass(frozen=True, slots=True)
class Limits:
    """For one evaluation. Times in ms, sizes in bytes."""

    cpu: Millis = 1_000
    wall: Millis = 2_500
    memory: int = 64 * 1024 * 1024
    stack: int = 512 * 1024
    log: int = 256 * 1024
    output: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Script:
    """What to evaluate.

    `expressions`: `sources`, giving a list of their values. `each`: `sources` for every one of `items` (bound as
    `alias` and `index`), giving a list of such lists. `hook`: `body`, giving what it returns.
    """

    kind: Literal["expressions", "each", "hook"]
    sources: tuple[str, ...] = ()
    body: str = ""
    name: str = ""
    items: tuple[Json, ...] = ()
    alias: str = "item"


@dataclass(frozen=True, slots=True)
class LogEntry:
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result and the effects. `touched` is everything that was loaded for it."""

    value: Any
    logs: tuple[LogEntry, ...] = ()
    events: tuple[tuple[str, Json], ...] = ()
    vars_written: Mapping[str, Json] = field(default_factory=dict)
    vars_deleted: tuple[str, ...] = ()
    context: Json = None
    touched: frozenset[Reference] = frozenset()


@dataclass(frozen=True, slots=True)
class ScriptFault:
    """A script that does not compile; place within the script, from 1."""

    line: int
    column: int
    message: str


class Sandbox:
    """Evaluates scripts in worker processes. Safe for several threads."""

    def __init__(self, limits: Limits = Limits(), processes: int = 2) -> None:
        self._limits = limits
        self._pool = WorkerPool(processes)

    def evaluate(
        self,
        account: str,
        script: Script,
        load: Loader,
        *,
        now_ms: Millis,
        seed: str,
        extra: Mapping[str, Json] | None = None,
    ) -> Evaluation:
        """Evaluate `script` with what `load` gives, and `extra` bindings as they are.

        `now_ms` and `seed` fix what `now()`, `uuid()` and `Math.random()` give. Raises `ScriptError`,
        `ScriptLimitExceeded`, `ExpressionError`, and whatever `load` raises for something the script touched.
        """
        return _Run(self, account, script, load, now_ms, seed, dict(extra or {})).result()

    def check_syntax(self, scripts: Sequence[tuple[Literal["expression", "hook"], str]]) -> list[ScriptFault | None]:
        """Compile scripts without running them; None for one that is well formed."""
        if not scripts:
            return []
        codes = [
            _hook_code(source, ()) if kind == "hook" else _expression_code(source, ()) for kind, source in scripts
        ]
        answer = self.ask("", {"kind": "check", "codes": codes, "data": ""})
        return [
            _breakout(kind, source) or (_fault(thrown, kind) if thrown else None)
            for (kind, source), thrown in zip(scripts, answer["faults"], strict=True)
        ]

    def ask(self, account: str, request: dict[str, Any]) -> Any:
        limits = self._limits
        return self._pool.ask(
            account,
            {
                **request,
                "cpu": limits.cpu / 1000,
                "memory": limits.memory,
                "stack": limits.stack,
                "output": limits.output,
            },
            limits.wall / 1000,
        )

    @property
    def limits(self) -> Limits:
        return self._limits

    def close(self) -> None:
        self._pool.close()


class _Run:
    """One evaluation with its rounds."""

    def __init__(
        self, sandbox: Sandbox, account: str, script: Script, load: Loader, now: Millis, seed: str, extra: dict[str, Any]
    ) -> None:
        self._sandbox = sandbox
        self._account = account
        self._script = script
        self._load = load
        self._now = now
        self._seed = seed
        self._bound: dict[str, Any] = extra
        self._loaded: dict[str, dict[str, Any]] = {"nodes": {}, "vars": {}, "secrets": {}}
        self._whole: dict[str, bool] = {}
        self._touched: set[Reference] = set()
        self._sources = script.sources or (script.body,)

    def result(self) -> Evaluation:
        for source in self._sources:
            fault = _breakout("hook" if self._script.kind == "hook" else "expression", source)
            if fault is not None:
                raise ScriptError(f"SyntaxError: {fault.message}", line=fault.line, column=fault.column)
        for reference in {one for source in self._sources for one in references(source)}:
            self._preload(reference)
        for _ in range(MAX_ROUNDS):
            answer = self._sandbox.ask(self._account, self._request())
            if "missing" not in answer:
                return self._evaluation(answer)
            for root, key in answer["missing"]:
                self._fetch(root, key)
        raise ScriptLimitExceeded(
            f"the script touched more than {MAX_ROUNDS} things one after the other; read them by name", limit="rounds"
        )

    def _preload(self, reference: Reference) -> None:
        if reference.root in self._bound:
            return
        try:
            self._fetch(reference.root, reference.key)
        except (StepError, TypeError):
            # It may be mentioned in a branch that is never taken; if it is touched the error comes then.
            return

    def _fetch(self, root: str, key: str | None) -> None:
        if root not in KEYED:
            value = self._load(root, key)
            if value is not UNDEFINED:
                self._bound[root] = value
        elif key is None:
            if root == "secrets":
                raise ScriptError("secrets can be read one by one only: secrets.NAME")
            self._loaded[root] |= self._load(root, None)
            self._whole[root] = True
        else:
            value = self._load(root, key)
            self._loaded[root][key] = value
        self._touched.add(Reference(root, key))

    def _request(self) -> dict[str, Any]:
        names = (*sorted(ROOTS - KEYED), *(name for name in self._bound if name not in ROOTS))
        if self._script.kind == "each":
            names = (*names, *(name for name in (self._script.alias,) if name not in names))
        text = "\n".join(self._sources)
        data = orjson.dumps(
            {
                "kind": self._script.name or self._script.kind,
                "logBytes": self._sandbox.limits.log,
                "bound": self._bound,
                "whole": self._whole,
                "loaded": {
                    root: {key: value for key, value in values.items() if value is not UNDEFINED}
                    for root, values in self._loaded.items()
                },
                "items": self._script.items,
            },
        ).decode()
        codes = [_UNDEFINED_KEYS.replace("{}", orjson.dumps(self._undefined()).decode())] if self._undefined() else []
        return {
            "kind": "run",
            "preludes": _preludes(text),
            "data": data,
            "codes": [*codes, *self._time(text), *self._codes(names)],
            "call": _CALLS[self._script.kind].replace("ALIAS", self._script.alias),
        }

    def _undefined(self) -> dict[str, list[str]]:
        """Keys known to be undefined: they are there, so that touching them asks for nothing."""
        found = {root: [key for key, value in values.items() if value is UNDEFINED] for root, values in self._loaded.items()}
        return {root: keys for root, keys in found.items() if keys}

    def _time(self, text: str) -> list[str]:
        if not _TIME.search(text):
            return []
        return [f"$fr_time({self._now}, {orjson.dumps(self._seed).decode()});"]

    def _codes(self, names: tuple[str, ...]) -> list[str]:
        if self._script.kind == "hook":
            return [f"var $f = [{_hook_code(self._script.body, names)}];"]
        codes = [f"$f.push({_expression_code(source, names)});" for source in self._script.sources]
        return ["var $f = [];", *codes]

    def _evaluation(self, answer: Mapping[str, Any]) -> Evaluation:
        if "too_large" in answer:
            limit = self._sandbox.limits.output
            raise ScriptLimitExceeded(
                f"the script's result has {answer['too_large']:,} bytes; the limit is {limit:,}", limit="output"
            )
        if "thrown" in answer:
            raise self._thrown(answer["thrown"])
        if "error" in answer:
            raise self._failure(answer["error"], answer.get("index", -1))
        return Evaluation(
            value=answer.get("value"),
            logs=tuple(LogEntry(level, message) for level, message in answer.get("logs", ())),
            events=tuple((name, data) for name, data in answer.get("events", ())),
            vars_written=answer.get("vars", {}),
            vars_deleted=tuple(answer.get("gone", ())),
            context=answer.get("context"),
            touched=frozenset(self._touched),
        )

    def _thrown(self, thrown: str) -> StepError:
        """Something that the script could not catch, or that does not compile."""
        if is_limit(thrown):
            limit = "cpu" if "interrupted" in thrown else "stack" if "stack" in thrown else "memory"
            words = {
                "memory": f"the script used more than {self._sandbox.limits.memory // 1024**2} MiB of memory",
                "stack": "the script's calls are nested too deeply",
                "cpu": f"the script used more than {self._sandbox.limits.cpu / 1000:g} s of CPU time",
            }
            return ScriptLimitExceeded(words[limit], limit=limit)
        if thrown.startswith("RangeError: $fr:log"):
            return self._log_limit()
        fault = _fault(thrown, "hook" if self._script.kind == "hook" else "expression")
        return ScriptError(f"SyntaxError: {fault.message}", line=fault.line, column=fault.column)

    def _failure(self, error: Mapping[str, str], index: int) -> StepError:
        name, message = error["name"], error["message"]
        if message == "$fr:log":
            return self._log_limit()
        if name == "InternalError" or "call stack" in message:
            return self._thrown(f"InternalError: {message}")
        text = f"{name}: {message}" if name else message
        if self._script.kind != "hook":
            source = self._script.sources[max(index, 0)].strip()
            return ExpressionError(f"{text} in {source[:200]}", expression=source[:2000])
        place = _user_frame(error["stack"])
        return ScriptError(text[:2000], **place)

    def _log_limit(self) -> ScriptLimitExceeded:
        return ScriptLimitExceeded(f"the script logged more than {self._sandbox.limits.log // 1024} KiB", limit="log")


_TIME = re.compile(r"\b(?:now|uuid|Date|random|performance)\b")
_TEXT = re.compile(r"\b(?:base64|hash|hmac|duration)\b")
_JSONPATH = re.compile(r"\bjsonpath\b")

_UNDEFINED_KEYS = (
    "(function (known) { for (const root of Object.keys(known)) for (const key of known[root])"
    " $m.undefine(root, key); })({});"
)

_CALLS = {
    "hook": "$m.run((scope) => $f[0](scope, (context) => { scope.context = context; }))",
    "expressions": "$m.run((scope, at) => { const r = []; for (let i = 0; i < $f.length; i++)"
    " { at(i); r[i] = $m.value($f[i](scope)); } return r; })",
    "each": "$m.run((scope, at) => { const r = []; const items = $m.items; for (let n = 0; n < items.length; n++) {"
    " const bound = { ...scope, ALIAS: items[n], index: n }; const row = []; for (let i = 0; i < $f.length; i++)"
    " { at(i); row[i] = $m.value($f[i](bound)); } r[n] = row; } return r; })",
}

_PLACE = re.compile(r"<input>:(\d+)(?::(\d+))?")
_USER_FRAME = re.compile(r"at \$user \(<input>:(\d+)(?::(\d+))?\)")

_HOOK_HEAD = "(function $user({NAMES}, $c) { try { "
_HOOK_TAIL = "\n} finally { $c(context); } })"
_EXPRESSION_HEAD = "(function $user({NAMES}) { return ("
_EXPRESSION_TAIL = "\n); })"
_GIVEN = ("nodes", "vars", "secrets", "log", "emit")


def _names(names: Sequence[str]) -> str:
    return "{" + ", ".join([*names, *_GIVEN]) + "}"


def _hook_code(body: str, names: Sequence[str]) -> str:
    head = _HOOK_HEAD.replace("{NAMES}", _names(names or sorted(ROOTS - KEYED)))
    return f"{head}\n{body}{_HOOK_TAIL}"


def _expression_code(source: str, names: Sequence[str]) -> str:
    head = _EXPRESSION_HEAD.replace("{NAMES}", _names(names or sorted(ROOTS - KEYED)))
    return f"{head}\n{source}{_EXPRESSION_TAIL}"


def _preludes(text: str) -> list[str]:
    """The helper sources that the script mentions; parsing the others would cost more than the script."""
    wanted = (("main", None), ("time", _TIME), ("text", _TEXT), ("jsonpath", _JSONPATH))
    return [name for name, pattern in wanted if pattern is None or pattern.search(text)]


def _breakout(kind: str, source: str) -> ScriptFault | None:
    """A closing brace too many would end the function that the script is put into.

    Nothing is lost if one slips through (the limits are the host's), but the author should hear of it.
    """
    closing = {"}": "{", ")": "(", "]": "["}
    open_brackets: list[str] = []
    line = column = 1
    for char in code_only(source):
        if char in "{([":
            open_brackets.append(char)
        elif char in closing and (not open_brackets or open_brackets.pop() != closing[char]):
            return ScriptFault(line, column, f"unexpected '{char}'")
        line, column = (line + 1, 1) if char == "\n" else (line, column + 1)
    return None


def _fault(thrown: str, kind: str) -> ScriptFault:
    """The engine's words with the place in the script. The function's head is on a line of its own."""
    first, _, rest = thrown.partition("\n")
    message = first.removeprefix("SyntaxError: ")
    match = _PLACE.search(rest)
    line = max(int(match[1]) - 1, 1) if match else 1
    return ScriptFault(line, int(match[2]) if match and match[2] else 1, message)


def _user_frame(stack: str) -> dict[str, Any]:
    match = _USER_FRAME.search(stack)
    if match is None:
        return {}
    return {"line": max(int(match[1]) - 1, 1), "column": int(match[2] or 1)}
