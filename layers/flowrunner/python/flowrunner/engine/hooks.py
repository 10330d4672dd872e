"""The three hooks of a node, and the rules by which their results count.

- `prep` runs before the params are evaluated. Its `context` starts as an empty object; what it leaves in there (or the
  object it returns) is merged: a field that is a parameter of the node type becomes that parameter (objects are merged
  key by key), every other field is merged over the node's input when that is an object or nothing at all. Expressions
  and later hooks see it all as `context`.
- `exec` replaces the node type's own work: its return value is the output.
- `post` sees `output`, or `error` when the node failed for good. It may return `{output, action}` with either, or a
  string: the action. Returning an output after a failure makes the step succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowrunner.core.flow import Hook, Json
from flowrunner.core.ids import Millis
from flowrunner.engine.entries import Entries
from flowrunner.engine.scope import Scope
from flowrunner.errors import StepError
from flowrunner.sandbox.errors import ScriptError
from flowrunner.sandbox.evaluator import Evaluation, Sandbox, Script


@dataclass(frozen=True, slots=True)
class PostResult:
    """What `post` changed; None for what it left alone."""

    changes_output: bool = False
    output: Json = None
    action: str | None = None


class HookRunner:
    """Runs the hooks of one execution, and keeps their effects until it ends."""

    def __init__(self, sandbox: Sandbox, scope: Scope, entries: Entries, now: Millis, seed: str) -> None:
        self._sandbox = sandbox
        self._scope = scope
        self._entries = entries
        self._now = now
        self._seed = seed

    def prep(self, hook: Hook, input: Json) -> dict[str, Json]:
        """The context that `prep` made."""
        done = self._run("prep", hook, {"input": input, "context": {}})
        context = done.value if isinstance(done.value, dict) else done.context
        return dict(context) if isinstance(context, dict) else {}

    def exec(self, hook: Hook, input: Json, params: Mapping[str, Json]) -> Json:
        return self._run("exec", hook, {"input": input, "params": dict(params)}).value

    def post(self, hook: Hook, input: Json, params: Mapping[str, Json], given: Mapping[str, Json]) -> PostResult:
        """Run `post`; `given` holds `output` or `error`."""
        value = self._run("post", hook, {"input": input, "params": dict(params), **given}).value
        if value is None:
            return PostResult()
        if isinstance(value, str):
            return PostResult(action=value)
        if isinstance(value, dict) and value and value.keys() <= {"output", "action"}:
            action = value.get("action")
            if action is None or isinstance(action, str):
                return PostResult("output" in value, value.get("output"), action)
        raise StepError(
            "a post hook returns nothing, an action as text, or an object of `output` and `action`",
            code="HOOK_RESULT_INVALID",
        )

    def script(self, source: str, bindings: Mapping[str, Json]) -> Json:
        """JavaScript on behalf of a node type, with the scope of an `exec` hook."""
        return self._run("exec", Hook(source), dict(bindings), name="script").value

    def _run(self, kind: str, hook: Hook, bindings: dict[str, Json], name: str | None = None) -> Evaluation:
        extra = {**self._scope.extra(), **bindings}
        if "context" in self._scope.given and "context" not in extra:
            extra["context"] = self._scope.given["context"]
        script = Script(kind="hook", name=kind, body=hook.source)
        try:
            done = self._sandbox.evaluate(
                self._scope.account,
                script,
                self._scope.load,
                now_ms=self._now,
                seed=f"{self._seed}/{name or kind}",
                extra=extra,
            )
        except ScriptError as error:
            # What a failing hook had logged helps to find out why it failed.
            for entry in error.logs:
                self._entries.log(entry.message, entry.level)
            raise _placed(error, name or kind, hook) from None
        self._keep(done)
        return done

    def _keep(self, done: Evaluation) -> None:
        for entry in done.logs:
            self._entries.log(entry.message, entry.level)
        for name, data in done.events:
            self._entries.emit(name, data)
        self._scope.written.update(done.vars_written)
        self._scope.removed |= set(done.vars_deleted)
        self._scope.removed -= set(done.vars_written)
        for key in done.vars_deleted:
            self._scope.written.pop(key, None)


def _placed(error: ScriptError, hook_name: str, hook: Hook) -> StepError:
    """The error with the hook's name and its line in the flow's document."""
    details: dict[str, Any] = dict(error.details)
    line = details.get("line")
    where = f"{hook_name} hook"
    if isinstance(line, int) and hook.line:
        details["document_line"] = hook.line + line - 1
        where += f", line {details['document_line']}"
    placed = StepError(f"{where}: {error.message}", code=error.code, retryable=error.retryable)
    placed.details = {**details, "hook": hook_name}
    return placed


def split_context(context: Mapping[str, Json], names: frozenset[str]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The fields of a context that are parameters, and the others."""
    params = {name: value for name, value in context.items() if name in names}
    return params, {name: value for name, value in context.items() if name not in names}


def merge_params(params: Mapping[str, Json], overlay: Mapping[str, Json]) -> dict[str, Json]:
    """Params with what `prep` set over them; two objects are merged key by key."""
    merged = dict(params)
    for name, value in overlay.items():
        before = merged.get(name)
        merged[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def merge_input(input: Json, fields: Mapping[str, Json]) -> Json:
    """The node's input with the other fields of the context over it; anything but an object stays as it is."""
    if not fields or not (input is None or isinstance(input, dict)):
        return input
    return {**(input or {}), **fields}
