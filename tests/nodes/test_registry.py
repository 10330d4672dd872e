"""The registry: finding, describing and checking node types, built in and plugged in."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest
from flowrunner.errors import NotFound, ParamsInvalid
from flowrunner.language.scripts import has_expression
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import ALIASES, BUILT_IN, ENTRY_POINTS, Registry
from flowrunner.nodes.transform import TransformNode, TransformParams
from jsonschema import Draft202012Validator


def _plugin(name: str, attribute: str, module: str = __name__) -> EntryPoint:
    return EntryPoint(name=name, value=f"{module}:{attribute}", group=ENTRY_POINTS)


class GreetParams(Params):
    who: str


class Greet(NodeType[GreetParams]):
    """Says hello.

    To whom it may
    concern.
    """

    name = "greet"
    params = GreetParams
    opened: ClassVar[list[str]] = []

    def initialize(self) -> None:
        self.opened.append("open")

    def shutdown(self) -> None:
        self.opened.append("closed")

    def execute(self, ctx: Context[GreetParams]) -> Result:
        return Result(f"Hello {ctx.params.who}")


class Stubborn(Greet):
    """Does not close."""

    name = "stubborn"

    def shutdown(self) -> None:
        raise OSError("no")


class Broken(Greet):
    """Does not open."""

    name = "broken"

    def initialize(self) -> None:
        raise RuntimeError("no licence")


class Careless(Greet):
    """Takes its params for granted."""

    name = "careless"

    @classmethod
    def complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "who": params["who"].strip()}

    @classmethod
    def actions_for(cls, params: Mapping[str, Any]) -> tuple[str, ...] | None:
        return (params["who"].lower(),)


class Unfinished(NodeType[Any]):
    """Has no params."""

    name = "unfinished"

    def execute(self, ctx: Context[Any]) -> Result:
        return Result()


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points find this module under its name, which pytest's importlib mode may not do by itself."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    Greet.opened.clear()


def test_every_built_in_type_can_be_had() -> None:
    """Each name gives an instance of the class of that name, always the same one."""
    registry = Registry(plugins=())
    assert registry.names() == sorted(BUILT_IN)
    for name in registry.names():
        assert registry.get(name).name == name
        assert registry.get(name) is registry.get(name)


def test_aliases_are_those_of_the_classes() -> None:
    """The literal table of aliases and the classes agree, and an alias gives the type itself."""
    registry = Registry(plugins=())
    declared = {alias: name for name in BUILT_IN for alias in registry.get(name).aliases}
    assert declared == ALIASES
    for alias, name in ALIASES.items():
        assert registry.get(alias) is registry.get(name)
        assert registry.known(alias)
        assert registry.describe(alias).name == name


def test_a_type_is_imported_when_it_is_used() -> None:
    """Making a registry imports no node type: cold start is a feature."""
    code = (
        "import sys; from flowrunner.nodes.registry import BUILT_IN, Registry; registry = Registry();"
        "loaded = [m for m in BUILT_IN.values() if 'flowrunner.nodes.' + m.partition(':')[0] in sys.modules];"
        "print(registry.names() != [], loaded, 'jsonpath' in sys.modules, 'regex' in sys.modules);"
        "registry.get('transform'); print('flowrunner.nodes.transform' in sys.modules, 'jsonpath' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True [] False False", "True False"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("transfrom", "did you mean 'transform'?"),
        ("http_request", "did you mean 'http.request'?"),
        ("json-parse", "did you mean 'json"),
        ("zzzzzz", "known are ai.agent, approval,"),
        ("x" * 500, "known are"),
    ],
)
def test_an_unknown_type_names_the_nearest(name: str, hint: str) -> None:
    """The error helps with the name, and does not repeat a huge one."""
    registry = Registry(plugins=())
    assert not registry.known(name)
    with pytest.raises(NotFound) as caught:
        registry.get(name)
    assert hint in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_descriptions_are_complete(name: str) -> None:
    """Each type has title, text, category, icon, example, and schemas with a word on every field."""
    found = Registry(plugins=()).describe(name)
    assert found.name == name
    assert found.title.endswith((".", "?"))
    assert found.icon != "box"
    assert found.category in {"ai", "data", "flow", "network", "people"}
    assert found.example.startswith(f"type: {name}\n")
    assert (found.plugin, found.error) == (False, None)
    for schema in (found.params_schema, found.output_schema):
        if schema is not None:
            Draft202012Validator.check_schema(schema)
    assert found.params_schema is not None
    assert not any("_" in key and key.endswith("_") for key in found.params_schema["properties"])


OWN = sorted(set(BUILT_IN) - {"http.request", "webhook", "notification"})


@pytest.mark.parametrize("name", OWN)
def test_every_param_is_described(name: str) -> None:
    """The console's forms and `flowrunner nodes TYPE` have a sentence for each field."""
    schema = Registry(plugins=()).describe(name).params_schema or {}
    for model in (schema, *schema.get("$defs", {}).values()):
        for field, details in model.get("properties", {}).items():
            assert details.get("description"), f"{name}: {field}"


def test_a_plugin_is_a_type_like_any_other() -> None:
    """A plugin is listed, described, checked and given out."""
    registry = Registry(plugins=[_plugin("greet", "Greet")])
    assert "greet" in registry.names()
    assert registry.get("greet").name == "greet"
    found = registry.describe("greet")
    assert (found.title, found.description, found.plugin) == ("Says hello.", "To whom it may\nconcern.", True)
    assert registry.check_params("greet", {"whom": "x"}, has_expression) == [
        (("who",), "is required"),
        (("whom",), "there is no such parameter; did you mean 'who'?"),
    ]
    assert registry.plugin_errors() == {}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (_plugin("gone", "Greet", module="no.such.module"), "ModuleNotFoundError"),
        (_plugin("gone", "Nothing"), "AttributeError"),
        (_plugin("gone", "Greet"), "calls itself 'greet'"),
        (_plugin("gone", "GreetParams"), "is no subclass of flowrunner.nodes.base.NodeType"),
        (_plugin("gone", "BUILT_IN"), "is no subclass"),
        (_plugin("unfinished", "Unfinished"), "has no `params`"),
        (_plugin("broken", "Broken"), "no licence"),
        (_plugin("quits", "anything", module="tests.nodes.quitting_plugin"), "SystemExit"),
    ],
)
def test_a_plugin_that_cannot_be_used_breaks_nothing_else(entry: EntryPoint, reason: str) -> None:
    """It is listed with its error, a flow that names it is told so, and all other types work."""
    registry = Registry(plugins=[entry, _plugin("greet", "Greet")])
    assert registry.known(entry.name)
    for _ in range(2):
        with pytest.raises(NotFound, match="cannot be used"):
            registry.get(entry.name)
    assert reason in registry.plugin_errors()[entry.name]
    described = {one.name: one for one in registry.describe_all()}
    assert reason in (described[entry.name].error or "")
    assert described["greet"].error is None
    assert len(described) == len(BUILT_IN) + 2
    ((place, message),) = registry.check_params(entry.name, {}, has_expression)
    assert place == ()
    assert reason in message
    assert registry.actions_for(entry.name, {}) is None


def test_a_careless_plugin_does_not_break_the_loader() -> None:
    """A plugin's own check that stumbles over a document is a problem of that node, not a crash."""
    registry = Registry(plugins=[_plugin("careless", "Careless")])
    ((place, message),) = registry.check_params("careless", {"who": 5}, has_expression)
    assert (place, message.partition(":")[0]) == ((), "the node type could not check them")
    assert registry.actions_for("careless", {"who": 5}) is None
    assert registry.actions_for("careless", {"who": "BO"}) == ("bo",)


def test_a_plugin_does_not_replace_a_built_in_type() -> None:
    """The name of a built-in type or alias is taken, and the plugin is told of."""
    registry = Registry(plugins=[_plugin("transform", "Greet"), _plugin("json_parse", "Greet")])
    assert isinstance(registry.get("transform"), TransformNode)
    assert set(registry.plugin_errors()) == {"transform", "json_parse"}


def test_two_plugins_of_one_name_are_both_refused() -> None:
    """Which of the two a flow means cannot be told, so neither is used."""
    registry = Registry(plugins=[_plugin("greet", "Greet"), _plugin("greet", "Stubborn")])
    with pytest.raises(NotFound, match=r"both .*Greet and .*Stubborn want this name"):
        registry.get("greet")


def test_the_installed_entry_points_are_found() -> None:
    """Without an argument the registry looks at what is installed, which here adds nothing broken."""
    assert set(BUILT_IN) <= set(Registry().names())


def test_a_type_is_opened_once_by_any_number_of_threads() -> None:
    """Many threads that ask at once get one instance, initialized once."""
    registry = Registry(plugins=[_plugin("greet", "Greet")])
    start = threading.Barrier(8)
    found: list[NodeType[Any]] = []

    def ask() -> None:
        start.wait(5)
        found.append(registry.get("greet"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(set(map(id, found))) == 1
    assert Greet.opened == ["open"]


def test_shutdown_closes_each_type_even_if_one_fails() -> None:
    """One type's failure to close is raised, after all others were closed; the registry can be used again."""
    registry = Registry(plugins=[_plugin("greet", "Greet"), _plugin("stubborn", "Stubborn")])
    registry.get("greet")
    registry.get("stubborn")
    with pytest.raises(OSError, match="no"):
        registry.shutdown()
    assert Greet.opened == ["open", "open", "closed"]
    registry.get("greet")
    assert Greet.opened[-1] == "open"


@pytest.mark.parametrize(
    ("name", "deferred"),
    [
        ("transform", {"filter"}),
        ("filter", {"where"}),
        ("store", {"where"}),
        ("flow.run", {"inline"}),
        ("log", set()),
    ],
)
def test_deferred_params_are_known(name: str, deferred: set[str]) -> None:
    """The engine leaves these as written."""
    assert Registry(plugins=()).deferred(name) == deferred


def test_field_names_are_those_of_the_document() -> None:
    """Names are as flows write them, not as Python must."""
    registry = Registry(plugins=())
    assert registry.field_names("condition") == {"if"}
    assert registry.field_names("delay") == {"for", "until"}


def test_actions_are_known_by_type_or_by_params() -> None:
    """The loader checks `next` against these."""
    registry = Registry(plugins=())
    assert registry.actions_for("condition", {}) == ("true", "false")
    assert registry.actions_for("switch", {"cases": {"a": 1}}) == ("a", "default")


def test_validate_gives_the_model() -> None:
    """Evaluated params become the type's own model."""
    assert Registry(plugins=()).validate("transform", {"value": 1}) == TransformParams(value=1)


def test_validate_names_every_bad_param() -> None:
    """All that is wrong comes in one message."""
    with pytest.raises(ParamsInvalid) as caught:
        Registry(plugins=()).validate("transform", {"deep": "x", "pick": 5, "peck": 1})
    assert caught.value.message == (
        "pick: should be a list, not a number; deep: should be true or false; "
        "peck: there is no such parameter; did you mean 'pick'?"
    )
