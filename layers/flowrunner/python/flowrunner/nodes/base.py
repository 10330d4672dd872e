"""The node contract: everything a node type, built in or plugged in, has to know.

A node type is a class with a Pydantic model for its parameters and an `execute` method:

    class GreetParams(Params):
        name: str = Field(description="Who is greeted")

    class Greet(NodeType[GreetParams]):
        '''Says hello.'''

        name = "greet"
        params = GreetParams

        def execute(self, ctx: Context[GreetParams]) -> Result:
            return Result({"text": f"Hello {ctx.params.name}"})

One instance serves all executions of a process, from several threads: keep what is shared (a client, a pool)
in `initialize` and close it in `shutdown`, and keep nothing of a step on `self`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.core.ids import Millis
from flowrunner.errors import StepError
from flowrunner.ports.dialer import Dialer
from flowrunner.ports.http import HttpClient
from flowrunner.ports.kv import KeyValues

Level = Literal["debug", "info", "warning", "error"]


class Params(BaseModel):
    """Base of every parameter model: an unknown field is an error, so that a typing mistake is found."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Output(BaseModel):
    """Base of an output model, for types whose output has a known shape."""

    model_config = ConfigDict(frozen=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Deferred:
    """Marks a parameter whose expressions the node evaluates itself, per item, by `ctx.evaluate_each`."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Editors are told: nothing of it has a value before the node is executed."""
        return {**handler(core), "x-deferred": True}


Expression = Annotated[Json, Deferred()]
"""A parameter that reaches the node as written, expressions and all."""

P = TypeVar("P", bound=Params)
P_co = TypeVar("P_co", bound=Params, covariant=True)


@dataclass(frozen=True, slots=True)
class Result:
    """A finished execution: its output and the action that chooses the outgoing edges."""

    output: Json = None
    action: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Wait:
    """The step waits and holds no worker.

    It goes on at `until` with `output` and `action`, or before that when a signal with `callback`'s token
    comes in, whose payload is then the output. `data` is shown while it waits (the link of an approval).
    """

    until: Millis | None = None
    output: Json = None
    action: str = DEFAULT
    data: Json = None
    callback: Callback | None = None
    child: str | None = None
    """The id of the run whose end is the signal (`flow.run`)."""


@dataclass(frozen=True, slots=True)
class Callback:
    """How the outside answers a waiting step: a secret token, and the address to send it to, if any."""

    token: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run as a node sees it. `idempotency_key` is the same on every re-execution of the step."""

    id: str
    account: str
    flow: str
    revision: int
    attempt: int
    started_at: Millis
    idempotency_key: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class FlowNote:
    """What a stored flow says of itself: for whom it is to be offered to."""

    description: str | None
    inputs: Mapping[str, Json] | bool | None


class ChildRuns(Protocol):
    """Starting other flows from a step."""

    def note(self, flow: str, revision: int | None) -> FlowNote:
        """What a stored flow (by name or id) says of itself. Raises `StepError` with code `FLOW_NOT_FOUND`."""
        ...

    def start(
        self,
        *,
        flow: str | None,
        revision: int | None,
        document: Mapping[str, Json] | None,
        input: Json,
        signal_parent: bool,
    ) -> str:
        """Start a run of a stored flow (by name or id) or of an inline document; returns its id.

        The id is derived from run and step, so starting twice starts one. Raises `StepError` with code
        `FLOW_NOT_FOUND`, `FLOW_INVALID`, `INPUT_INVALID` or `DEPTH_EXCEEDED`.
        """
        ...


class Context(Protocol[P_co]):
    """What an execution is given. Every method may be called from the execution's own thread only."""

    @property
    def params(self) -> P_co: ...

    @property
    def input(self) -> Json:
        """The node's input: what came along the edge, the ports, or for a start node the run's input."""
        ...

    @property
    def node(self) -> str: ...

    @property
    def step(self) -> str: ...

    @property
    def attempt(self) -> int:
        """Starts at 1."""
        ...

    @property
    def run(self) -> RunInfo: ...

    @property
    def http(self) -> HttpClient:
        """The guarded client. Narrow each request by `egress`."""
        ...

    @property
    def dialer(self) -> Dialer:
        """Guarded connections that are not HTTP. Narrow each by `egress`."""
        ...

    @property
    def egress(self) -> Sequence[Sequence[str]]:
        """The allow-lists of flow and node, for `HttpRequest.allow` and the dialer."""
        ...

    @property
    def values(self) -> KeyValues: ...

    @property
    def children(self) -> ChildRuns: ...

    @property
    def programs_allowed(self) -> bool:
        """Whether a step may start programs on this machine: only where whoever runs the server says so."""
        ...

    def now(self) -> Millis: ...

    def time_left(self) -> float:
        """Seconds until this execution is given up."""
        ...

    def cancelled(self) -> bool:
        """Whether the run was cancelled or the step timed out; long work looks at it now and then."""
        ...

    def log(self, message: str, level: Level = "info", data: Json = None) -> None: ...

    def emit(self, name: str, data: Json = None) -> None:
        """A custom event of this step (`step.event`), delivered live and kept with the step."""
        ...

    def progress(self, percent: float) -> None:
        """How far this execution is, 0 to 100; shown live."""
        ...

    def evaluate_each(self, expression: Json, items: Sequence[Json], alias: str = "item") -> list[Json]:
        """The value of a deferred parameter for each item, with `item` (or `alias`) and `index` in scope."""
        ...

    def validator(self, schema: Json) -> Callable[[Json], list[str]]:
        """A function that says what a value has wrong by a JSON Schema; nothing is fetched and every check ends.

        Raises `ParamsInvalid` when the schema itself is wrong.
        """
        ...

    def callback(self) -> Callback:
        """A token to answer this step from outside. Registered at once, so an early answer is kept."""
        ...

    def script(self, source: str, bindings: Mapping[str, Json]) -> Json:
        """Run JavaScript as the body of a function in the sandbox, with the scope of an `exec` hook."""
        ...


class NodeType(ABC, Generic[P]):
    """Base class of all node types; the class docstring is the documentation shown to people."""

    name: ClassVar[str]
    """As written in `type:`."""
    params: type[P]
    output: ClassVar[type[Output] | None] = None
    aliases: ClassVar[tuple[str, ...]] = ()
    category: ClassVar[str] = "other"
    icon: ClassVar[str] = "box"
    actions: ClassVar[tuple[str, ...] | None] = (DEFAULT,)
    """The actions `execute` can give, or None when it can give any."""
    payload: ClassVar[str | None] = None
    """The field of the output that travels along an edge as the next node's input; None: the whole output."""
    pure: ClassVar[bool] = False
    """No effect outside the run, so running twice is harmless and the step needs no claim."""
    quick: ClassVar[bool] = False
    """Never blocks; the worker runs it in its own thread, not a pool's. Implies nothing about `pure`."""
    slow: ClassVar[bool | None] = None
    """Whether a step may take more than a minute, so that AWS runs it where it may (and where its libraries are).

    True: every one (a model); False: none, whatever `timeout` allows (one that only begins to wait); None: as long as
    the node's `timeout` or the parameter of that name says, whichever is less.
    """
    example: ClassVar[str] = ""
    """A node in YAML, for the documentation; the tests load and run it."""

    @classmethod
    def complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        """Fill in defaults that are expressions themselves, before anything is evaluated."""
        return params

    @classmethod
    def actions_for(cls, params: Mapping[str, Json]) -> tuple[str, ...] | None:
        """The actions of a node with these unevaluated params; None when any action may come."""
        return cls.actions

    @classmethod
    def problems(cls, params: Mapping[str, Json]) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Place and message of what is wrong with these unevaluated params, beyond what the model says.

        Called when a flow is saved, with what `complete` gave; the params may be anything at all.
        """
        return ()

    def exec_input(self, params: P, input: Json) -> Json:
        """What an `exec` hook in this node's place sees as `input`: the node's, unless a type selects."""
        return input

    def answered(self, payload: Json) -> Result:
        """The result of a wait that ended by a signal with `payload`."""
        return Result(payload)

    def returned(self, output: Json, error: StepError | None) -> Result:
        """The result of a wait that ended with the run that it waited for: its output, or why it did not complete.

        Raises `error`, or one of its own, when that fails the step.
        """
        if error is not None:
            raise error
        return Result(output)

    def initialize(self) -> None:
        """Called once per process before the first execution."""

    def shutdown(self) -> None:
        """Called once when the process ends."""

    @abstractmethod
    def execute(self, ctx: Context[P]) -> Output | Result | Wait:
        """Do the work. Raise `StepError` (or a subclass) for a failure that flows can act on."""
