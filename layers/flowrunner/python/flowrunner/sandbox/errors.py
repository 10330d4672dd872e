"""What can go wrong with a script, as errors of its step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowrunner.errors import StepError

if TYPE_CHECKING:
    from flowrunner.sandbox.script import LogEntry


class ScriptError(StepError):
    """The script failed.

    `details` may hold `line` and `column` within the script (from 1) and `stack`. `logs` is what the script
    logged before it failed, which is what its author looks for first.
    """

    code = "SCRIPT_ERROR"
    logs: tuple[LogEntry, ...] = ()


class ScriptLimitExceeded(ScriptError):
    """The script went over a limit; `details.limit` is cpu, wall, memory, stack, output, log or rounds."""

    code = "SCRIPT_LIMIT_EXCEEDED"


class ExpressionError(ScriptError):
    """An expression could not be evaluated; the message names it and where in it."""

    code = "EXPRESSION_ERROR"


class SandboxUnavailable(StepError):
    """No process could be started to run scripts in; trying again may help."""

    code = "SANDBOX_UNAVAILABLE"
    retryable = True


class TemplateSyntaxError(ValueError):
    """A string with expressions is not well formed.

    `path` leads to the string within the compiled value, `offset` to the place in the string.
    """

    def __init__(self, path: tuple[str | int, ...], message: str, offset: int) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.offset = offset
