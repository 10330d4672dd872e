"""DynamoDB and S3 keep the contracts on another implementation of them than moto's: MiniStack, over sockets.

These are the suites that rest on conditions, transactions and objects. All of them were run on it once (323 tests, three
minutes on a busy machine); tests/contracts/test_dynamodb.py runs all of them in moto.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator

import pytest
from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.adapters.aws.clients import Clients
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.ports.backend import Backend

from tests.contracts.suites.claims import ClaimRules, ReportRules
from tests.contracts.suites.entities import EntityWriteRules
from tests.contracts.suites.runs import CommitRules, CreateRules
from tests.contracts.suites.things import BlobRules, CallbackRules, FlowRevisionRules
from tests.contracts.suites.values import KeyValueRules
from tests.e2e.emulator import CREDENTIALS, REGION, Emulator
from tests.e2e.pythons import NotInstallable

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One for the tests of a process."""
    try:
        with Emulator(tmp_path_factory.mktemp("emulator")) as running:
            yield running
            shutil.rmtree(running.folder)
    except NotInstallable as why:
        pytest.skip(f"no emulator: {why}")


@pytest.fixture
def backend(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A table and a bucket of its own."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": emulator.url}.items():
        monkeypatch.setenv(name, value)
    clients, number = Clients(REGION), next(NUMBERS)
    dynamodb, s3 = clients.dynamodb(), clients.s3()
    s3.create_bucket(Bucket=f"bucket-{number}")
    made = DynamoBackend(dynamodb, s3, f"table-{number}", f"bucket-{number}", SystemClock(), SystemDraws())
    made.migrate()
    yield made
    made.close()
    dynamodb.close()
    s3.close()


class TestEntityWrite(EntityWriteRules):
    """EntityWrite."""


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


class TestFlowRevision(FlowRevisionRules):
    """FlowRevision."""


class TestKeyValue(KeyValueRules):
    """KeyValue."""
