"""Every rule of node types, scripts and triggers has a document that breaks it, and words for whoever wrote that."""

from __future__ import annotations

import pytest

from tests.language.environment import HEAD, A, a_node, problems

TYPES: list[tuple[str, str, str]] = [
    (
        "unknown type",
        "nodes: {a: {type: lgo}}",
        "error: nodes.a.type: unknown node type 'lgo'; did you mean 'log'? (line 2, column 19)",
    ),
    (
        "unknown parameter",
        "nodes: {a: {type: log, params: {massage: x}}}",
        "error: nodes.a.params.massage: there is no such parameter (line 2, column 42)",
    ),
    (
        "wrong parameter",
        "nodes: {a: {type: log, params: {message: [1]}}}",
        "error: nodes.a.params.message: must be a text (line 2, column 42)",
    ),
]

SCRIPTS: list[tuple[str, str, str]] = [
    (
        "an open expression",
        "nodes: {a: {type: log, params: {message: 'ab ${x'}}}",
        "error: nodes.a.params.message: this ${ has no closing brace; write $${ for the characters themselves (line 2, column 46)",
    ),
    (
        "an empty expression",
        "nodes: {a: {type: log, params: {data: [{x: '${ }'}]}}}",
        "error: nodes.a.params.data[0].x: the expression between ${ and } is empty (line 2, column 45)",
    ),
    (
        "a bad expression",
        "nodes: {a: {type: log, params: {message: 'ab ${x + @@}'}}}",
        "error: nodes.a.params.message: the expression `x + @@` is not JavaScript: unexpected '@' (line 2, column 52)",
    ),
    (
        "a bad expression in a plain text",
        a_node("when: ${@@}"),
        "error: nodes.a.when: the expression `@@` is not JavaScript: unexpected '@' (line 5, column 13)",
    ),
    (
        "a bad expression among escapes",
        'nodes: {a: {type: log, params: {message: "\\t ${@@}"}}}',
        "error: nodes.a.params.message: the expression `@@` is not JavaScript: unexpected '@' (line 2, column 42)",
    ),
    (
        "a bad expression in a block",
        "nodes:\n  a:\n    type: log\n    params:\n      message: |\n        one\n        two ${@@}\n",
        "error: nodes.a.params.message: the expression `@@` is not JavaScript: unexpected '@' (line 8, column 15)",
    ),
    (
        "in outputs",
        f"{A}\noutputs: {{x: '${{@@}}'}}",
        "error: outputs.x: the expression `@@` is not JavaScript: unexpected '@' (line 3, column 17)",
    ),
    (
        "in a concurrency key",
        f"{A}\nconcurrency: {{max_runs: 1, key: '${{@@}}'}}",
        "error: concurrency.key: the expression `@@` is not JavaScript: unexpected '@' (line 3, column 36)",
    ),
    (
        "in an input",
        a_node("inputs: {x: '${@@}'}"),
        "error: nodes.a.inputs.x: the expression `@@` is not JavaScript: unexpected '@' (line 5, column 20)",
    ),
    (
        "in a fallback",
        a_node("fallback: '${@@}'"),
        "error: nodes.a.fallback: the expression `@@` is not JavaScript: unexpected '@' (line 5, column 18)",
    ),
    (
        "in foreach",
        a_node("foreach: {items: '${@@}'}"),
        "error: nodes.a.foreach.items: the expression `@@` is not JavaScript: unexpected '@' (line 5, column 25)",
    ),
    (
        "in a cache key",
        a_node("cache: {key: '${@@}', ttl: 1}"),
        "error: nodes.a.cache.key: the expression `@@` is not JavaScript: unexpected '@' (line 5, column 21)",
    ),
    (
        "a bad hook",
        a_node("hooks: {exec: 'return @@'}"),
        "error: nodes.a.hooks.exec: JavaScript: unexpected '@' (line 5, column 27)",
    ),
    (
        "a bad hook in a block",
        a_node("hooks:\n      exec: |\n        let a = 1;\n        return @@;"),
        "error: nodes.a.hooks.exec: JavaScript: unexpected '@' (line 8, column 16)",
    ),
    (
        "a bad hook in a deeper block",
        a_node("hooks:\n      post: |2\n          return @@;"),
        "error: nodes.a.hooks.post: JavaScript: unexpected '@' (line 7, column 18)",
    ),
    (
        "a bad hook in a folded block",
        a_node("hooks:\n      prep: >\n        let a = 1;\n        return @@;"),
        "error: nodes.a.hooks.prep: JavaScript: unexpected '@' (line 7, column 1)",
    ),
    (
        "a node that is not there",
        "nodes: {fetch: {type: log, params: {message: '${nodes.fetsh.output}'}}}",
        "error: nodes.fetch.params.message: no node is called 'fetsh'; did you mean 'fetch'? (line 2, column 55)",
    ),
    (
        "a node that is not there, by its text",
        "nodes: {a: {type: log, params: {message: \"${nodes['zzz']}\"}}}",
        "error: nodes.a.params.message: no node is called 'zzz' (line 2, column 52)",
    ),
    (
        "a node that is not there in a hook",
        a_node("hooks:\n      exec: |\n        let a = 1;\n        return nodes.zz.output;"),
        "error: nodes.a.hooks.exec: no node is called 'zz' (line 8, column 22)",
    ),
]

TRIGGERS: list[tuple[str, str, str]] = [
    (name, f"triggers: [{{{trigger}}}]\n{A}", f"error: triggers[0]{message}")
    for name, trigger, message in [
        ("no type", "path: p", ": must have a `type`: webhook or schedule (line 2, column 12)"),
        ("unknown type", "type: email", ": must have a `type`: webhook or schedule (line 2, column 12)"),
        (
            "a path out of its folder",
            "type: webhook, path: ../../admin",
            ".path: '../../admin' must be like `orders/new`: letters, digits, `_`, `-`, parts divided by `/` (line 2, column 34)",
        ),
        (
            "a path with a slash in front",
            "type: webhook, path: /orders",
            ".path: '/orders' must be like `orders/new`: letters, digits, `_`, `-`, parts divided by `/` (line 2, column 34)",
        ),
        (
            "a method",
            "type: webhook, path: p, method: post",
            ".method: must be 'GET', 'POST', 'PUT', 'PATCH' or 'DELETE', not 'post'; did you mean 'POST'? (line 2, column 45)",
        ),
        (
            "respond",
            "type: webhook, path: p, respond: later",
            ".respond: must be 'async' or 'sync', not 'later' (line 2, column 46)",
        ),
        (
            "an unknown scheme",
            "type: webhook, path: p, verify: {scheme: gitlab, secret: S}",
            ".verify.scheme: must be 'standard-webhooks', 'github', 'stripe', 'slack' or 'shared-secret', not 'gitlab'; did you mean 'github'? (line 2, column 54)",
        ),
        (
            "verify without a secret",
            "type: webhook, path: p, verify: {scheme: github}",
            ".verify.secret: is required (line 2, column 45)",
        ),
        (
            "a secret that is no name",
            "type: webhook, path: p, verify: {scheme: github, secret: a b}",
            ".verify.secret: 'a b' must be the name of a secret: letters, digits and `_` (line 2, column 70)",
        ),
        (
            "a shared secret without a header",
            "type: webhook, path: p, verify: {scheme: shared-secret, secret: S}",
            ".verify.header: is required: the header that carries the shared secret (line 2, column 45)",
        ),
        (
            "a header that is not used",
            "type: webhook, path: p, verify: {scheme: github, secret: S, header: X}",
            ".verify.header: is only for the scheme shared-secret; github has headers of its own (line 2, column 81)",
        ),
        (
            "neither cron nor at",
            "type: schedule",
            ": a schedule has either `cron` or `at` (line 2, column 12)",
        ),
        (
            "both cron and at",
            "type: schedule, cron: '0 9 * * *', at: 2030-01-31T09:00:00Z",
            ": a schedule has either `cron` or `at` (line 2, column 12)",
        ),
        (
            "a minute",
            "type: schedule, cron: '61 * * * *'",
            ".cron: '61 * * * *' is no schedule: its minute is wrong (0 to 59) (line 2, column 35)",
        ),
        (
            "a step of 0",
            "type: schedule, cron: '*/0 * * * *'",
            ".cron: '*/0 * * * *' is no schedule: its minute is wrong (0 to 59) (line 2, column 35)",
        ),
        (
            "an hour",
            "type: schedule, cron: '0 24 * * *'",
            ".cron: '0 24 * * *' is no schedule: its hour is wrong (0 to 23) (line 2, column 35)",
        ),
        (
            "a month",
            "type: schedule, cron: '0 0 1 13 *'",
            ".cron: '0 0 1 13 *' is no schedule: its month is wrong (1 to 12 or JAN to DEC) (line 2, column 35)",
        ),
        (
            "a day of the week",
            "type: schedule, cron: '0 0 * * 8'",
            ".cron: '0 0 * * 8' is no schedule: its day of the week is wrong (0 to 7 or SUN to SAT) (line 2, column 35)",
        ),
        (
            "never",
            "type: schedule, cron: '0 0 30 2 *'",
            ".cron: '0 0 30 2 *' is no schedule: its day of the month is wrong, or never comes in the months given (line 2, column 35)",
        ),
        (
            "six fields",
            "type: schedule, cron: '0 0 9 * * *'",
            ".cron: a cron expression has five fields (minute, hour, day, month, weekday); this has 6 (line 2, column 35)",
        ),
        (
            "a long cron",
            f"type: schedule, cron: '{'0,' * 200}0 * * * *'",
            ".cron: must be at most 256 characters long (line 2, column 35)",
        ),
        (
            "a zone",
            "type: schedule, cron: '0 9 * * *', timezone: Europe/Berlim",
            ".timezone: 'Europe/Berlim' is no time zone; write one like Europe/Berlin; did you mean 'Europe/Berlin'? (line 2, column 58)",
        ),
        (
            "a zone that is a path",
            "type: schedule, cron: '0 9 * * *', timezone: ../../../etc/passwd",
            ".timezone: '../../../etc/passwd' is no time zone; write one like Europe/Berlin (line 2, column 58)",
        ),
        (
            "a zone that is a folder",
            "type: schedule, cron: '0 9 * * *', timezone: America",
            ".timezone: 'America' is no time zone; write one like Europe/Berlin",
        ),
        (
            "no moment",
            "type: schedule, at: tomorrow",
            ".at: must be a moment with time zone, like 2030-01-31T09:00:00Z (line 2, column 33)",
        ),
        (
            "a moment without a zone",
            "type: schedule, at: 2030-01-31T09:00:00",
            ".at: must be a moment with time zone, like 2030-01-31T09:00:00Z (line 2, column 33)",
        ),
        ("a rate", "type: schedule, cron: '0 9 * * *', every: 1s", ".every: there is no field 'every' here"),
        (
            "missed",
            "type: schedule, cron: '0 9 * * *', missed: run",
            ".missed: must be 'skip' or 'run_once', not 'run'",
        ),
    ]
]

RULES = [*TYPES, *SCRIPTS, *TRIGGERS]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_rules(text: str, message: str) -> None:
    """A document that breaks one rule has one problem, with field, words and place."""
    found = problems(HEAD + text)
    assert [message in one for one in found] == [True], found
