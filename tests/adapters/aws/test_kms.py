"""The vault's keys on AWS: what every key ring keeps, and what only KMS has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from flowrunner.adapters.aws.kms import CACHE_SECONDS, KmsKeyRing
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.errors import StoreError, Unreadable
from flowrunner.ports.documents import Documents
from flowrunner.testing import TurnedClock

from tests.adapters import test_key_ring as rules
from tests.aws import Cloud, cloud

CONTEXT = {"account": "a", "purpose": "secret", "secret": "NAME", "version": "1"}


@pytest.fixture
def aws() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


class Counted:
    """A client of KMS that counts its requests and fails on demand."""

    def __init__(self, aws: Cloud) -> None:
        self.client = aws.clients.kms()
        self.calls: list[str] = []
        self.fail_with = ""
        self.client.meta.events.register_first("before-send.kms", self._sent)
        self.key = self.client.create_key(Description="the vault")["KeyMetadata"]["Arn"]
        self.client.create_alias(AliasName="alias/vault", TargetKeyId=self.key)
        self.calls.clear()

    def _sent(self, request: Any, **_: object) -> Any:
        self.calls.append(request.headers["X-Amz-Target"].decode().partition(".")[2])
        if self.fail_with:
            body = f'{{"__type":"{self.fail_with}","message":"no"}}'.encode()

            class Raw:
                def stream(self, **_: object) -> Iterator[bytes]:
                    yield body

            return AWSResponse(request.url, 400, HTTPHeaders.from_dict({"x-amzn-errortype": self.fail_with}), Raw())
        return None


def ring(kms: Counted, documents: Documents | None = None, **more: Any) -> KmsKeyRing:
    clock = more.get("clock") or SystemClock()
    return KmsKeyRing(
        kms.client, more.get("key", "alias/vault"), documents or MemoryBackend().documents, clock, SystemDraws()
    )


Rule = Callable[..., None]


@pytest.mark.parametrize(
    "rule",
    [
        rules.test_what_is_sealed_opens_in_its_context,
        rules.test_a_changed_ciphertext_opens_nothing,
        rules.test_old_keys_open_until_they_are_removed,
        rules.test_threads_share_a_ring,
    ],
    ids=lambda rule: rule.__name__,
)
def test_the_ring_keeps_the_rules_of_all(aws: Cloud, tmp_path: Path, rule: Rule) -> None:
    """The same tests as for the key file, but for its clock: KMS is asked for what it encrypts."""
    kms = Counted(aws)
    rule(lambda _: ring(kms, clock=TurnedClock(1_000)), tmp_path)


@pytest.mark.parametrize("age", [rules.test_a_young_key_is_not_replaced])
def test_a_young_key_is_not_replaced(aws: Cloud, tmp_path: Path, age: Rule) -> None:
    """The same rule, with a first key as old as the test's."""
    kms = Counted(aws)
    age(lambda _: ring(kms, clock=TurnedClock(1_000)), tmp_path)


@pytest.mark.parametrize(
    "context",
    [CONTEXT | {"account": "b"}, CONTEXT | {"version": "2"}, CONTEXT | {"more": "x"}, {"account": "a"}, {}],
    ids=str,
)
def test_another_context_opens_nothing(aws: Cloud, context: Mapping[str, str]) -> None:
    """A part of the context is not enough either; and to come again later would not help."""
    rules.test_another_context_opens_nothing(lambda _: ring(Counted(aws)), Path(), dict(context))


def test_a_value_that_is_read_often_asks_kms_once(aws: Cloud) -> None:
    """Data keys are kept for a while, each for one context, also when it was not this process that encrypted."""
    kms, documents = Counted(aws), MemoryBackend().documents
    sealed = [ring(kms, documents).encrypt(b"hunter2hunter2", CONTEXT | {"secret": name}) for name in "ab"]
    reader = ring(kms, documents)
    kms.calls.clear()
    for _ in range(50):
        for name, one in zip("ab", sealed, strict=True):
            assert reader.decrypt(one, CONTEXT | {"secret": name}) == b"hunter2hunter2"
    assert kms.calls == ["Decrypt", "Decrypt"]
    assert CACHE_SECONDS == 300.0


def test_kms_learns_whose_secret_it_opens(aws: Cloud) -> None:
    """The context goes along, so that its log and a key's policy may tell accounts apart."""
    kms, seen = Counted(aws), []
    kms.client.meta.events.register(
        "before-parameter-build.kms.GenerateDataKey", lambda params, **_: seen.append(params["EncryptionContext"])
    )
    made = ring(kms)
    made.encrypt(b"hunter2hunter2", CONTEXT)
    assert seen == [CONTEXT | {"generation": made.key_id}]


def test_processes_share_the_generations(aws: Cloud) -> None:
    """What one adds encrypts in the other at once, and opens there."""
    kms, documents = Counted(aws), MemoryBackend().documents
    one, other = ring(kms, documents), ring(kms, documents)
    first = one.primary()
    assert other.primary() == first
    added = other.add(first.epoch + 1, 0)
    assert one.primary() == added
    sealed = one.encrypt(b"hunter2hunter2", CONTEXT)
    assert other.remove(first.id)
    assert other.decrypt(sealed, CONTEXT) == b"hunter2hunter2"


def test_a_generation_may_be_wrapped_by_another_key_of_kms(aws: Cloud) -> None:
    """What the old one wraps stays readable; the setting counts from the next `add` on."""
    kms, documents = Counted(aws), MemoryBackend().documents
    old = ring(kms, documents)
    sealed = old.encrypt(b"hunter2hunter2", CONTEXT)
    second = kms.client.create_key()["KeyMetadata"]["Arn"]
    new = ring(kms, documents, key=second)
    new.add(old.primary().epoch + 1, 0)
    moved = new.encrypt(b"hunter2hunter2", CONTEXT)
    assert second.encode() in moved
    assert second.encode() not in sealed
    assert [old.decrypt(one, CONTEXT) for one in (sealed, moved)] == [b"hunter2hunter2"] * 2


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "KMSInternalException", "AccessDeniedException", "DisabledException"]
)
def test_an_outage_of_kms_is_no_end(aws: Cloud, code: str) -> None:
    """Whoever reads may try again, and nothing is stored that is not encrypted."""
    kms, documents = Counted(aws), MemoryBackend().documents
    sealed = ring(kms, documents).encrypt(b"hunter2hunter2", CONTEXT)
    reader = ring(kms, documents)
    kms.fail_with = code
    with pytest.raises(Unreadable) as caught:
        reader.decrypt(sealed, CONTEXT)
    assert caught.value.retryable
    with pytest.raises(StoreError, match=code):
        reader.encrypt(b"other", CONTEXT)
    kms.fail_with = ""
    assert reader.decrypt(sealed, CONTEXT) == b"hunter2hunter2"


def test_a_message_of_another_key_is_no_outage(aws: Cloud) -> None:
    """KMS says that it is none of its own, and would say so for ever."""
    kms, documents = Counted(aws), MemoryBackend().documents
    sealed = ring(kms, documents).encrypt(b"hunter2hunter2", CONTEXT)
    reader = ring(kms, documents)
    kms.fail_with = "InvalidCiphertextException"
    with pytest.raises(Unreadable) as caught:
        reader.decrypt(sealed, CONTEXT)
    assert not caught.value.retryable


def test_a_key_that_is_not_there_is_told(aws: Cloud) -> None:
    """With the code of KMS, when something is first encrypted."""
    with pytest.raises(StoreError, match="NotFoundException") as caught:
        ring(Counted(aws), key="alias/none").encrypt(b"x", CONTEXT)
    assert isinstance(caught.value.__cause__, ClientError)
