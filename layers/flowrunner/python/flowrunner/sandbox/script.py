"""The values that go into an evaluation and come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.sandbox.references import Reference

ScriptKind = Literal["expression", "hook"]


@dataclass(frozen=True, slots=True)
class Limits:
    """For one evaluation, all its rounds together. Times in ms, sizes in bytes.

    `output` counts what a script gives and keeps (result, vars, context), `log` what it logs and emits; the
    result of an `each` may be as large as its input besides. `input` is what may be loaded for it.
    """

    cpu: Millis = 1_000
    wall: Millis = 2_500
    memory: int = 64 * 1024 * 1024
    stack: int = 512 * 1024
    log: int = 256 * 1024
    output: int = 256 * 1024
    input: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Script:
    """What to evaluate.

    `expressions`: `sources`, giving a list of their values. `each`: `sources` for every one of `items` (bound
    as `alias` and `index`), giving a list of such lists. `hook`: `body`, giving what it returns; `name` is
    prep, exec or post.
    """

    kind: Literal["expressions", "each", "hook"]
    sources: tuple[str, ...] = ()
    body: str = ""
    name: str = ""
    items: tuple[Json, ...] = ()
    alias: str = "item"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line that a script logged; `level` is debug, info, warning or error."""

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
