"""Evaluating a template: natively where it holds nothing but paths, in the sandbox otherwise."""

from __future__ import annotations

from typing import Any

from flowrunner.core.ids import Millis
from flowrunner.engine.scope import Scope
from flowrunner.errors import StepError
from flowrunner.sandbox.evaluator import Sandbox, Script
from flowrunner.sandbox.templates import Template


def evaluate(sandbox: Sandbox, template: Template, scope: Scope, field: str, *, now: Millis, seed: str) -> Any:
    """The value of a template in a scope.

    `field` is named in errors; `now` and `seed` fix what `now()` and `uuid()` give. Raises `StepError`.
    """
    if template.constant or template.native:
        return template.render(scope.load)
    script = Script(kind="expressions", sources=tuple(expression.source for expression in template.expressions))
    try:
        done = sandbox.evaluate(scope.account, script, scope.load, now_ms=now, seed=seed, extra=scope.extra())
    except StepError as error:
        error.details.setdefault("field", field)
        raise
    return template.assemble(done.value)
