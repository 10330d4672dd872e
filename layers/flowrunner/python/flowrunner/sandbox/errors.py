"""What can go wrong with a script, as errors of its step."""

from __future__ import annotations

from flowrunner.errors import StepError


class ScriptError(StepError):
    """The script failed.

    `details` may hold `line` and `column` within the script (from 1) and `stack`.
    """

    code = "SCRIPT_ERROR"


class ScriptLimitExceeded(ScriptError):
    """The script went over a limit; `details.limit` is cpu, wall, memory, stack, output or log."""

    code = "SCRIPT_LIMIT_EXCEEDED"


class ExpressionError(ScriptError):
    """An expression could not be evaluated; the message names it and where in it."""

    code = "EXPRESSION_ERROR"


class TemplateSyntaxError(ValueError):
    """A string with expressions is not well formed.

    `path` leads to the string within the compiled value, `offset` to the place in the string.
    """

    def __init__(self, path: tuple[str | int, ...], message: str, offset: int) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.offset = offset
