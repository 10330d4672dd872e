"""Write docs/nodes/: a page per built-in node type and an index, from the types' own descriptions.

Run it in the project's environment after a node type has changed: `uv run python scripts/gen_node_docs.py`.
With `--check` it writes nothing and fails when a page is not what it would write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowrunner.nodes.registry import NodeTypeDescription, Registry

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "nodes"

CATEGORIES = {
    "ai": "Asking models",
    "data": "Working on data",
    "flow": "Deciding where and when the flow goes on",
    "network": "Talking to other systems",
    "people": "Telling and asking people",
}

NOTE = "<!-- Written by scripts/gen_node_docs.py from the node type itself: change the class, not this page. -->"

Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """The text of every page by its file name."""
    found = Registry(plugins=()).describe_all()
    return {f"{one.name}.md": _page(one) for one in found} | {"README.md": _index(found)}


def differing(folder: Path) -> list[str]:
    """The names of the pages in `folder` that are missing, left over, or not what they should be."""
    wanted = pages()
    there = {file.name: file.read_text("utf-8") for file in folder.glob("*.md")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """Write the pages, or check them."""
    different = differing(folder)
    if "--check" in arguments:
        for name in different:
            print(f"docs/nodes/{name} is out of date; run scripts/gen_node_docs.py")
        return 1 if different else 0
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for name in different:
        if name in wanted:
            (folder / name).write_text(wanted[name], "utf-8")
        else:
            (folder / name).unlink()
        print(f"docs/nodes/{name}")
    return 0


def _index(found: list[NodeTypeDescription]) -> str:
    lines = [NOTE, "", "# Node types", ""]
    lines += [
        "What a node can do is its `type`. Every type has the fields of all nodes beside its own `params`:",
        "`next`, `needs`, `when`, `retry`, `hooks` and so on. `flowrunner nodes` lists the types of an",
        "installation, plugins included, and `flowrunner nodes TYPE` shows what is on these pages.",
    ]
    for category, title in CATEGORIES.items():
        lines += ["", f"## {title}", "", "| type | what it does |", "| --- | --- |"]
        lines += [
            f"| [`{one.name}`]({one.name}.md) | {_cell(one.title)} |" for one in found if one.category == category
        ]
    return "\n".join(lines) + "\n"


def _page(one: NodeTypeDescription) -> str:
    lines = [NOTE, "", f"# {one.name}", "", one.title, ""]
    lines += [one.description, ""] if one.description else []
    lines += [*_facts(one), ""]
    schema = one.params_schema or {}
    lines += ["## Parameters", ""]
    lines += _table(schema) if schema.get("properties") else ["None."]
    for name, model in sorted(schema.get("$defs", {}).items()):
        lines += ["", f"### {_title(name)}", "", *_table(model)]
    if schema.get("additionalProperties") is True:
        lines += ["", "Any other parameter is passed on to the code."]
    if one.output_schema is not None:
        lines += ["", "## Output", "", *_table(one.output_schema, output=True)]
    lines += ["", "## Example", "", "```yaml", "nodes:", f"  {_id(one.name)}:"]
    lines += [f"    {line}".rstrip() for line in one.example.rstrip().splitlines()]
    lines += ["```"]
    return "\n".join(lines) + "\n"


def _facts(one: NodeTypeDescription) -> Iterator[str]:
    actions = ", ".join(f"`{action}`" for action in one.actions) if one.actions else "the names of its cases, `default`"
    yield f"- Actions: {actions}"
    passed_on = f"`{one.payload}` of its output" if one.payload else "its output"
    yield f"- Passed on along an edge: {passed_on}"
    if one.aliases:
        yield f"- Also called: {', '.join(f'`{alias}`' for alias in one.aliases)}"
    if one.pure:
        yield "- Has no effect outside the run, so it may be executed again after a crash without harm"
    else:
        yield (
            "- Has effects outside the run: they happen at least once, and maybe again after a crash, unless "
            "the node is `at_most_once`"
        )


def _table(schema: Schema, *, output: bool = False) -> Iterator[str]:
    required = set(schema.get("required", ()))
    yield "| field | kind | meaning |" if output else "| parameter | kind | default | meaning |"
    yield "| --- | --- | --- |" if output else "| --- | --- | --- | --- |"
    for name, field in schema.get("properties", {}).items():
        kind, meaning = _cell(_kind(field)), _cell(field.get("description", ""))
        if output:
            yield f"| `{name}` | {kind} | {meaning} |"
        else:
            yield f"| `{name}` | {kind} | {_cell(_default(name, field, required))} | {meaning} |"


def _default(name: str, field: Schema, required: set[str]) -> str:
    if name in required:
        return "required"
    default = field.get("default")
    return "" if default in (None, "") else f"`{json.dumps(default, ensure_ascii=False)}`"


def _kind(field: Schema) -> str:
    """The kind of values that a schema allows, in words."""
    if field.get("x-flowrunner") == "duration":
        return "duration"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        return f"object, see {_title(field['$ref'].rpartition('/')[2])}"
    if "anyOf" in field:
        kinds = [_kind(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    return _plain_kind(field)


def _plain_kind(field: Schema) -> str:
    match field.get("type"):
        case "string":
            return "text"
        case "integer":
            return "whole number"
        case "boolean":
            return "true or false"
        case "array":
            inner = _kind(field.get("items", {}))
            return "list" if inner == "anything" else f"list of {inner}"
        case "object":
            values = field.get("additionalProperties")
            kind = _kind(values) if isinstance(values, dict) else "anything"
            return "object" if kind == "anything" else f"object of {kind}"
        case None:
            return "anything"
        case other:
            return str(other)


def _title(model: str) -> str:
    """`CallbackRequest` as `callback request`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in model).strip()


def _id(name: str) -> str:
    return name.replace(".", "_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
