"""DynamoDB keeps the contracts (in moto; docs/aws-store.md says what only AWS can show)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.ports.backend import Backend

from tests.aws import cloud
from tests.contracts.suites.claims import ClaimRules, ReportRules
from tests.contracts.suites.entities import EntityListRules, EntityRules, EntityWriteRules
from tests.contracts.suites.erasure import ErasureRules
from tests.contracts.suites.history import RetentionRules, RunListRules, StepHistoryRules
from tests.contracts.suites.queue import ExactQueueRules
from tests.contracts.suites.runs import CommitRules, CreateRules
from tests.contracts.suites.things import BlobRules, CallbackRules, DocumentRules, FlowRevisionRules, FlowRules
from tests.contracts.suites.values import KeyValueRules
from tests.contracts.suites.wakeups import WakeupRules


@pytest.fixture
def backend() -> Iterator[Backend]:
    with cloud() as aws:
        made = aws.backend()
        made.migrate()
        yield made


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

    MANY = 600  # moto takes half a minute for more; the table's fake has them all


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
