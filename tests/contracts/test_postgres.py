"""PostgreSQL keeps the contracts."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from flowrunner.adapters.postgres.backend import PostgresBackend
from flowrunner.ports.backend import Backend

from tests.contracts.suites.claims import ClaimRules, ReportRules
from tests.contracts.suites.entities import EntityListRules, EntityRules, EntityWriteRules
from tests.contracts.suites.erasure import ErasureRules
from tests.contracts.suites.history import RetentionRules, RunListRules, StepHistoryRules
from tests.contracts.suites.queue import ExactQueueRules
from tests.contracts.suites.runs import CommitRules, CreateRules
from tests.contracts.suites.things import BlobRules, CallbackRules, DocumentRules, FlowRevisionRules, FlowRules
from tests.contracts.suites.values import KeyValueRules
from tests.contracts.suites.wakeups import WakeupRules

TABLES = "flows, runs, steps, queue, blobs, kv, callbacks, documents, entities"


@pytest.fixture(scope="module")
def shared(postgres_url: str) -> Iterator[PostgresBackend]:
    made = PostgresBackend(postgres_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def backend(shared: PostgresBackend, postgres_url: str) -> Backend:
    """Emptied before each test: a database of its own would take longer than the test."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for table in TABLES.split(", "):
            connection.execute(f"DELETE FROM flowrunner.{table}")
    return shared


class TestEntity(EntityRules):
    """Entity."""


class TestEntityWrite(EntityWriteRules):
    """EntityWrite."""


class TestEntityList(EntityListRules):
    """EntityList."""


class TestErasure(ErasureRules):
    """Erasure."""


class TestRetention(RetentionRules):
    """Retention."""


class TestRunList(RunListRules):
    """RunList."""


class TestStepHistory(StepHistoryRules):
    """StepHistory."""


class TestQueue(ExactQueueRules):
    """Queue."""


class TestClaim(ClaimRules):
    """Claim."""


class TestCommit(CommitRules):
    """Commit."""


class TestCreate(CreateRules):
    """Create."""


class TestReport(ReportRules):
    """Report."""


class TestBlob(BlobRules):
    """Blob."""


class TestCallback(CallbackRules):
    """Callback."""


class TestDocument(DocumentRules):
    """Document."""


class TestFlow(FlowRules):
    """Flow."""


class TestFlowRevision(FlowRevisionRules):
    """FlowRevision."""


class TestKeyValue(KeyValueRules):
    """KeyValue."""


class TestWakeup(WakeupRules):
    """Wakeup."""
