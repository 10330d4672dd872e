"""Tries to deliver webhooks are counted by what came of them."""

from __future__ import annotations

import pytest
from flowrunner.ports.http import HttpRequest, HttpResponse

from tests.engine.harness import flow
from tests.services.outbound import post


@pytest.mark.parametrize(("status", "outcome"), [(204, "delivered"), (500, "retried"), (410, "failed")])
def test_each_try_has_an_outcome(status: int, outcome: str) -> None:
    """Taken, tried again later, or given up."""

    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status, url=request.url)

    with post(answer) as p:
        outcomes: list[str] = []
        p.out.sender.on_outcome = outcomes.append
        p.webhook()
        p.run(flow("a: {type: transform}"))
        assert outcomes == [outcome]
