"""Plugins over HTTP: listed with their errors, disabled and enabled by an account for itself."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import ENTRY_POINTS, Registry
from flowrunner.services.identity import Role
from flowrunner.services.plugins import LOOK_AGAIN

from tests.api.harness import service

SHOUTS = "metadata: {name: shouts}\nnodes: {a: {type: test.shout, params: {text: hi}}}\n"


class ShoutParams(Params):
    text: str


class ShoutNode(NodeType[ShoutParams]):
    """Says it louder."""

    name = "test.shout"
    params = ShoutParams

    def execute(self, ctx: Context[ShoutParams]) -> Result:
        return Result(ctx.params.text.upper())


def registry() -> Registry:
    """A good plugin and one that cannot be imported."""
    return Registry(
        [
            EntryPoint("test.shout", f"{__name__}:ShoutNode", ENTRY_POINTS),
            EntryPoint("test.broken", "no_such_module:Node", ENTRY_POINTS),
        ]
    )


def test_plugins_are_listed_with_their_errors() -> None:
    """One that cannot be loaded harms nothing else."""
    with service(registry=registry()) as api:
        found = {one["name"]: one for one in api.call("GET", "/v1/plugins").json()["items"]}
        assert (found["test.shout"]["title"], found["test.shout"]["error"]) == ("Says it louder.", None)
        assert "no_such_module" in found["test.broken"]["error"]
        types = {one["name"]: one for one in api.call("GET", "/v1/node-types").json()["items"]}
        assert types["test.shout"]["plugin"]
        assert not types["http.request"]["plugin"]
        assert types["transform"]["params_schema"]["type"] == "object"


def test_a_disabled_plugin_does_nothing() -> None:
    """For the account that has disabled it: flows with it are not stored, steps of it fail."""
    with service(registry=registry()) as api:
        flow = api.flow(SHOUTS)
        run = api.start(flow["id"])
        assert api.call("GET", f"/v1/runs/{run}").json()["output"] == {"a": "HI"}
        assert api.call("PATCH", "/v1/plugins/test.shout", role=Role.EDITOR, json={"enabled": False}).status_code == 403
        assert api.call("PATCH", "/v1/plugins/test.other", json={"enabled": False}).status_code == 404
        assert api.call("PATCH", "/v1/plugins/test.shout", json={"enabled": False}).json()["enabled"] is False
        refused = api.call("POST", "/v1/flows", content=SHOUTS.replace("shouts", "again"))
        assert (refused.status_code, "test.shout" in refused.json()["error"]["message"]) == (400, True)
        run = api.start(flow["id"])
        assert api.call("GET", f"/v1/runs/{run}").json()["error"]["code"] == "PLUGIN_DISABLED"
        other = api.flow(SHOUTS, team="other")
        run = api.start(other["id"], team="other")
        assert api.call("GET", f"/v1/runs/{run}", team="other").json()["status"] == "completed"
        api.call("PATCH", "/v1/plugins/test.shout", json={"enabled": True})
        run = api.start(flow["id"])
        assert api.call("GET", f"/v1/runs/{run}").json()["status"] == "completed"


def test_the_schema_of_flows_is_open_to_editors() -> None:
    """Without credentials."""
    with service() as made:
        schema = made.call("GET", "/v1/schema/flow", role=None).json()
        assert schema["title"] == "Flowrunner flow"


LOUD = '''
from flowrunner.nodes.base import Context, NodeType, Params, Result

__version__ = "2.0"
HELPERS = {"shout": "(text) => text.toUpperCase()"}


class LoudParams(Params):
    text: str


class Loud(NodeType[LoudParams]):
    """Says it twice."""

    name = "loud"
    params = LoudParams

    def execute(self, ctx: Context[LoudParams]) -> Result:
        return Result(ctx.params.text * 2)
'''
LOUD_FLOW = 'metadata: {name: loud}\nnodes: {a: {type: loud, params: {text: "${shout(input)}"}}}\n'


def test_a_plugin_in_the_folder(tmp_path: Path) -> None:
    """It is listed whole, runs, is switched off with its node types and helpers, and changes without a restart."""
    file = tmp_path / "loud.py"
    file.write_text(LOUD)
    (tmp_path / "torn.js").write_text("(x => ")
    with service(registry=Registry((), tmp_path, (), every=0)) as api:
        torn, loud = sorted(
            api.call("GET", "/v1/plugins").json()["items"], key=lambda one: one["helpers"], reverse=True
        )
        assert loud == {
            "name": "loud",
            "title": "Says it twice.",
            "version": "2.0",
            "source": "folder",
            "node_types": [{"name": "loud", "title": "Says it twice.", "error": None}],
            "helpers": ["shout"],
            "enabled": True,
            "error": None,
        }
        assert "the helper torn: " in torn["error"]
        flow = api.flow(LOUD_FLOW)
        run = api.start(flow["id"], "a")
        assert api.call("GET", f"/v1/runs/{run}").json()["output"] == {"a": "AA"}
        file.write_text(LOUD.replace("text * 2", "text * 3"))
        run = api.start(flow["id"], "a")
        assert api.call("GET", f"/v1/runs/{run}").json()["output"] == {"a": "AAA"}
        file.write_text("broken(")
        run = api.start(flow["id"], "a")
        assert api.call("GET", f"/v1/runs/{run}").json()["output"] == {"a": "AAA"}
        plain = api.flow('metadata: {name: plain}\nnodes: {a: {type: transform, params: {value: "${shout(input)}"}}}')
        assert api.call("PATCH", "/v1/plugins/loud", json={"enabled": False}).status_code == 200
        api.later(LOOK_AGAIN)
        for one, code in ((flow, "PLUGIN_DISABLED"), (plain, "EXPRESSION_ERROR")):
            run = api.start(one["id"], "a")
            assert api.call("GET", f"/v1/runs/{run}").json()["error"]["code"] == code
        other = api.flow(LOUD_FLOW, team="other")
        run = api.start(other["id"], "a", team="other")
        assert api.call("GET", f"/v1/runs/{run}", team="other").json()["status"] == "completed"
