"""Secrets: their values come in and never go out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import Field

from flowrunner.api.body_limits import takes_large
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.services.identity import Permission
from flowrunner.services.secret_import import LARGEST, LARGEST_TEXT, ImportFormat
from flowrunner.services.vault import Secret

api = router("secrets")

LISTED = "secrets"

TheKey = Annotated[
    str,
    Path(
        max_length=128,
        description="The secret's name: a letter or `_`, then letters, digits and `_`; in flows `${secrets.NAME}`.",
        examples=["ORDERS_API_KEY"],
    ),
]


class SecretModel(Shown):
    """What may be known of a secret."""

    key: str = Field(examples=["ORDERS_API_KEY"])
    version: int = Field(description="Counts the times that it was set.", examples=[3])
    created_at: Moment | None
    updated_at: Moment | None
    used_at: Moment | None = Field(description="When a run has read it last, right to five minutes; null: never.")


class SecretWish(Wish):
    """A value to keep."""

    value: str = Field(
        max_length=LARGEST,
        description="4 characters to 64 KiB. A shorter one could not be masked.",
        examples=["a value that nobody sees again"],
    )


class ImportWish(Wish):
    """Secrets to set."""

    format: ImportFormat = Field(description="`dotenv`: lines `KEY=value`; `json`: one object of texts.")
    text: str = Field(
        max_length=LARGEST_TEXT,
        description="Up to 1,000 secrets.",
        examples=['ORDERS_API_KEY=s3cret-value\nMAIL_PASSWORD="another value"\n'],
    )


class ImportModel(Shown):
    """What an import has done."""

    created: list[str] = Field(description="Names that are new.", examples=[["MAIL_PASSWORD"]])
    updated: list[str] = Field(description="Names that had a value already.", examples=[["ORDERS_API_KEY"]])


class RotationModel(Shown):
    """What a rotation has done for the account."""

    key: str = Field(description="The id of the key that encrypts from now on.", examples=["9f86d081884c7d65"])
    added: bool = Field(description="Whether it is new; while it is younger than `vault.min_key_age` it is kept.")
    resealed: int = Field(description="Values that were encrypted under older keys before.", examples=[12])
    failed: int = Field(description="Values that no key can decrypt; they are left as they are.", examples=[0])


@api.get("/v1/secrets", operation_id="list_secrets", summary="The account's secrets, without their values")
@needs(Permission.SECRETS_READ)
def list_secrets(
    caller: Caller, platform: ThePlatform, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> Page[SecretModel]:
    """By name."""
    after = cursors.open(caller.account, LISTED, cursor) if cursor else None
    found = platform.vault.list(caller, after=after, limit=limit + 1)
    page, more = found[:limit], len(found) > limit
    next_cursor = cursors.seal(caller.account, LISTED, page[-1].name) if more else None
    return Page(items=[_model(secret) for secret in page], next_cursor=next_cursor)


@api.get("/v1/secrets/{key}", operation_id="get_secret", summary="One secret, without its value")
@needs(Permission.SECRETS_READ)
def get_secret(caller: Caller, platform: ThePlatform, key: TheKey) -> SecretModel:
    """When it was set and used. There is no way to get the value."""
    return _model(platform.vault.get(caller, key))


@api.put("/v1/secrets/{key}", operation_id="put_secret", summary="Set a secret")
@needs(Permission.SECRETS_WRITE)
@takes_large
def put_secret(caller: Caller, platform: ThePlatform, key: TheKey, wish: SecretWish) -> SecretModel:
    """Made or replaced; a step that reads it from now on gets this value."""
    return _model(platform.vault.put(caller, key, wish.value))


@api.delete("/v1/secrets/{key}", operation_id="delete_secret", summary="Remove a secret", status_code=204)
@needs(Permission.SECRETS_WRITE)
def delete_secret(caller: Caller, platform: ThePlatform, key: TheKey) -> Response:
    """Steps that need it fail from now on with `SECRET_MISSING`."""
    platform.vault.delete(caller, key)
    return Response(status_code=204)


@api.post("/v1/secrets/import", operation_id="import_secrets", summary="Set many secrets at once")
@needs(Permission.SECRETS_WRITE)
@takes_large
def import_secrets(caller: Caller, platform: ThePlatform, wish: ImportWish) -> ImportModel:
    """All of them, or none when anything is wrong: then every problem is told with its line and name."""
    done = platform.vault.import_(caller, wish.text, wish.format)
    return ImportModel(created=list(done.created), updated=list(done.updated))


@api.post("/v1/secrets/rotate", operation_id="rotate_secrets", summary="Encrypt all secrets under a new key")
@needs(Permission.SECRETS_WRITE)
def rotate_secrets(caller: Caller, platform: ThePlatform) -> RotationModel:
    """Those of this account now, those of others soon after. Cut off, it is done to the end by the next call."""
    done = platform.vault.rotate(caller)
    platform.background.wake("vault")
    return RotationModel(key=done.key, added=done.added, resealed=done.resealed, failed=done.failed)


def _model(secret: Secret) -> SecretModel:
    return SecretModel(
        key=secret.name,
        version=secret.version,
        created_at=moment(secret.created_at),
        updated_at=moment(secret.updated_at),
        used_at=moment(secret.used_at),
    )
