"""How settings lead to a store on AWS, and to keys of KMS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from flowrunner.adapters.aws import clients
from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.adapters.aws.kms import KmsKeyRing
from flowrunner.adapters.aws.sqs import SqsQueue
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.bootstrap import ON_LAMBDA, make_backend, make_engine, make_keys
from flowrunner.errors import ConfigurationError
from flowrunner.settings import Settings, load_settings

from tests.aws import BUCKET, REGION, TABLE, Cloud, cloud

STORE = f"dynamodb://{TABLE}?bucket={BUCKET}&region={REGION}"


@pytest.fixture
def aws() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


def settings(**environ: str) -> Settings:
    given = {"FLOWRUNNER_STORE__URL": STORE, **{f"FLOWRUNNER_{name}": value for name, value in environ.items()}}
    return load_settings(given).settings


def opened(settings: Settings, environ: Mapping[str, str] | None = None) -> DynamoBackend:
    backend = make_backend(settings, deployed=ON_LAMBDA in (environ or {}))
    assert isinstance(backend, DynamoBackend)
    return backend


def test_a_server_makes_the_table_that_it_needs(aws: Cloud) -> None:
    """At its first start; messages stay in the table if there is no queue."""
    backend = opened(settings())
    assert aws.dynamodb.list_tables()["TableNames"] == [TABLE]
    assert not isinstance(backend.queue, SqsQueue)
    assert backend.capabilities.exact_queue
    backend.close()


def test_a_function_asks_nothing_while_it_starts(aws: Cloud) -> None:
    """Its table is what the deployment has made it: there is none here, and nobody notices."""
    queues = "&queue=https://sqs/1/fast&slow=https://sqs/1/slow"
    made = settings(STORE__URL=STORE + queues, VAULT__KMS_KEY="arn:aws:kms:eu-west-1:1:key/k")
    engine = make_engine(made, {ON_LAMBDA: "executor"})
    assert aws.dynamodb.list_tables()["TableNames"] == []
    assert isinstance(engine.parts.backend.queue, SqsQueue)
    assert not engine.parts.backend.capabilities.exact_queue
    engine.close()


@pytest.mark.parametrize(
    "url", ["dynamodb:", "dynamodb://table", "dynamodb:///?bucket=b", "dynamodb://ta/ble?bucket=b", "dynamodb://t?b"]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    """With the setting's name, before anything is asked."""
    with pytest.raises(ConfigurationError, match=r"store\.url"):
        make_backend(settings(STORE__URL=url))


def test_keys_of_kms_are_used_when_one_is_named(aws: Cloud) -> None:
    """In the place of a key file. An ARN of a key is taken as it is, so no permission is needed to describe it."""
    arn = aws.clients.kms().create_key()["KeyMetadata"]["Arn"]
    backend = opened(settings())
    made = settings(VAULT__KMS_KEY=arn)
    keys = make_keys(made, backend, SystemClock())
    sealed = keys.encrypt(b"secret", {"account": "a"})
    assert keys.decrypt(sealed, {"account": "a"}) == b"secret"
    described: list[object] = []
    kms = clients.Clients.for_key(arn).kms()
    kms.meta.events.register("before-call.kms.DescribeKey", lambda **_: described.append(1))
    KmsKeyRing(kms, arn, backend.documents, SystemClock(), SystemDraws()).add(SystemClock().now() + 1, 0)
    assert described == []
    backend.close()


def test_memory_needs_no_key_of_kms() -> None:
    """What does not outlive the process is encrypted by a key of the process, whatever is configured."""
    backend = MemoryBackend()
    assert make_keys(settings(VAULT__KMS_KEY="alias/none"), backend, SystemClock()).encrypt(b"x", {})
    backend.close()


@pytest.mark.parametrize(
    ("key", "region"),
    [("arn:aws:kms:ap-south-1:1:key/k", "ap-south-1"), ("alias/flowrunner", REGION), ("arn:aws", REGION)],
)
def test_a_key_is_asked_for_where_it_is(aws: Cloud, key: str, region: str) -> None:
    """In the region of its ARN, or in the usual one."""
    assert clients.Clients.for_key(key).kms().meta.region_name == region


def test_trouble_ends_within_half_a_minute() -> None:
    """All tries of a request, with botocore's pauses, leave a function of 60 s time to give its message back."""
    pauses = sum(min(2.0**number, 20.0) for number in range(clients.TRIES - 1))
    assert clients.TRIES * (clients.CONNECT_SECONDS + clients.READ_SECONDS) + pauses <= 25
