"""From what went wrong in a worker to the error that the author reads."""

from __future__ import annotations

from typing import Any

from flowrunner.sandbox.answers import Answer, is_limit
from flowrunner.sandbox.code import PAD, fault_of, hook_place
from flowrunner.sandbox.errors import ExpressionError, ScriptError, ScriptLimitExceeded
from flowrunner.sandbox.paths import SHOWN
from flowrunner.sandbox.script import Limits, Script, ScriptFault


def limit_error(limit: str, limits: Limits, size: int = 0) -> ScriptLimitExceeded:
    """The error for a limit. `size` is that of a result that is too large."""
    mib = 1024**2
    words = {
        "cpu": f"the script used more than {limits.cpu / 1000:g} s of CPU time",
        "wall": f"the script did not end within {limits.wall / 1000:g} s and was stopped",
        "memory": f"the script used more than {limits.memory // mib} MiB of memory",
        "stack": "the script's calls, or a value that it reads or gives, are nested too deeply",
        "log": f"the script logged or emitted more than {limits.log // 1024} KiB",
        "output": f"the script's result has about {size:,} bytes; the limit is {limits.output:,}",
        "rounds": "the script reads too many nodes, vars or secrets one after the other",
    }
    if limit == "output" and not size:  # the process was stopped before it had said how much there is
        return ScriptLimitExceeded(f"the script's result has more than {limits.output:,} bytes", limit=limit)
    return ScriptLimitExceeded(words[limit], limit=limit)


def as_error(answer: Answer, script: Script, limits: Limits) -> ScriptError:
    """The error of an answer that is no result and asks for nothing."""
    if answer.status == "large":
        return limit_error("output", limits, answer.body)
    if answer.status == "logged":
        return limit_error("log", limits)
    if answer.status == "thrown":
        limit = is_limit(answer.body)
        return limit_error(limit, limits) if limit else _not_compiled(answer.body, script)
    failed = answer.body
    text = f"{failed['name']}: {failed['message']}" if failed["name"] else failed["message"]
    limit = is_limit(text)
    if limit:
        error: ScriptError = limit_error(limit, limits)
    else:
        error = _hook_error(text, failed) if script.kind == "hook" else _expression_error(text, failed, script)
    error.logs = answer.logs
    return error


def not_well_formed(fault: ScriptFault, script: Script, source: str) -> ScriptError:
    """The error for a source that does not compile."""
    if script.kind == "hook":
        return ScriptError(f"SyntaxError: {fault.message}", line=fault.line, column=fault.column)
    return _in_expression(f"SyntaxError: {fault.message}", source)


def _not_compiled(text: str, script: Script) -> ScriptError:
    if script.kind == "hook":
        return not_well_formed(fault_of(text, script.body, PAD + 2), script, script.body)
    if len(script.sources) == 1:
        return not_well_formed(fault_of(text, script.sources[0]), script, script.sources[0])
    # Several were compiled one after the other, and the engine's words do not tell which one it was.
    return ExpressionError(fault_of(text, "").message, expressions=[source[:SHOWN] for source in script.sources[:20]])


def _hook_error(text: str, failed: dict[str, Any]) -> ScriptError:
    place = hook_place(failed["stack"])
    error = ScriptError(text)
    if place:
        error.details = {"line": place[0], "column": place[1]}
    return error


def _expression_error(text: str, failed: dict[str, Any], script: Script) -> ScriptError:
    index, item = failed.get("index"), failed.get("item")
    known = index if isinstance(index, int) and 0 <= index < len(script.sources) else 0
    error = _in_expression(text, script.sources[known])
    if script.kind == "each" and isinstance(item, int) and item >= 0:
        error.details["item"] = item
        error.message += f" (item {item})"
    return error


def _in_expression(text: str, source: str) -> ExpressionError:
    source = source.strip()
    shown = source if len(source) <= SHOWN else f"{source[:SHOWN]}…"
    return ExpressionError(f"{text} in {shown}", expression=source[:2000])
