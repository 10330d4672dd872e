"""One account that asks for everything at once, and the others, who do not notice."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from flowrunner.api.turns import AT_ONCE, Turns

from tests.api.harness import service

PATIENCE = 120.0


def test_so_many_go_on_at_a_time() -> None:
    """By key; and a door that nobody uses any more is forgotten, also when somebody gave up in front of it."""

    async def scene() -> None:
        turns, log = Turns(2), []
        go = asyncio.Event()

        async def request(key: str) -> None:
            async with turns.of(key):
                log.append(key)
                await go.wait()

        mine = [asyncio.create_task(request("mine")) for _ in range(4)]
        others = asyncio.create_task(request("others"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert sorted(log) == ["mine", "mine", "others"]
        mine[3].cancel()
        go.set()
        await asyncio.gather(*mine, others, return_exceptions=True)
        assert sorted(log) == ["mine"] * 3 + ["others"]
        assert turns._doors == {}

    asyncio.run(scene())


def test_an_account_does_not_take_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more slow requests than there are threads; another account is answered, and the process is alive."""
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as api:
        acme = api.team().account
        api.team("other")
        go, begun, answers = threading.Event(), threading.Semaphore(0), []
        find = api.platform.flows.find

        def slow(actor: Any, query: Any) -> Any:
            if actor.account == acme:
                begun.release()
                assert go.wait(PATIENCE)
            return find(actor, query)

        monkeypatch.setattr(api.platform.flows, "find", slow)
        asking = [
            threading.Thread(target=lambda: answers.append(api.call("GET", "/v1/flows").status_code)) for _ in range(60)
        ]
        try:
            for one in asking:
                one.start()
            for _ in range(AT_ONCE):
                assert begun.acquire(timeout=PATIENCE)
            assert api.call("GET", "/v1/flows", team="other").status_code == 200
            assert api.call("GET", "/healthz", role=None).status_code == 200
            assert not begun.acquire(blocking=False), "the others wait without a thread"
        finally:
            go.set()
            for one in asking:
                one.join(PATIENCE)
        assert answers == [200] * 60
