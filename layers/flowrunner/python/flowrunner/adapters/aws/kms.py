"""The AWS Encryption SDK over a key of KMS.

Each message has a data key of its own (AES-256-GCM with key commitment) that KMS wraps; data keys are kept in memory
for five minutes, so a value that is read all the time costs a request in so long. The context, account and name of
what is encrypted, goes to KMS as well: its log says whose secret was opened, and a key policy may ask for it.

KMS renews the material of a key by itself and keeps the old one. What `add` makes is therefore not another key of KMS
but the name of a generation: everything is encrypted anew, under new data keys and the newest material, or under
another key of KMS if `vault.kms_key` names another by then. The list of generations is a document of the store.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock, local
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import BotoCoreError

from flowrunner.adapters.aws.table import translated
from flowrunner.core.ids import Millis
from flowrunner.errors import Conflict, StoreError, Unreadable
from flowrunner.ports.cipher import KeyInfo
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.documents import Documents
from flowrunner.services.installation import SYSTEM

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

DOCUMENT = "vault-keys"
FORMAT = b"\x01"
VERSION = 1
ID_BYTES = 8
HEADER = len(FORMAT) + ID_BYTES
GENERATION = "generation"
"""What the context has beside that of the caller: a message whose generation was changed does not decrypt."""

CACHE_SECONDS = 300.0
CACHE_KEYS = 1_000
CACHE_MESSAGES = 100

TRIES = 20

FOREIGN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
"""Codes by which KMS says that a message is none of its own. With any other one it may open it later."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A name for what was encrypted from one `add` to the next, and the ARN of the key of KMS that wraps it."""

    info: KeyInfo
    arn: str


class KmsKeyRing:
    """See `ports.cipher.KeyRing`. The SDK is imported when something is first encrypted or decrypted."""

    def __init__(self, kms: KMSClient, key: str, documents: Documents, clock: Clock, draws: Draws) -> None:
        """`key`: the key of KMS for new generations, as `vault.kms_key` has it (ARN, id or alias)."""
        self._kms = kms
        self._key = key
        self._documents = documents
        self._clock = clock
        self._draws = draws
        self._lock = Lock()
        self._known: Sequence[Generation] = ()
        self._read_at = 0.0
        self._sdk: _Sdk | None = None

    @property
    def key_id(self) -> str:
        return self.primary().id

    def primary(self) -> KeyInfo:
        return self._current()[-1].info

    def known(self) -> Sequence[KeyInfo]:
        return [one.info for one in self._current()]

    def add(self, now: Millis, min_age: Millis) -> KeyInfo:
        for _ in range(TRIES):
            known, rev = self._read()
            if known and now - known[-1].info.epoch < min_age:
                return known[-1].info
            epoch = max(now, known[-1].info.epoch + 1) if known else now
            added = Generation(KeyInfo(self._new_id(), epoch), self._arn())
            if self._write([*known, added], rev):
                return added.info
        raise StoreError("the list of the vault's keys changes all the time; try again")

    def remove(self, key: str) -> bool:
        for _ in range(TRIES):
            known, rev = self._read()
            if known and known[-1].info.id == key:
                raise Conflict("the key that encrypts now cannot be removed", hint="add another one first")
            left = [one for one in known if one.info.id != key]
            if len(left) == len(known):
                return False
            if self._write(left, rev):
                return True
        raise StoreError("the list of the vault's keys changes all the time; try again")

    def encrypt(self, plain: bytes, context: Mapping[str, str]) -> bytes:
        one = self._current()[-1]
        sealed = self._made().encrypt(one.arn, plain, {**context, GENERATION: one.info.id})
        return FORMAT + bytes.fromhex(one.info.id) + sealed

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        if sealed[:1] != FORMAT or len(sealed) <= HEADER:
            raise Unreadable
        id = sealed[1:HEADER].hex()
        one = self._find(id)
        if one is None:
            raise Unreadable(f"it was encrypted with the key {id}, which is not among the vault's keys", retryable=True)
        return self._made().decrypt(one.arn, sealed[HEADER:], {**context, GENERATION: id})

    # -- generations --------------------------------------------------------------------------------------------

    def _find(self, id: str) -> Generation | None:
        """A generation; one that is known is believed for a while without asking."""
        with self._lock:
            known, old = self._known, self._clock.monotonic() - self._read_at >= CACHE_SECONDS
        found = next((one for one in known if one.info.id == id), None)
        if found is None or old:
            found = next((one for one in self._current() if one.info.id == id), None)
        return found

    def _current(self) -> Sequence[Generation]:
        """The generations as they are now, at least one."""
        known, _ = self._read()
        if not known:
            self.add(self._clock.now(), 0)
            known, _ = self._read()
        return known

    def _read(self) -> tuple[Sequence[Generation], int]:
        body, rev = self._documents.read(SYSTEM, DOCUMENT)
        known: list[Generation] = []
        if body:
            document = orjson.loads(body)
            if document["v"] != VERSION:
                raise StoreError("the list of the vault's keys was written by a newer flowrunner")
            known = [Generation(KeyInfo(one["id"], one["t0"]), one["arn"]) for one in document["keys"]]
        self._keep(known)
        return known, rev

    def _write(self, known: Sequence[Generation], rev: int) -> bool:
        keys = [{"id": one.info.id, "t0": one.info.epoch, "arn": one.arn} for one in known]
        written = self._documents.write(SYSTEM, DOCUMENT, orjson.dumps({"v": VERSION, "keys": keys}), rev)
        if written:
            self._keep(known)
        return written

    def _keep(self, known: Sequence[Generation]) -> None:
        with self._lock:
            self._known, self._read_at = known, self._clock.monotonic()

    def _new_id(self) -> str:
        return self._draws.token().encode().hex()[: 2 * ID_BYTES]

    def _arn(self) -> str:
        """The ARN of the key that is configured."""
        if self._key.startswith("arn:") and ":key/" in self._key:
            return self._key
        with translated("KMS"):
            return self._kms.describe_key(KeyId=self._key)["KeyMetadata"]["Arn"]

    def _made(self) -> _Sdk:
        with self._lock:
            if self._sdk is None:
                self._sdk = _Sdk(self._kms)
            return self._sdk


class _Sdk:
    """The AWS Encryption SDK, imported when it is made."""

    def __init__(self, kms: KMSClient) -> None:
        import aws_encryption_sdk
        from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
        from aws_encryption_sdk.identifiers import AlgorithmSuite

        # A message that does not decrypt is an error that we raise; the SDK would print a stack for it as well.
        logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL)
        self._sdk: Any = aws_encryption_sdk
        self._client: Any = aws_encryption_sdk.EncryptionSDKClient(
            commitment_policy=aws_encryption_sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
            max_encrypted_data_keys=1,
        )
        # Committing, and without the signature: who can decrypt can encrypt here, so it would prove nothing.
        self._algorithm = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
        self._error = AWSEncryptionSDKClientError
        self._cache: Any = aws_encryption_sdk.LocalCryptoMaterialsCache(CACHE_KEYS)
        self._managers: dict[str, Any] = {}
        self._kms = kms
        # The SDK keeps to itself what KMS has answered, so we listen.
        self._heard = local()
        kms.meta.events.register("after-call.kms", self._hear)

    def encrypt(self, arn: str, plain: bytes, context: Mapping[str, str]) -> bytes:
        self._heard.code = ""
        try:
            sealed, _ = self._client.encrypt(
                source=plain,
                materials_manager=self._manager(arn),
                encryption_context=dict(context),
                algorithm=self._algorithm,
            )
        except (self._error, BotoCoreError) as error:
            raise StoreError(f"KMS did not encrypt: {self._heard.code or type(error).__name__}") from error
        return bytes(sealed)

    def decrypt(self, arn: str, sealed: bytes, context: Mapping[str, str]) -> bytes:
        self._heard.code = ""
        try:
            plain, header = self._client.decrypt(source=sealed, materials_manager=self._manager(arn))
        except BotoCoreError as error:
            raise Unreadable("KMS does not answer", retryable=True) from error
        except Exception as error:  # the SDK raises a dozen kinds for a message that is not whole
            if self._heard.code and self._heard.code not in FOREIGN:
                raise Unreadable(f"KMS refuses: {self._heard.code}", retryable=True) from error
            raise Unreadable from error
        # The SDK is content with any context that the message itself names; ours must be exactly the same.
        if dict(header.encryption_context) != dict(context):
            raise Unreadable
        return bytes(plain)

    def _hear(self, parsed: Mapping[str, Any], **_: object) -> None:
        self._heard.code = parsed.get("Error", {}).get("Code", "")

    def _manager(self, arn: str) -> Any:
        made = self._managers.get(arn)
        if made is None:
            from aws_encryption_sdk.key_providers.kms import KMSMasterKey

            made = self._managers.setdefault(
                arn,
                self._sdk.CachingCryptoMaterialsManager(
                    master_key_provider=KMSMasterKey(key_id=arn, client=self._kms),
                    cache=self._cache,
                    max_age=CACHE_SECONDS,
                    max_messages_encrypted=CACHE_MESSAGES,
                ),
            )
        return made
