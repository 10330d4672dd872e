"""Warnings: what is allowed and most likely a mistake, and what only looks like one."""

from __future__ import annotations

import pytest

from tests.language.environment import load, warnings

HEAD = "metadata: {name: x}\n"


def _reads(what: str, nodes: str) -> str:
    return f"{HEAD}nodes:\n  r: {{type: log, params: {{data: '${{nodes.{what}.output}}'}}, next: n}}\n  n: {{type: log, next: m}}\n  m: {{type: log}}\n{nodes}"


WARNED: list[tuple[str, str, str]] = [
    (
        "a read of what comes later",
        _reads("n", ""),
        "warning: nodes.r.params.data: reads node 'n', which cannot have run before 'r' (line 3, column 36)",
    ),
    (
        "a read of what is elsewhere",
        _reads("o", "  o: {type: log}\n"),
        "warning: nodes.r.params.data: reads node 'o', which cannot have run before 'r' (line 3, column 36)",
    ),
    (
        "a hook that reads what comes later",
        f"{HEAD}nodes:\n  a:\n    type: script\n    next: b\n    hooks:\n      exec: |\n        return nodes.b.output;\n  b: {{type: log}}",
        "warning: nodes.a.hooks.exec: reads node 'b', which cannot have run before 'a' (line 8, column 9)",
    ),
    (
        "an error edge of a node that goes on",
        f"{HEAD}nodes: {{a: {{type: log, on_error: continue, next: {{error: b}}}}, b: {{type: log}}}}",
        "warning: nodes.a.next.error: this edge is never taken: on_error: continue goes on along `default` (line 2, column 51)",
    ),
    (
        "an error edge of a node that goes on by default",
        f"{HEAD}defaults: {{on_error: continue}}\nnodes: {{a: {{type: log, next: {{error: b}}}}, b: {{type: log}}}}",
        "warning: nodes.a.next.error: this edge is never taken: on_error: continue goes on along `default` (line 3, column 31)",
    ),
    (
        "an error edge of a node with a fallback",
        f"{HEAD}nodes: {{a: {{type: log, fallback: 0, next: {{error: b}}}}, b: {{type: log}}}}",
        "warning: nodes.a.next.error: this edge is never taken: a fallback makes the step succeed (line 2, column 44)",
    ),
    (
        "an action that is never given",
        f"{HEAD}nodes: {{a: {{type: condition, next: {{ture: b}}}}, b: {{type: log}}}}",
        "warning: nodes.a.next.ture: a condition node never gives the action 'ture'; it gives true, false, error; did you mean 'true'? (line 2, column 37)",
    ),
    (
        "an action of a type that an exec hook stands in for",
        f"{HEAD}nodes: {{a: {{type: condition, hooks: {{exec: 'return 1'}}, next: {{'true': b}}}}, b: {{type: log}}}}",
        "warning: nodes.a.next.true: a condition node never gives the action 'true'; it gives default, error (line 2, column 64)",
    ),
    (
        "an action of a node that runs per item",
        f"{HEAD}nodes: {{a: {{type: condition, foreach: {{items: [1]}}, next: {{'true': b}}}}, b: {{type: log}}}}",
        "warning: nodes.a.next.true: a condition node never gives the action 'true'; it gives default, error (line 2, column 60)",
    ),
    (
        "a skip that cannot be",
        f"{HEAD}nodes: {{a: {{type: log, next: {{skipped: b}}}}, b: {{type: log}}}}",
        "warning: nodes.a.next.skipped: a log node never gives the action 'skipped'; it gives default, error (line 2, column 31)",
    ),
]


@pytest.mark.parametrize(("text", "warning"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED])
def test_warnings(text: str, warning: str) -> None:
    """What is most likely a mistake is warned of, at its place."""
    assert warnings(text) == [warning]


FINE: list[tuple[str, str]] = [
    (
        "a read of what came before",
        f"{HEAD}nodes: {{a: {{type: log, next: b}}, b: {{type: log, params: {{data: '${{nodes.a.output}}'}}}}}}",
    ),
    (
        "a read over an error edge",
        f"{HEAD}nodes: {{a: {{type: log, next: {{error: b}}}}, b: {{type: log, params: {{data: '${{nodes.a.error}}'}}}}}}",
    ),
    (
        "a read over a join",
        f"{HEAD}nodes: {{a: {{type: log}}, b: {{type: log, needs: [a], params: {{data: '${{nodes.a.output}}'}}}}}}",
    ),
    (
        "a read over a connection",
        f"{HEAD}connections: [a -> b.p]\nnodes: {{a: {{type: log}}, b: {{type: log, params: {{data: '${{nodes.a.output}}'}}}}}}",
    ),
    (
        "a read in a loop",
        f"{HEAD}nodes: {{a: {{type: log, next: b, params: {{data: '${{nodes.b.output}}'}}}}, b: {{type: log, next: a}}}}",
    ),
    ("a read of itself", f"{HEAD}nodes: {{a: {{type: script, hooks: {{post: 'return nodes.a.output'}}}}}}"),
    ("a read in outputs", f"{HEAD}outputs: {{x: '${{nodes.a.output}}'}}\nnodes: {{a: {{type: log}}}}"),
    ("a read by a computed name", f"{HEAD}nodes: {{a: {{type: log, params: {{data: '${{nodes[input.x]}}'}}}}}}"),
    (
        "any action after a post hook",
        f"{HEAD}nodes: {{a: {{type: log, hooks: {{post: 'return \"x\"'}}, next: {{x: b}}}}, b: {{type: log}}}}",
    ),
    ("any action of a type that can give any", f"{HEAD}nodes: {{a: {{type: any, next: {{x: b}}}}, b: {{type: log}}}}"),
    (
        "a skip that can be",
        f"{HEAD}nodes: {{a: {{type: log, when: '${{input}}', next: {{skipped: b}}}}, b: {{type: log}}}}",
    ),
    (
        "default where the node goes on",
        f"{HEAD}nodes: {{a: {{type: condition, on_error: continue, next: {{default: b}}}}, b: {{type: log}}}}",
    ),
    (
        "default where all nodes go on",
        f"{HEAD}defaults: {{on_error: continue}}\nnodes: {{a: {{type: condition, next: {{default: b}}}}, b: {{type: log}}}}",
    ),
    (
        "a `nodes` of the script's own",
        f"{HEAD}nodes: {{a: {{type: script, hooks: {{exec: 'const nodes = input; return nodes.map(String)'}}}}}}",
    ),
    (
        "a parameter that is called `nodes`",
        f"{HEAD}nodes: {{a: {{type: log, params: {{data: '${{input.map(nodes => nodes.size)}}'}}}}}}",
    ),
    ("text in a string of a script", f"{HEAD}nodes: {{a: {{type: script, hooks: {{exec: 'return \"nodes.zz\"'}}}}}}"),
    ("an escaped expression", f"{HEAD}nodes: {{a: {{type: log, params: {{message: '$${{nodes.zz}}'}}}}}}"),
]


@pytest.mark.parametrize("text", [row[1] for row in FINE], ids=[row[0] for row in FINE])
def test_what_is_fine(text: str) -> None:
    """What is meant is not warned of."""
    assert warnings(text) == []


SECRETS = f"""{HEAD}triggers: [{{type: webhook, path: p, verify: {{scheme: github, secret: HOOK_KEY}}}}]
webhooks: [{{url: 'https://x', events: [run.failed], secret: CALL_KEY}}, {{url: 'https://x', events: [run.failed]}}]
nodes: {{a: {{type: log, params: {{message: 'Bearer ${{secrets.API_KEI}}'}}}}}}
"""


def test_secrets_that_do_not_exist() -> None:
    """Every secret that is named anywhere is looked for, when it is known which there are."""
    assert warnings(SECRETS, {"API_KEY"}) == [
        "warning: triggers[0].verify.secret: there is no secret 'HOOK_KEY' (line 2, column 70)",
        "warning: webhooks[0].secret: there is no secret 'CALL_KEY'; did you mean 'API_KEY'? (line 3, column 61)",
        "warning: nodes.a.params.message: there is no secret 'API_KEI'; did you mean 'API_KEY'? (line 4, column 52)",
    ]
    assert warnings(SECRETS, {"API_KEI", "HOOK_KEY", "CALL_KEY"}) == []
    assert warnings(SECRETS) == []


def test_warnings_are_in_order_and_limited() -> None:
    """Many warnings are shown in the order of the document, and not all of them."""
    many = "".join(f"  n{i}: {{type: condition, next: {{x: n{i + 1}}}}}\n" for i in range(300))
    found = load(f"{HEAD}nodes:\n{many}  n300: {{type: log}}").warnings
    assert [one.line for one in found] == list(range(3, 103))
