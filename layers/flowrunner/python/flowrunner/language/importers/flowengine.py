"""The JSON workflows of the Rust engine `flowengine`.

What it calls a node's name becomes the node's id here, since its own ids are UUIDs; they stay in comments. What runs in
another way than there is written down in docs/importing.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from flowrunner.core.flow import Json
from flowrunner.language.importers.base import At, Converted, Problems
from flowrunner.language.importers.flowengine_nodes import convert_node, duration
from flowrunner.language.importers.flowengine_reading import KINDS, Node, Workflow, read_workflow
from flowrunner.language.importers.flowengine_wiring import Wiring
from flowrunner.language.importers.yaml_text import comment, entry
from flowrunner.language.reader import RESERVED_KEYS

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NOT_IN_ID = re.compile(r"[^a-z0-9]+")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9 _.-]+")
LONGEST_ID, LONGEST_NAME = 56, 128


class FlowengineImporter:
    """See the module."""

    name = "flowengine"

    def recognizes(self, document: Json) -> bool:
        if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
            return False
        return "connections" in document or any(
            isinstance(node, dict) and "node_type" in node for node in document["nodes"]
        )

    def convert(self, document: Json, problems: Problems) -> Converted:
        flow = read_workflow(At(document, (), problems))
        _give_names(flow)
        wiring = Wiring(flow)
        wiring.find_cycle(problems)
        nodes: list[str] = []
        for node in flow.nodes.values():
            if node.sound and node.type in KINDS and len(wiring.order) == len(flow.nodes):
                fields, remarks = convert_node(node, wiring, problems)
                nodes += ["", *_node_lines(node, fields, remarks)]
        text = "\n".join([*_head(flow), "nodes:", *nodes[1:]]) + "\n"
        return Converted(text, {node.name: node.path for node in flow.nodes.values()})


def _give_names(flow: Workflow) -> None:
    """Each node's id in our flow: its own if that is a name, else made of what people call it."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for node in flow.nodes.values():
        own = node.id if _ID.fullmatch(node.id) and node.id not in RESERVED_KEYS else None
        if own and own not in taken:
            node.name = own
        else:
            base = _slug(node.label or "") or _slug(node.type.rpartition(".")[2]) or "node"
            name = base
            while name in taken or name in flow.nodes or name in RESERVED_KEYS:
                numbers[base] = numbers.get(base, 1) + 1
                name = f"{base}_{numbers[base]}"
            node.name = name
        taken.add(node.name)


def _slug(text: str) -> str:
    slug = _NOT_IN_ID.sub("_", text.lower()).strip("_")[:LONGEST_ID].strip("_")
    return f"_{slug}" if slug[:1].isdigit() else slug


def _head(flow: Workflow) -> Iterator[str]:
    name = _NOT_IN_NAME.sub("-", flow.name)[:LONGEST_NAME]
    yield comment("Imported from a workflow of flowengine" + (f", where its id is {flow.id}" if flow.id else ""))
    if name != flow.name:
        yield comment(f"Its name there is {flow.name}")
    yield "metadata:"
    yield from entry("name", name, 2)
    if flow.description is not None:
        yield from entry("description", flow.description, 2)
    yield ""
    settings: dict[str, Json] = {}
    if isinstance(flow.on_error, int):
        settings["on_error"] = {"retry_run": {"max_attempts": flow.on_error}}
    elif flow.on_error != "stop":
        settings["on_error"] = flow.on_error
    if flow.timeout is not None:
        settings["timeout"] = duration(flow.timeout)
    if flow.max_parallel is not None:
        settings["limits"] = {"max_parallel": flow.max_parallel}
    for field, value in settings.items():
        yield from entry(field, value)
    if flow.triggers:
        yield from entry("triggers", list(flow.triggers))
    if settings or flow.triggers:
        yield ""


def _node_lines(node: Node, fields: dict[str, Json], remarks: list[str]) -> Iterator[str]:
    if node.id != node.name:
        yield comment(f"in flowengine: {node.id}", 2)
    yield from (comment(remark, 2) for remark in remarks)
    yield from entry(node.name, fields, 2)
