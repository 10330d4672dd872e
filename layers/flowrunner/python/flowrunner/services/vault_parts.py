"""The vault put together over a store and its keys: what the engine needs of it, and what services build on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from flowrunner.core.ids import AccountId
from flowrunner.ports.cipher import KeyRing
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities
from flowrunner.ports.secrets import Secrets
from flowrunner.services.data_keys import DataKeys
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.vault_secrets import SecretReads, VaultSecrets

if TYPE_CHECKING:
    from flowrunner.services.audit import Audit


@dataclass(frozen=True, slots=True)
class VaultParts:
    """For `engine.Parts`: its fields have the same names there."""

    keys: KeyRing
    secrets: VaultSecrets
    sealer: DataKeys
    on_secret_read: SecretReads


def vault_parts(
    entities: Entities,
    keys: KeyRing,
    clock: Clock,
    fallback: Secrets | None = None,
    fallback_for: AccountId | None = None,
) -> VaultParts:
    """`fallback_for` is the one account that also has the secrets of `fallback`."""
    box = SecretBox(entities, keys, clock)

    @cache
    def audit() -> Audit:
        from flowrunner.services.audit import Audit

        return Audit(entities, clock)

    return VaultParts(keys, VaultSecrets(box, fallback, fallback_for), DataKeys(box, clock), SecretReads(audit))
