"""API tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import ConfigDict, Field

from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routes.accounts import Title
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.services.identity import Permission
from flowrunner.services.tokens import MAX_LIFE, MIN_LIFE, Token

api = router("tokens")

TheToken = Annotated[str, Path(max_length=64, description="The token's id, which is not the token.")]
# Strict as the rest, but for what JSON cannot say: a member of an enumeration comes as a text.
Scope = Annotated[Permission, Field(strict=False)]


class NewToken(Wish):
    """A token to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "ci", "scopes": ["flows:write", "runs:write"], "expires_in_ms": 7_776_000_000}]
        }
    )

    name: Title
    scopes: list[Scope] = Field(
        min_length=1, max_length=100, description="What it may do: a part of what the caller may."
    )
    expires_in_ms: int | None = Field(None, ge=MIN_LIFE, le=MAX_LIFE, description="Left out: it does not expire.")


class TokenAnswer(Shown):
    """What is known of a token."""

    id: str
    name: str
    user_id: str = Field(description="Whose it is. It can do no more than they can now, and ends with them.")
    scopes: list[Permission]
    created_at: Moment | None
    expires_at: Moment | None
    last_used: Moment | None = Field(description="Written once a minute at most.")


class MadeToken(TokenAnswer):
    """A new token."""

    token: str = Field(description="The token. Nobody can show it again.")


@api.get("/v1/tokens", operation_id="list_tokens", summary="The caller's tokens; for an owner, the account's")
@needs(Permission.TOKENS_READ)
def list_tokens(
    caller: Caller, platform: ThePlatform, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> Page[TokenAnswer]:
    """By age, the oldest first. Expired ones stay for 30 days."""
    after = cursors.open(caller.account, "tokens", cursor) if cursor else None
    found = platform.tokens.list(caller, after, limit + 1)
    more = cursors.seal(caller.account, "tokens", found[limit - 1].id) if len(found) > limit else None
    return Page(items=[_shown(token) for token in found[:limit]], next_cursor=more)


@api.post("/v1/tokens", operation_id="create_token", summary="Make a token", status_code=201)
@needs(Permission.TOKENS_WRITE)
def create_token(caller: Caller, platform: ThePlatform, wish: NewToken, response: Response) -> MadeToken:
    """The answer is the only place where it is shown. A token made with a token ends with that one."""
    token, text = platform.tokens.create(caller, wish.name, wish.scopes, wish.expires_in_ms)
    response.headers["Location"] = f"/v1/tokens/{token.id}"
    return MadeToken(**_shown(token).model_dump(), token=text)


@api.get("/v1/tokens/{token_id}", operation_id="get_token", summary="What is known of a token")
@needs(Permission.TOKENS_READ)
def get_token(caller: Caller, platform: ThePlatform, token_id: TheToken) -> TokenAnswer:
    """One's own; for an owner, any of the account."""
    return _shown(platform.tokens.get(caller, token_id))


@api.delete("/v1/tokens/{token_id}", operation_id="revoke_token", summary="Revoke a token", status_code=204)
@needs(Permission.TOKENS_WRITE)
def revoke_token(caller: Caller, platform: ThePlatform, token_id: TheToken) -> None:
    """It is refused from the next request on, everywhere, and so are those that were made with it."""
    platform.tokens.revoke(caller, token_id)


def _shown(token: Token) -> TokenAnswer:
    return TokenAnswer(
        id=token.id,
        name=token.name,
        user_id=token.user,
        scopes=sorted(token.scopes),
        created_at=moment(token.created_at),
        expires_at=moment(token.expires_at),
        last_used=moment(token.last_used),
    )
