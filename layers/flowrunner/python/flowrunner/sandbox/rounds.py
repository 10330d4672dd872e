"""One evaluation: what the script mentions is loaded first, what it touches besides is loaded when it touches
it.

With a time limit set the engine cannot call back into Python, so loading on first touch works by suspension:
touching something that is not there yet throws a private marker, it is loaded, and the script is evaluated
again from the start. That is harmless: effects are kept back until the end, and `now()` and `uuid()` give the
same each time. A script that catches the marker gains nothing, since the touch is on record. All rounds share
one time limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from flowrunner.core.ids import Millis
from flowrunner.errors import StepError, ValueTooLarge
from flowrunner.sandbox.answers import Answer, Garbled, TooDeep, is_limit, read_answer
from flowrunner.sandbox.code import LAZY, PARTS, analyse, expression_code, hook_code
from flowrunner.sandbox.errors import ScriptError
from flowrunner.sandbox.failures import as_error, limit_error, not_well_formed
from flowrunner.sandbox.paths import KEYED, ROOTS, UNDEFINED, Loader
from flowrunner.sandbox.pool import WorkerPool
from flowrunner.sandbox.process import SECONDS_PER_BYTE, Request, WorkerLost
from flowrunner.sandbox.references import Reference
from flowrunner.sandbox.script import Evaluation, Limits, Script

ROUNDS_MOST = 64
"""Evaluations of one script for loading what it touches."""
ROUNDS_SINGLE = 32
"""Rounds after which nodes and vars are loaded as a whole: the script walks over them."""
PART = "$part"
"""As a root: a part of the prelude that a script reached without mentioning it."""

_NAME = re.compile(r"[A-Za-z_$][\w$]*")


class Rounds:
    """The rounds of one evaluation."""

    def __init__(
        self,
        pool: WorkerPool,
        limits: Limits,
        account: str,
        script: Script,
        load: Loader,
        extra: Mapping[str, Any],
        helpers: tuple[str, ...] = (),
    ) -> None:
        """`helpers` are codes that run before the script."""
        self._pool = pool
        self._limits = limits
        self._account = account
        self._script = script
        self._load = load
        self._extra = extra
        self._helpers = helpers
        self._sources = (script.body,) if script.kind == "hook" else script.sources
        self._analyses = [analyse(source) for source in self._sources]
        self._parts = {name for one in self._analyses for name in one.parts}
        self._names = tuple(map(_identifier, extra))
        self._arguments = (_identifier(script.alias), "index") if script.kind == "each" else ()
        self._bound: dict[str, Any] = {}
        self._keyed: dict[str, dict[str, Any]] = {root: {} for root in sorted(KEYED)}
        self._whole: dict[str, bool] = {}
        self._touched: set[Reference] = set()
        self._size = 0

    def result(self, now: Millis, seed: str) -> Evaluation:
        """Evaluate until nothing is missing. Raises as `Sandbox.evaluate`."""
        for source, analysis in zip(self._sources, self._analyses, strict=True):
            if analysis.fault is not None:
                raise not_well_formed(analysis.fault, self._script, source)
        self._preload()
        spent = parsing = 0.0
        for number in range(ROUNDS_MOST):
            left = min(self._limits.wall / 1000, self._limits.wall / 1000 + 4 * parsing - spent)
            if left <= 0:
                raise limit_error("wall", self._limits)
            answer, seconds = self._ask(left, now, seed)
            if answer.status == "ok":
                return self._evaluation(answer)
            if answer.status != "missing":
                raise as_error(answer, self._script, self._limits)
            spent += seconds
            parsing = self._size * SECONDS_PER_BYTE
            for root, key in answer.body:
                self._fetch_missing(root, key, walking=number >= ROUNDS_SINGLE)
        raise limit_error("rounds", self._limits)

    def _preload(self) -> None:
        """Load what is mentioned. What cannot be loaded may stand in a branch that is never taken: if it is
        touched, the error comes then. A key that is not known yet (`nodes[x]`) is found out by touching.
        """
        mentioned = {reference for one in self._analyses for reference in one.references}
        words = frozenset().union(*(one.words for one in self._analyses))
        mentioned |= {Reference(name) for name in self._extra if name in words and name not in KEYED}
        if self._script.name == "prep":
            mentioned.add(Reference("context"))  # it is a result, mentioned or not
        mentioned -= {Reference(name) for name in self._arguments}
        for reference in sorted(mentioned, key=lambda one: (one.root, one.key or "")):
            if reference.root in KEYED and reference.key is None:
                continue
            try:
                self._fetch(reference.root, reference.key)
            except StepError:
                continue

    def _fetch_missing(self, root: str, key: Any, *, walking: bool) -> None:
        if root == PART and key in PARTS:
            self._parts.add(key)
        elif root in KEYED and key is None and "keyed" not in self._parts:
            self._parts.add("keyed")
        elif root in KEYED and (key is None or isinstance(key, str)):
            self._fetch(root, None if walking and root != "secrets" else key)
        elif key is None and (root in ROOTS or root in self._extra):
            self._fetch(root, None)
        else:
            raise ScriptError("the script's answer cannot be read")

    def _fetch(self, root: str, key: str | None) -> None:
        if root not in KEYED:
            self._bound[root] = self._extra[root] if root in self._extra else self._load(root, None)
        elif key is not None:
            self._keyed[root][key] = self._load(root, key)
        elif root == "secrets":
            raise ScriptError("secrets can be read one by one only: secrets.NAME")
        else:
            self._keyed[root] |= self._load(root, None)
            self._whole[root] = True
        if root not in self._extra:
            self._touched.add(Reference(root, key))

    def _ask(self, left: float, now: Millis, seed: str) -> tuple[Answer, float]:
        limits = self._limits
        items = _dumps(self._script.items)
        most = limits.output + (len(items) if self._script.kind == "each" else 0)
        data = self._data({"now": now, "seed": seed, "limit": most}, items)

        def judge(text: bytes) -> tuple[Answer, bool]:
            answer = read_answer(text)
            if answer.size > most:
                return Answer("large", answer.size), False
            return answer, _may_stay(answer)

        cpu = min(limits.cpu / 1000, left)
        parts = tuple(name for name in PARTS if name in self._parts)
        content = (parts, data, self._codes(), self._helpers)
        self._size = len(data)
        request = Request("run", cpu, left, limits.memory, limits.stack, len(data), content)
        try:
            # A character that is counted as one in the worker may be three bytes here, or six where it is
            # escaped.
            return self._pool.ask(self._account, request, 3 * most + 3 * limits.log + 65_536, judge)
        except WorkerLost as lost:
            raise limit_error(lost.limit, limits) from lost
        except TooDeep as error:
            raise limit_error("stack", limits) from error
        except Garbled as error:
            raise ScriptError("the script's answer cannot be read: it tampered with what runs it") from error

    def _data(self, given: Mapping[str, Any], items: bytes) -> str:
        keyed = self._keyed.items()
        document = {
            **given,
            "way": self._script.kind,
            "name": self._script.name,
            "logLimit": self._limits.log,
            "roots": sorted({*ROOTS, *self._names} - self._unset()),
            "lazy": {word: part for word, part in LAZY.items() if part not in self._parts},
            "bound": {name: value for name, value in self._bound.items() if value is not UNDEFINED},
            "loaded": {
                root: {key: value for key, value in values.items() if value is not UNDEFINED} for root, values in keyed
            },
            "whole": self._whole,
            "absent": [[root, key] for root, values in keyed for key, value in values.items() if value is UNDEFINED],
        }
        text = _dumps(document)[:-1] + b',"items":' + items + b"}"
        if len(text) > self._limits.input:
            names = ", ".join(sorted({f"{one.root}.{one.key}" if one.key else one.root for one in self._touched}))
            raise ValueTooLarge(
                f"what the script reads has {len(text):,} bytes in all; the limit is {self._limits.input:,}"
                + (f" (it reads {names[:300]})" if names else ""),
                size=len(text),
                limit=self._limits.input,
            )
        return text.decode()

    def _unset(self) -> set[str]:
        """Roots that are known to be undefined: a script may use such a name for what it likes."""
        return {name for name, value in self._bound.items() if value is UNDEFINED}

    def _codes(self) -> tuple[str, ...]:
        constants = {*self._bound, *(KEYED if "keyed" in self._parts else ())} - set(self._arguments)
        if self._script.kind == "hook":
            return (hook_code(self._script.body, constants, writes_context=self._script.name == "prep"),)
        return tuple(expression_code(source, constants, self._arguments) for source in self._sources)

    def _evaluation(self, answer: Answer) -> Evaluation:
        body = answer.body
        return Evaluation(
            value=body["value"],
            logs=answer.logs,
            events=answer.events,
            vars_written=body.get("vars", {}),
            vars_deleted=tuple(body.get("gone", ())),
            context=body.get("context"),
            touched=frozenset(self._touched),
        )


def _may_stay(answer: Answer) -> bool:
    """Whether the worker may be used again: not after a limit, and not when the engine itself failed."""
    match answer.status:
        case "ok" | "missing":
            return True
        case "error":
            return is_limit(f"{answer.body['name']}: {answer.body['message']}") is None
        case "thrown":
            return str(answer.body).startswith("SyntaxError")
        case _:
            return False


def _identifier(name: str) -> str:
    """A name that goes into code. Raises `ScriptError` for one that is none."""
    if not _NAME.fullmatch(name):
        raise ScriptError(f"{name!r} is no name that a script can use: letters, digits, _ and $, not a digit first")
    return name


def _dumps(value: Any) -> bytes:
    """JSON text; what orjson refuses (numbers beyond 64 bits, lone surrogates, deep values) the slow way."""
    try:
        return orjson.dumps(value)
    except TypeError:
        pass
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError as error:
        raise ValueTooLarge("a value that the script reads is nested too deeply") from error
    except (TypeError, ValueError) as error:
        raise ScriptError(f"a value that the script reads is not JSON: {error}") from error
