"""Record a database with live runs, for `tests/upgrade`: run this with the code of the version to record.

    PYTHONPATH=<its tree>/layers/flowrunner/python:<its tree> python tests/upgrade/record.py sqlite > NAME.sql
    PYTHONPATH=<its tree>/layers/flowrunner/python:<its tree> python tests/upgrade/record.py postgresql://... > NAME.sql

What is recorded stays as it is for ever: it is what that version wrote. `flows` here is what its runs were doing.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MINUTE = 60_000

FLOWS = {
    "timer": "nodes: {a: {type: delay, params: {for: 1h}, next: b}, b: {type: transform, params: {value: late}}}",
    "approval": (
        "nodes: {ask: {type: approval, params: {message: Deploy?}, next: {approved: go, rejected: no}}, "
        "go: {type: transform, params: {value: yes}}, no: {type: transform, params: {value: no}}}"
    ),
    "fan": (
        "nodes: {each: {type: delay, foreach: {items: '${[1,2,3,4,5,6,7]}', max_concurrency: 2}, params: {for: 20s}, "
        "next: sum}, sum: {type: transform, params: {value: '${nodes.each.output.length}'}}}"
    ),
    "retry": (
        "nodes: {a: {type: script, hooks: {exec: \"throw new Error('no')\"}, on_error: continue, "
        "retry: {max_attempts: 2, delay: 30m, jitter: none, on: [SCRIPT_ERROR]}, next: b}, "
        "b: {type: transform, params: {value: after}}}"
    ),
    "limited": "concurrency: {max_runs: 1}\nnodes: {a: {type: delay, params: {for: 10m}}}",
    "killed": "nodes: {a: {type: store, params: {op: increment, key: effects}}}",
    "large": (
        "nodes: {a: {type: script, hooks: {exec: \"return 'x'.repeat(9000)\"}, next: w}, "
        "w: {type: delay, params: {for: 10m}, next: b}, "
        "b: {type: transform, params: {value: '${nodes.a.output.length}'}}}"
    ),
    "failed": "nodes: {a: {type: json.parse, params: {text: '${input.text}'}}}",
    "done": "nodes: {a: {type: transform, params: {value: '${input}'}}}",
    "parent": (
        "nodes: {a: {type: flow.run, params: {flow: timer}, next: b}, "
        "b: {type: transform, params: {value: '${nodes.a.output}'}}}"
    ),
}
"""By name; each starts one run of its own name, `limited` two."""


def live(backend: Any) -> None:
    """Runs of all kinds, ten minutes in at most, and one whose worker died in the middle of a step."""
    from flowrunner.core.ids import NodeId
    from flowrunner.ports.runs import ClaimRequest, ClaimStatus

    from tests.engine.harness import ACCOUNT, bench

    backend.migrate()
    with bench(backend) as b:
        for name, text in FLOWS.items():
            if name == "killed":
                continue
            document = f"metadata: {{name: {name}}}\n{text}"
            given = {"text": "{"} if name == "failed" else {"who": "Ada"}
            for number in range(2 if name == "limited" else 1):
                b.start(document, given, run=f"{name}-{number}")
        b.work(until=b.clock.now() + MINUTE)
        run = b.start(f"metadata: {{name: killed}}\n{FLOWS['killed']}", None, run="killed-0")
        now = b.clock.now()
        receipt = next(one.receipt for one in backend.queue.receive("worker-of-before", now, now + MINUTE, 10))
        [claim] = backend.runs.claim(
            [
                ClaimRequest(
                    account=ACCOUNT,
                    run=run,
                    step=receipt.step,
                    attempt=receipt.attempt,
                    node=NodeId("a"),
                    owner="worker-of-before",
                    now=now,
                    lease_until=now + MINUTE,
                    body=b"{}",
                    at_most_once=False,
                )
            ]
        )
        assert claim.status is ClaimStatus.GRANTED


def sqlite_statements() -> Iterator[str]:
    from flowrunner.adapters.sqlite.backend import SqliteBackend

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "old.db")
        backend = SqliteBackend(path)
        live(backend)
        backend.close()
        connection = sqlite3.connect(path)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        yield from connection.iterdump()
        yield f"PRAGMA user_version = {version};"
        connection.close()


def postgres_statements(url: str) -> Iterator[str]:
    """Rows only: the tables are those of the migrations up to the one that is named by `schema_version`."""
    import psycopg
    from flowrunner.adapters.postgres.backend import PostgresBackend
    from psycopg import sql

    backend = PostgresBackend(url)
    live(backend)
    backend.close()
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'flowrunner' ORDER BY 1"
        ).fetchall()
        for (table,) in tables:
            cursor = connection.execute(sql.SQL("SELECT * FROM flowrunner.{}").format(sql.Identifier(table)))
            assert cursor.description is not None
            names = sql.SQL(", ").join(sql.Identifier(one.name) for one in cursor.description)
            for row in cursor:
                values = sql.SQL(", ").join(sql.Literal(value) for value in row)
                insert = sql.SQL("INSERT INTO flowrunner.{} ({}) VALUES ({});")
                yield insert.format(sql.Identifier(table), names, values).as_string(connection)


if __name__ == "__main__":
    place = sys.argv[1]
    for statement in sqlite_statements() if place == "sqlite" else postgres_statements(place):
        print(statement)  # noqa: T201  # a program for developers: this is what it makes
