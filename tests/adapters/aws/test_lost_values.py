"""Values whose object or item somebody has removed: told apart from a store that does not answer."""

from __future__ import annotations

import pytest
from flowrunner.adapters.aws.keys import BODIES
from flowrunner.core.ids import RunId
from flowrunner.errors import StoreError, ValueLost

from tests.adapters.aws.streaming import streamed
from tests.engine.harness import ACCOUNT, flow

RUN = RunId("0198c5a2-5c1e-7a33-9e0b-0a1f6d2b7c44")
NOISE = "".join(f"{number * number:x}" for number in range(60_000))
"""Hardly to be compressed below what goes into an item."""


def test_a_blob_whose_object_is_gone_is_lost() -> None:
    """It is a fault of the store all the same: executors let the message come again."""
    with streamed() as s:
        s.backend.blobs.put(ACCOUNT, RUN, "input", NOISE.encode())
        assert s.backend.blobs.get(ACCOUNT, RUN, "input") == NOISE.encode()
        s.cloud.objects.objects.clear()
        with pytest.raises(ValueLost, match="missing from the bucket"):
            s.backend.blobs.get(ACCOUNT, RUN, "input")
    assert issubclass(ValueLost, StoreError)


def test_a_part_beside_that_is_gone_is_lost() -> None:
    """A body that was too large for its row."""
    with streamed() as s:
        run = s.bench.run(flow("a: {type: transform, params: {value: '" + NOISE[:20_000] + "'}}")).id
        beside = [place for place in s.table.items if place[1].startswith(BODIES)]
        assert beside
        for place in beside:
            s.table._store(place, None)
        with pytest.raises(ValueLost, match="a part of run"):
            s.backend.history.steps(ACCOUNT, run)
