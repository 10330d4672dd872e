"""The memory backend keeps the contracts."""

from __future__ import annotations

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
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


@pytest.fixture
def backend() -> Backend:
    return MemoryBackend()


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
