"""Helpers that plugins add to scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.sandbox.errors import ExpressionError, ScriptError
from flowrunner.sandbox.evaluator import Sandbox, Script
from flowrunner.sandbox.plugged import helper_codes

HELPERS = {
    "slug": "(text) => clean(text).replace(/ +/g, '-') // a comment at the end",
    "clean": "(text) => text.trim().toLowerCase()",
    "stamped": "(text) => text + ' ' + base64.encode('x')",
    "reads": "() => input.text",
    "torn": "(text => ",
    "throws": "(() => { throw new Error('no') })()",
    "input": "() => 'mine'",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(processes=1)
    made.helpers = lambda account: HELPERS if account == "acme" else {}
    yield made
    made.close()


def value(sandbox: Sandbox, source: str, account: str = "acme") -> object:
    """What an expression gives."""
    found = sandbox.evaluate(
        account,
        Script("expressions", sources=(source,)),
        lambda root, key: {"text": "Ada"} if root == "input" else None,
        now_ms=0,
        seed="s",
    ).value
    assert isinstance(found, list)
    return found[0]


def test_scripts_call_helpers(sandbox: Sandbox) -> None:
    """And these call one another, the sandbox's own, and what the script may read."""
    assert value(sandbox, "slug('  Ada  Lovelace ')") == "ada-lovelace"
    assert value(sandbox, "stamped('x')") == "x eA=="
    assert value(sandbox, "reads()") == "Ada"


def test_hooks_call_helpers(sandbox: Sandbox) -> None:
    """Lines of a hook are counted as if there were none."""
    hook = Script("hook", body="const a = slug('A b');\nthrow new Error(a)", name="exec")
    with pytest.raises(ScriptError, match="a-b") as caught:
        sandbox.evaluate("acme", hook, lambda root, key: None, now_ms=0, seed="s")
    assert caught.value.details["line"] == 2


def test_helpers_are_the_accounts(sandbox: Sandbox) -> None:
    """Another account's scripts have none of them."""
    with pytest.raises(ExpressionError, match="not defined"):
        value(sandbox, "slug('x')", account="other")


@pytest.mark.parametrize("name", ["torn", "throws"])
def test_a_broken_helper_fails_where_it_is_used(sandbox: Sandbox, name: str) -> None:
    """With its name; scripts that do not use it know nothing of it."""
    assert value(sandbox, f"typeof {name}x") == "undefined"
    with pytest.raises(ExpressionError, match=f"the helper {name} cannot be used"):
        value(sandbox, f"{name}('x')")


def test_a_helper_takes_no_name_that_means_something(sandbox: Sandbox) -> None:
    """The script's own input is what it reads."""
    assert value(sandbox, "input.text + ''") == "Ada"
    assert sandbox.helper_fault("input", HELPERS["input"]) == "scripts have another thing of that name"


def test_faults_are_told(sandbox: Sandbox) -> None:
    """Before anybody uses them."""
    assert sandbox.helper_fault("slug", HELPERS["slug"]) is None
    assert "line 1" in (sandbox.helper_fault("torn", HELPERS["torn"]) or "")


def test_only_what_is_mentioned_is_evaluated() -> None:
    """With what that mentions in turn."""
    assert len(helper_codes(HELPERS, ["slug(input.a)"])) == 2
    assert helper_codes(HELPERS, ["'slug'"]) == ()
