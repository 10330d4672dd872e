"""A sandbox for the tests, and a scene: an account's values, with a record of what was loaded of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from flowrunner.errors import SecretMissing
from flowrunner.sandbox.evaluator import Evaluation, Limits, Sandbox, Script
from flowrunner.sandbox.paths import KEYED, UNDEFINED
from flowrunner.sandbox.templates import compile_template

NOW = 1_700_000_000_000


@dataclass
class Scene:
    """Evaluates with `values` (root to value; for nodes, vars and secrets: key to value) to load from."""

    sandbox: Sandbox
    values: Mapping[str, Any]
    loaded: list[tuple[str, str | None]] = field(default_factory=list)
    account: str = "acme"

    def load(self, root: str, key: str | None) -> Any:
        self.loaded.append((root, key))
        if root not in KEYED:
            return self.values.get(root, UNDEFINED)
        values = self.values.get(root, {})
        if key is None:
            return dict(values)
        if root == "secrets" and key not in values:
            raise SecretMissing(f"there is no secret {key!r}")
        return values.get(key, UNDEFINED)

    def evaluate(self, script: Script, extra: Mapping[str, Any] | None = None, seed: str = "seed") -> Evaluation:
        return self.sandbox.evaluate(self.account, script, self.load, now_ms=NOW, seed=seed, extra=extra)

    def hook(self, body: str, name: str = "exec", **extra: Any) -> Evaluation:
        return self.evaluate(Script(kind="hook", name=name, body=body), extra)

    def expressions(self, *sources: str) -> Any:
        return self.evaluate(Script(kind="expressions", sources=sources)).value

    def each(self, items: Sequence[Any], *sources: str, alias: str = "item") -> Any:
        return self.evaluate(Script(kind="each", sources=sources, items=tuple(items), alias=alias)).value

    def template(self, value: Any) -> Any:
        """The value of a template, native or not, as the engine gets it."""
        template = compile_template(value)
        if template.native:
            return template.render(self.load)
        return template.assemble(self.expressions(*(one.source for one in template.expressions)))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The sandbox with the limits of production."""
    made = Sandbox(processes=2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def tight() -> Iterator[Sandbox]:
    """A sandbox whose limits are reached soon, for scripts that go on until they are stopped."""
    made = Sandbox(Limits(cpu=250, wall=1_200), processes=2)
    yield made
    made.close()


@pytest.fixture
def scene(sandbox: Sandbox) -> Callable[..., Scene]:
    """`scene(input=…, nodes={…})`: a scene with these values."""
    return lambda **values: Scene(sandbox, values)


@pytest.fixture
def tight_scene(tight: Sandbox) -> Callable[..., Scene]:
    """A scene in the sandbox whose limits are reached soon."""
    return lambda **values: Scene(tight, values)
