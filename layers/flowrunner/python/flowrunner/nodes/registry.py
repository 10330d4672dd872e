"""The node types of a process: built in, found by name and imported when first used; and those of plugins
(`nodes.plugins`).

A plugin that cannot be loaded is listed with its error, and everything else works on.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import RLock
from typing import Any

from pydantic import ValidationError

from flowrunner.core.flow import Json
from flowrunner.errors import NotFound, ParamsInvalid
from flowrunner.nodes.base import Deferred, NodeType, Params
from flowrunner.nodes.plugins import ENTRY_POINTS, LOOK_SECONDS, PluginInfo, PluginSet, Provided, made
from flowrunner.nodes.problems import Problem, problems, text_of

__all__ = ["ALIASES", "BUILT_IN", "ENTRY_POINTS", "NodeTypeDescription", "Registry"]

BUILT_IN: Mapping[str, str] = {
    "ai.agent": "ai_agent:AiAgentNode",
    "approval": "approval:ApprovalNode",
    "aws.eventbridge": "aws_eventbridge:AwsEventBridgeNode",
    "aws.lambda": "aws_lambda:AwsLambdaNode",
    "aws.s3": "aws_s3:AwsS3Node",
    "aws.sns": "aws_sns:AwsSnsNode",
    "aws.sqs": "aws_sqs:AwsSqsNode",
    "condition": "condition:ConditionNode",
    "delay": "delay:DelayNode",
    "email.fetch": "email_fetch:EmailFetchNode",
    "email.send": "email_send:EmailSendNode",
    "filter": "filter:FilterNode",
    "flow.run": "flow_run:FlowRunNode",
    "http.request": "http_request:HttpRequestNode",
    "json.parse": "json_parse:JsonParseNode",
    "json.stringify": "json_stringify:JsonStringifyNode",
    "llm.chat": "llm_chat:LlmChatNode",
    "log": "log:LogNode",
    "notification": "notification:NotificationNode",
    "postgres.query": "postgres_query:PostgresQueryNode",
    "script": "script:ScriptNode",
    "store": "store:StoreNode",
    "switch": "switch:SwitchNode",
    "transform": "transform:TransformNode",
    "wait.callback": "wait_callback:WaitCallbackNode",
    "wasm": "wasm:WasmNode",
    "webhook": "webhook:WebhookNode",
}
"""Name → module within this package, and class. Importing the registry imports none of them."""

INTERNAL: Mapping[str, str] = {
    "agent.begin": "agent_begin:AgentBeginNode",
    "agent.condense": "agent_condense:AgentCondenseNode",
    "agent.remember": "agent_remember:AgentRememberNode",
    "agent.think": "agent_think:AgentThinkNode",
    "agent.tool": "agent_tool:AgentToolNode",
}
"""What the run of an `ai.agent` is made of. Nobody has to write these, so they are not listed."""

ALIASES: Mapping[str, str] = {"json_parse": "json.parse", "json_stringify": "json.stringify"}

_OURS: Mapping[str, str] = {**BUILT_IN, **INTERNAL}


@dataclass(frozen=True, slots=True)
class NodeTypeDescription:
    """All that people and the console need to know of a node type.

    `params_schema` and `output_schema` are JSON Schema, draft 2020-12. `error` says why a plugin cannot be
    used; of such a one only the name is known.
    """

    name: str
    aliases: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    category: str = "other"
    icon: str = "box"
    actions: tuple[str, ...] | None = None
    payload: str | None = None
    pure: bool = False
    example: str = ""
    params_schema: Mapping[str, Json] | None = None
    output_schema: Mapping[str, Json] | None = None
    plugin: bool = False
    error: str | None = None


class Registry:
    """Gives one initialized instance of each node type that is used. Safe for several threads."""

    def __init__(
        self,
        plugins: Iterable[EntryPoint] | None = None,
        folder: Path | None = None,
        helpers: Iterable[EntryPoint] | None = None,
        every: float = LOOK_SECONDS,
    ) -> None:
        """`plugins` and `helpers` are the entry points, those of installed packages unless given; `folder` holds
        plugins that may change while the process runs, and is looked at so often as `every` seconds.
        """
        self._lock = RLock()
        self._types: dict[str, NodeType[Any]] = {}
        self._made_of: dict[str, Provided] = {}
        self._failed: dict[str, tuple[Provided, str]] = {}
        self._retired: list[NodeType[Any]] = []
        """Of plugins that have changed: their steps may still be under way."""
        self._plugins = PluginSet({*_OURS, *ALIASES}, plugins, folder, helpers, every)

    @property
    def generation(self) -> int:
        """Goes up when plugins have changed: what was made of node types has to be made again."""
        return self._plugins.now().number

    def names(self) -> list[str]:
        """All names without aliases, those of plugins that cannot be loaded included."""
        return sorted([*BUILT_IN, *self._plugins.now().node_types])

    def known(self, name: str) -> bool:
        return name in _OURS or name in ALIASES or name in self._plugins.now().node_types

    def plugins(self) -> Collection[str]:
        """The names of the node types that are plugins'."""
        return self._plugins.now().node_types.keys()

    def plugin_of(self, name: str) -> str | None:
        """The plugin that a node type is of; None for one that is built in, or not there."""
        found = None if name in _OURS else self._plugins.now().node_types.get(name)
        return found.plugin if found is not None else None

    def installed(self) -> Mapping[str, PluginInfo]:
        """The plugins themselves, by name."""
        return self._plugins.now().plugins

    def helpers(self) -> Mapping[str, tuple[str, str]]:
        """The helpers for scripts: plugin and JavaScript source by name."""
        return self._plugins.now().helpers

    def helper_sources(self) -> Mapping[str, str]:
        """The sources alone, for who asks no account."""
        return {name: source for name, (_, source) in self.helpers().items()}

    def plugin_errors(self) -> Mapping[str, str]:
        """The node types of plugins that were found not to be usable, by name, with the reason."""
        now = self._plugins.now()
        failed = {name: error for name, (one, error) in self._failed.items() if now.node_types.get(name) == one}
        return {**failed, **now.errors}

    def get(self, name: str) -> NodeType[Any]:
        """The node type of that name or alias, initialized.

        Raises `NotFound` for a name that nothing has, with the nearest one, and for a plugin that cannot be
        loaded.
        """
        found = self._types.get(name)
        if found is None or (name in self._made_of and self._plugins.now().node_types.get(name) != self._made_of[name]):
            name = ALIASES.get(name, name)
            with self._lock:
                found = self._built_in(name) if name in _OURS else self._plugin(name)
        return found

    def nearest(self, name: str) -> str | None:
        """The known name that is most like `name`."""
        near = difflib.get_close_matches(name, [*self.names(), *ALIASES], n=1, cutoff=0.5)
        return near[0] if near else None

    def shutdown(self) -> None:
        """Close what the node types hold, each one even if another fails to. Usable again after that."""
        with self._lock, ExitStack() as closing:
            for node_type in (*self._retired, *self._types.values()):
                closing.callback(node_type.shutdown)
            for held in (self._retired, self._types, self._made_of):
                held.clear()

    def describe(self, name: str) -> NodeTypeDescription:
        """What there is to know of a node type. Raises `NotFound` as `get` does."""
        node_type = type(self.get(name))
        title, _, rest = inspect.cleandoc(node_type.__doc__ or node_type.name).partition("\n")
        return NodeTypeDescription(
            name=node_type.name,
            aliases=node_type.aliases,
            title=title.strip(),
            description=rest.strip(),
            category=node_type.category,
            icon=node_type.icon,
            actions=node_type.actions,
            payload=node_type.payload,
            pure=node_type.pure,
            example=node_type.example,
            params_schema=node_type.params.model_json_schema(by_alias=True),
            output_schema=node_type.output.model_json_schema() if node_type.output else None,
            plugin=ALIASES.get(name, name) not in _OURS,
        )

    def describe_all(self) -> list[NodeTypeDescription]:
        """All node types by name; a plugin that cannot be loaded is among them, with its error."""
        found = []
        for name in self.names():
            try:
                found.append(self.describe(name))
            except NotFound as error:
                found.append(
                    NodeTypeDescription(name, plugin=True, error=self.plugin_errors().get(name, error.message))
                )
        return found

    def actions_for(self, name: str, params: Mapping[str, Json]) -> tuple[str, ...] | None:
        """The actions of a node with these unevaluated params; None when any may come, or nobody can tell."""
        try:
            return self.get(name).actions_for(params)
        except Exception:  # noqa: BLE001 - a plugin that stumbles over hostile params only loses a warning
            return None

    def deferred(self, name: str) -> frozenset[str]:
        """The parameters that reach the node with their expressions, as written."""
        return _deferred(self._model(name))

    def field_names(self, name: str) -> frozenset[str]:
        """The names of the declared parameters."""
        return _field_names(self._model(name))

    def validate(self, name: str, params: Mapping[str, Json]) -> Params:
        """The parameters as a model. Raises `ParamsInvalid` naming each bad one."""
        model = self._model(name)
        try:
            return model.model_validate(params)
        except ValidationError as error:
            raise ParamsInvalid(text_of(problems(error, model, params))) from None

    def check_params(
        self, name: str, params: Mapping[str, Json], has_expression: Callable[[Json], bool]
    ) -> list[Problem]:
        """What is wrong with unevaluated params, as far as one can tell: place and message of each problem.

        Arguments: `has_expression` says whether there is one anywhere in a value. What an expression may
        still put right is taken to be right.
        """
        try:
            node_type = self.get(name)
        except NotFound as error:
            return [((), error.message)]
        try:
            completed = node_type.complete(dict(params))
            found = [*node_type.problems(completed)]
        except Exception as error:  # noqa: BLE001 - a plugin's own check may stumble over hostile params
            return [((), f"the node type could not check them: {type(error).__name__}: {error}")]
        deferred = self.deferred(name)
        try:
            node_type.params.model_validate(completed)
        except ValidationError as error:
            found += [
                (place, message)
                for place, message in problems(error, node_type.params, completed, has_expression)
                if not (place and place[0] in deferred and has_expression(completed.get(str(place[0]))))
            ]
        return found

    def _model(self, name: str) -> type[Params]:
        model: type[Params] = self.get(name).params
        return model

    def _built_in(self, name: str) -> NodeType[Any]:
        if name not in self._types:
            module, _, class_name = _OURS[name].partition(":")
            one: NodeType[Any] = getattr(import_module(f"flowrunner.nodes.{module}"), class_name)()
            one.initialize()
            self._types[name] = one
        return self._types[name]

    def _plugin(self, name: str) -> NodeType[Any]:
        now = self._plugins.now()
        provided = now.node_types.get(name)
        if provided != self._made_of.get(name) and name in self._types:
            self._retired.append(self._types.pop(name))
            del self._made_of[name]
        if provided is None:
            near = self.nearest(name)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(self.names())}"
            raise NotFound(f"unknown node type {name[:80]!r}; {hint}")
        if name in self._types:
            return self._types[name]
        error = now.errors.get(name)
        if error is None and self._failed.get(name, (None,))[0] != provided:
            try:
                self._types[name] = made(provided, name)
            except (Exception, SystemExit) as refused:  # noqa: BLE001 - a plugin's code may raise whatever it likes
                self._failed[name] = (provided, f"{type(refused).__name__}: {refused}")
            else:
                self._made_of[name] = provided
                return self._types[name]
        raise NotFound(f"the plugin of node type {name!r} cannot be used: {error or self._failed[name][1]}")


@cache
def _deferred(model: type[Params]) -> frozenset[str]:
    return frozenset(
        info.alias or name
        for name, info in model.model_fields.items()
        if any(isinstance(mark, Deferred) for mark in info.metadata)
    )


@cache
def _field_names(model: type[Params]) -> frozenset[str]:
    return frozenset(info.alias or name for name, info in model.model_fields.items())
