"""WebAssembly modules, which the node `wasm` runs by name."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import Field

from flowrunner.api.body_limits import takes_large
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.nodes.wasm_modules import StoredModule
from flowrunner.services.identity import Permission

api = router("modules")

LISTED = "modules"

TheModule = Annotated[
    str,
    Path(
        max_length=128,
        description="The module's name: letters, digits, dots, hyphens and underscores; in flows `module: NAME`.",
        examples=["resize"],
    ),
]


class ModuleModel(Shown):
    """What is known of a module."""

    name: str = Field(examples=["resize"])
    digest: str = Field(
        description="SHA-256 of the content, hex; a node that gives it as `digest` runs no other one.",
        examples=["87799c1b578e1ef444797b90bd09efe88f1af0b1810d578f9ccf03df9b1de499"],
    )
    size: int = Field(description="Bytes.", examples=[50])
    changed_at: Moment
    changed_by: str = Field(examples=["ada"])


class ModuleWish(Wish):
    """A module to keep."""

    content: str = Field(
        max_length=1 << 27,
        description="The `.wasm` file, as base64: a WASI command, built for `wasm32-wasip1`.",
        examples=["AGFzbQEAAAABBAFgAAADAgEABQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAAKBAECAAs="],
    )


@api.get("/v1/modules", operation_id="list_modules", summary="The account's WebAssembly modules")
@needs(Permission.FLOWS_READ)
def list_modules(
    caller: Caller, platform: ThePlatform, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> Page[ModuleModel]:
    """By name."""
    after = cursors.open(caller.account, LISTED, cursor) if cursor else None
    found = platform.modules.list(caller, after=after, limit=limit + 1)
    page, more = found[:limit], len(found) > limit
    next_cursor = cursors.seal(caller.account, LISTED, page[-1].name) if more else None
    return Page(items=[_model(module) for module in page], next_cursor=next_cursor)


@api.get("/v1/modules/{module}", operation_id="get_module", summary="One WebAssembly module")
@needs(Permission.FLOWS_READ)
def get_module(caller: Caller, platform: ThePlatform, module: TheModule) -> ModuleModel:
    """Which content it has, and who gave it that."""
    return _model(platform.modules.get(caller, module))


@api.put("/v1/modules/{module}", operation_id="put_module", summary="Keep a WebAssembly module")
@needs(Permission.FLOWS_WRITE)
@takes_large
def put_module(caller: Caller, platform: ThePlatform, module: TheModule, wish: ModuleWish) -> ModuleModel:
    """New, or in the place of the one of that name; steps that begin from now on run it."""
    return _model(platform.modules.put(caller, module, wish.content))


@api.delete(
    "/v1/modules/{module}", operation_id="delete_module", summary="Remove a WebAssembly module", status_code=204
)
@needs(Permission.FLOWS_WRITE)
def delete_module(caller: Caller, platform: ThePlatform, module: TheModule) -> Response:
    """Steps that name it fail from now on with `ModuleNotFound`."""
    platform.modules.delete(caller, module)
    return Response(status_code=204)


def _model(module: StoredModule) -> ModuleModel:
    return ModuleModel(
        name=module.name,
        digest=module.digest,
        size=module.size,
        changed_at=moment(module.changed_at),
        changed_by=module.by,
    )
