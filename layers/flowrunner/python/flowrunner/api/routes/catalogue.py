"""What flows can be made of: node types, plugins, the schema of documents."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import Field

from flowrunner.api.paging import Page
from flowrunner.api.routing import Caller, ThePlatform, needs, public, router
from flowrunner.api.shapes import Shown, Wish
from flowrunner.core.flow import Json
from flowrunner.language.schema import flow_json_schema
from flowrunner.nodes.registry import NodeTypeDescription
from flowrunner.services.identity import Permission
from flowrunner.services.plugins import Plugin

api = router("catalogue")


class NodeTypeAnswer(Shown):
    """A node type, with all that an editor needs."""

    name: str
    aliases: list[str]
    title: str
    description: str
    category: str
    icon: str
    actions: list[str] | None = Field(description="null: its params name them.")
    pure: bool = Field(description="Without effects outside the run.")
    example: str
    params_schema: dict[str, Json] | None = Field(description="JSON Schema, 2020-12.")
    output_schema: dict[str, Json] | None
    plugin: bool
    error: str | None = Field(description="Why a plugin cannot be used.")


class PluginTypeAnswer(Shown):
    """A node type of a plugin."""

    name: str
    title: str
    error: str | None = Field(description="Why it cannot be used.")


class PluginAnswer(Shown):
    """A package or file that adds node types, helpers for scripts, or both."""

    name: str
    title: str = Field(description="That of its first node type.")
    version: str | None
    source: Literal["package", "folder"] = Field(description="Installed, or in the folder `plugins.folder`.")
    node_types: list[PluginTypeAnswer]
    helpers: list[str] = Field(description="Names that it adds to scripts.")
    enabled: bool = Field(description="In this account.")
    error: str | None = Field(description="Why it, or a part of it, cannot be used.")


class PluginWish(Wish):
    """What to change of a plugin."""

    enabled: bool


@api.get("/v1/node-types", operation_id="list_node_types", summary="All node types")
@needs(None)
def list_node_types(platform: ThePlatform) -> Page[NodeTypeAnswer]:
    """Built-in ones and plugins, in one page."""
    return Page(items=[_node_type(one) for one in platform.engine.parts.registry.describe_all()])


@api.get("/v1/plugins", operation_id="list_plugins", summary="The plugins of this server")
@needs(Permission.PLUGINS_READ)
def list_plugins(caller: Caller, platform: ThePlatform) -> Page[PluginAnswer]:
    """With those that cannot be loaded."""
    return Page(items=[_plugin(one) for one in platform.plugins.list(caller)])


@api.patch("/v1/plugins/{name}", operation_id="update_plugin", summary="Enable or disable a plugin")
@needs(Permission.PLUGINS_WRITE)
def update_plugin(
    caller: Caller, platform: ThePlatform, name: Annotated[str, Path(max_length=128)], wish: PluginWish
) -> PluginAnswer:
    """For this account. Steps of a disabled plugin fail with `PLUGIN_DISABLED`."""
    return _plugin(platform.plugins.set_enabled(caller, name, enabled=wish.enabled))


@api.get("/v1/schema/flow", operation_id="get_flow_schema", summary="The JSON Schema of flows")
@public
def get_flow_schema() -> dict[str, Any]:
    """For editors: name it in the first line of a document, `# yaml-language-server: $schema=…`."""
    return flow_json_schema()


def _node_type(one: NodeTypeDescription) -> NodeTypeAnswer:
    return NodeTypeAnswer(
        name=one.name,
        aliases=list(one.aliases),
        title=one.title,
        description=one.description,
        category=one.category,
        icon=one.icon,
        actions=list(one.actions) if one.actions is not None else None,
        pure=one.pure,
        example=one.example,
        params_schema=dict(one.params_schema) if one.params_schema else None,
        output_schema=dict(one.output_schema) if one.output_schema else None,
        plugin=one.plugin,
        error=one.error,
    )


def _plugin(one: Plugin) -> PluginAnswer:
    return PluginAnswer(
        name=one.name,
        title=one.title,
        version=one.version,
        source=one.source,
        node_types=[PluginTypeAnswer(name=type.name, title=type.title, error=type.error) for type in one.node_types],
        helpers=list(one.helpers),
        enabled=one.enabled,
        error=one.error,
    )
