"""The AWS Encryption SDK over a key file: what KMS does on AWS, on one's own machine.

Each message has a data key of its own (AES-256-GCM with key commitment) that is wrapped by the primary key of the
file. In front of the SDK's message stands a byte for the format and the wrapping key's id, so that the key is found
without trying all of them; whoever changes the id gets nothing but a message that does not decrypt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from flowrunner.adapters.local.key_file import ID_BYTES, Key, KeyFile
from flowrunner.core.ids import Millis
from flowrunner.errors import ConfigurationError, Unreadable
from flowrunner.ports.cipher import KeyInfo

NAMESPACE = "flowrunner"
FORMAT = b"\x01"
HEADER = len(FORMAT) + ID_BYTES


class LocalKeyRing:
    """See `ports.cipher.KeyRing`. The SDK is imported when something is first encrypted or decrypted."""

    def __init__(self, path: Path) -> None:
        self._file = KeyFile(path)
        self._lock = Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._keys: Sequence[Key] = ()
        self._sdk: _Sdk | None = None

    @classmethod
    def open(cls, path: Path, now: Millis, *, in_use: bool) -> LocalKeyRing:
        """The keys of `path`, which is made if it is not there.

        `in_use` says that something is encrypted already: then the file must be there. Raises `ConfigurationError`
        for that, and for a file that is damaged or that others may read.
        """
        ring = cls(path)
        if not ring._file.exists():
            if in_use:
                raise ConfigurationError(
                    f"vault.key_file: {path} is missing, but the store has secrets that only its keys can read",
                    hint="restore it from your backup, or let vault.key_file name it",
                )
            ring._file.create(now)
        ring.known()
        return ring

    @property
    def key_id(self) -> str:
        return self.primary().id

    def primary(self) -> KeyInfo:
        return self._current()[-1].info

    def known(self) -> Sequence[KeyInfo]:
        return [key.info for key in self._current()]

    def add(self, now: Millis, min_age: Millis) -> KeyInfo:
        self._file.add(now, min_age)
        return self.primary()

    def remove(self, key: str) -> bool:
        return self._file.remove(key)

    def encrypt(self, plain: bytes, context: Mapping[str, str]) -> bytes:
        key = self._current()[-1]
        return FORMAT + bytes.fromhex(key.info.id) + self._made().encrypt(key, plain, context)

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        if sealed[:1] != FORMAT or len(sealed) <= HEADER:
            raise Unreadable
        id = sealed[1:HEADER].hex()
        key = next((key for key in self._current() if key.info.id == id), None)
        if key is None:
            raise Unreadable(
                f"it was encrypted with the key {id}, which is not in the key file",
                hint="see vault.key_file",
                retryable=True,
            )
        return self._made().decrypt(key, sealed[HEADER:], context)

    def _current(self) -> Sequence[Key]:
        """The keys as the file has them now; it is read again only when it has changed."""
        stamp = self._file.stamp()
        with self._lock:
            if stamp != self._stamp:
                self._keys, self._stamp = self._file.read(), stamp
            return self._keys

    def _made(self) -> _Sdk:
        with self._lock:
            if self._sdk is None:
                self._sdk = _Sdk()
            return self._sdk


class _Sdk:
    """The AWS Encryption SDK, imported when it is made, with a master key for each key that was used."""

    def __init__(self) -> None:
        import aws_encryption_sdk
        from aws_encryption_sdk.identifiers import AlgorithmSuite

        # A message that does not decrypt is an error that we raise; the SDK would print a stack for it as well.
        logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL)
        self._client: Any = aws_encryption_sdk.EncryptionSDKClient(
            commitment_policy=aws_encryption_sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
            max_encrypted_data_keys=1,
        )
        # Committing, and without the signature: who can decrypt can encrypt here, so it would prove nothing.
        self._algorithm = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
        self._masters: dict[bytes, Any] = {}

    def encrypt(self, key: Key, plain: bytes, context: Mapping[str, str]) -> bytes:
        sealed, _ = self._client.encrypt(
            source=plain, key_provider=self._master(key), encryption_context=dict(context), algorithm=self._algorithm
        )
        return bytes(sealed)

    def decrypt(self, key: Key, sealed: bytes, context: Mapping[str, str]) -> bytes:
        try:
            plain, header = self._client.decrypt(source=sealed, key_provider=self._master(key))
        except Exception as error:  # the SDK raises a dozen kinds for a message that is not whole
            raise Unreadable from error
        # The SDK is content with any context that the message itself names; ours must be exactly the same.
        if dict(header.encryption_context) != dict(context):
            raise Unreadable
        return bytes(plain)

    def _master(self, key: Key) -> Any:
        made = self._masters.get(key.raw)
        if made is None:
            from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
            from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
            from aws_encryption_sdk.key_providers.raw import RawMasterKey

            made = RawMasterKey(
                provider_id=NAMESPACE,
                key_id=key.info.id.encode(),
                wrapping_key=WrappingKey(
                    wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
                    wrapping_key=key.raw,
                    wrapping_key_type=EncryptionKeyType.SYMMETRIC,
                ),
            )
            self._masters[key.raw] = made
        return made
