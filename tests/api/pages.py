"""Answers that a browser or a spreadsheet may be shown: how to get them, and what they must not do."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from tests.api.harness import Service

Entry = Mapping[str, Any]

MARKUP = "<img src=x onerror=alert(1)>"


def answered(api: Service, path: str, **options: Any) -> httpx2.Response:
    """The answer of a hook that waits for its run."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.call, "POST", f"/hooks/acct-acme/{path}", role=None, **options)
        while not waiting.done():
            api.work()
        return waiting.result()


def replies(api: Service, outputs: str) -> None:
    """A flow at the path `page` whose output is the answer."""
    api.flow(
        f"metadata: {{name: page}}\ntriggers: [{{type: webhook, path: page, respond: sync}}]\noutputs: {outputs}\n"
        "nodes:\n  a: {type: transform, params: {value: '${input.body}'}}\n"
    )


def contained(headers: Mapping[str, str]) -> None:
    """A browser that shows this as a page runs nothing of it in the console's name."""
    assert headers["content-security-policy"] in ("sandbox", "default-src 'none'; frame-ancestors 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "set-cookie" not in headers
