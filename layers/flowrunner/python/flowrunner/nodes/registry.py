"""The node types of a process: built in, found by name and imported when first used; and plugins, by entry point."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from typing import Any

from pydantic import ValidationError

from flowrunner.core.flow import Json
from flowrunner.errors import FlowrunnerError, NotFound, ParamsInvalid
from flowrunner.nodes.base import Deferred, NodeType, Params

BUILT_IN: Mapping[str, str] = {
    "approval": "approval:ApprovalNode",
    "condition": "condition:ConditionNode",
    "delay": "delay:DelayNode",
    "filter": "filter:FilterNode",
    "flow.run": "flow_run:FlowRunNode",
    "http.request": "http_request:HttpRequestNode",
    "json.parse": "json_parse:JsonParseNode",
    "json.stringify": "json_stringify:JsonStringifyNode",
    "log": "log:LogNode",
    "notification": "notification:NotificationNode",
    "script": "script:ScriptNode",
    "store": "store:StoreNode",
    "switch": "switch:SwitchNode",
    "transform": "transform:TransformNode",
    "wait.callback": "wait_callback:WaitCallbackNode",
    "webhook": "webhook:WebhookNode",
}
"""Name → module within this package, and class. Importing the registry imports none of them."""

ALIASES: Mapping[str, str] = {"json_parse": "json.parse", "json_stringify": "json.stringify"}

ENTRY_POINTS = "flowrunner.nodes"


@dataclass(frozen=True, slots=True)
class NodeTypeDescription:
    """All that people and the console need to know of a node type."""

    name: str
    aliases: tuple[str, ...]
    title: str
    description: str
    category: str
    icon: str
    actions: tuple[str, ...] | None
    payload: str | None
    pure: bool
    example: str
    params_schema: Mapping[str, Json]
    output_schema: Mapping[str, Json] | None


@dataclass(slots=True)
class _Plugins:
    found: dict[str, EntryPoint] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class Registry:
    """Gives one initialized instance of each node type that is used. Safe for several threads."""

    def __init__(self, plugins: Iterable[EntryPoint] | None = None) -> None:
        self._lock = RLock()
        self._types: dict[str, NodeType[Any]] = {}
        self._plugins = _Plugins()
        for entry in entry_points(group=ENTRY_POINTS) if plugins is None else plugins:
            if entry.name in BUILT_IN or entry.name in ALIASES:
                self._plugins.errors[entry.name] = "the name belongs to a built-in node type"
            else:
                self._plugins.found[entry.name] = entry

    def names(self) -> list[str]:
        return sorted([*BUILT_IN, *self._plugins.found])

    def known(self, name: str) -> bool:
        return name in BUILT_IN or name in ALIASES or name in self._plugins.found

    def plugin_errors(self) -> Mapping[str, str]:
        """Plugins that could not be loaded, with the reason."""
        return dict(self._plugins.errors)

    def get(self, name: str) -> NodeType[Any]:
        """The node type of that name or alias. Raises `NotFound` with the nearest name."""
        name = ALIASES.get(name, name)
        found = self._types.get(name)
        if found is None:
            with self._lock:
                found = self._types.get(name)
                if found is None:
                    found = self._load(name)
                    found.initialize()
                    self._types[name] = found
        return found

    def nearest(self, name: str) -> str | None:
        """The known name that is most like `name`."""
        near = difflib.get_close_matches(name, [*self.names(), *ALIASES], n=1, cutoff=0.5)
        return near[0] if near else None

    def shutdown(self) -> None:
        """Close what the node types hold. The registry can be used again after that."""
        with self._lock:
            for node_type in self._types.values():
                node_type.shutdown()
            self._types.clear()

    def describe(self, name: str) -> NodeTypeDescription:
        node_type = type(self.get(name))
        text = (node_type.__doc__ or "").strip()
        title, _, rest = text.partition("\n")
        return NodeTypeDescription(
            name=node_type.name,
            aliases=node_type.aliases,
            title=title.strip(),
            description="\n".join(line.strip() for line in rest.strip().splitlines()),
            category=node_type.category,
            icon=node_type.icon,
            actions=node_type.actions,
            payload=node_type.payload,
            pure=node_type.pure,
            example=node_type.example,
            params_schema=node_type.params.model_json_schema(by_alias=True),
            output_schema=node_type.output.model_json_schema() if node_type.output else None,
        )

    def actions_for(self, name: str, params: Mapping[str, Json]) -> tuple[str, ...] | None:
        return self.get(name).actions_for(params)

    def deferred(self, name: str) -> frozenset[str]:
        """The parameters that reach the node with their expressions, as written."""
        return _deferred(self.get(name).params)

    def field_names(self, name: str) -> frozenset[str]:
        """The names of the declared parameters."""
        return _field_names(self.get(name).params)

    def validate(self, name: str, params: Mapping[str, Json]) -> Params:
        """The parameters as a model. Raises `ParamsInvalid` naming each bad one."""
        try:
            return self.get(name).params.model_validate(params)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, path))}: {message}" for path, message in _problems(error, name, self)]
            raise ParamsInvalid("; ".join(problems)) from None

    def check_params(
        self, name: str, params: Mapping[str, Json], has_expression: Callable[[Json], bool]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        """What is wrong with unevaluated params, as far as one can tell: path and message of each problem.

        Whatever holds an expression is taken to be right; so is a model-wide rule when any parameter holds one.
        """
        completed = self.get(name).complete(dict(params))
        deferred = self.deferred(name)
        unknown = {key for key, value in completed.items() if key not in deferred and has_expression(value)}
        try:
            self.get(name).params.model_validate(completed)
        except ValidationError as error:
            return [
                (path, message)
                for path, message in _problems(error, name, self)
                if (path and path[0] not in unknown) or (not path and not unknown)
            ]
        return []

    def _load(self, name: str) -> NodeType[Any]:
        if name in BUILT_IN:
            module, _, class_name = BUILT_IN[name].partition(":")
            made: NodeType[Any] = getattr(import_module(f"flowrunner.nodes.{module}"), class_name)()
            return made
        entry = self._plugins.found.get(name)
        if entry is None:
            near = self.nearest(name)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(self.names())}"
            raise NotFound(f"unknown node type {name!r}; {hint}")
        try:
            return _plugin(entry)
        except Exception as error:
            self._plugins.errors[name] = f"{type(error).__name__}: {error}"
            raise NotFound(f"the plugin of node type {name!r} cannot be loaded: {error}") from error


def _plugin(entry: EntryPoint) -> NodeType[Any]:
    loaded = entry.load()
    if not (isinstance(loaded, type) and issubclass(loaded, NodeType)):
        raise FlowrunnerError(f"{entry.value} is no NodeType")
    return loaded()


@lru_cache(maxsize=None)
def _deferred(model: type[Params]) -> frozenset[str]:
    return frozenset(
        info.alias or name
        for name, info in model.model_fields.items()
        if any(isinstance(mark, Deferred) for mark in info.metadata)
    )


@lru_cache(maxsize=None)
def _field_names(model: type[Params]) -> frozenset[str]:
    return frozenset(info.alias or name for name, info in model.model_fields.items())


def _problems(error: ValidationError, name: str, registry: Registry) -> list[tuple[tuple[str | int, ...], str]]:
    return [(tuple(problem["loc"]), _words(problem, registry.field_names(name))) for problem in error.errors()]


def _words(problem: Any, fields: frozenset[str]) -> str:
    """A problem in words for the author of a flow."""
    kind, location = problem["type"], problem["loc"]
    if kind == "extra_forbidden" and len(location) == 1:
        near = difflib.get_close_matches(str(location[0]), fields, n=1)
        return f"there is no such parameter; {f'did you mean {near[0]!r}?' if near else 'known are ' + ', '.join(sorted(fields))}"
    if kind == "missing":
        return "is required"
    message: str = problem["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
