"""Write docs/cli-reference.md and docs/flow-reference.md from the commands and from the models of the flow language.

Run it in the project's environment after either has changed: `uv run python scripts/gen_reference.py`. With `--check`
it writes nothing and fails when a page is not what it would write.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from flowrunner.cli.main import app
from flowrunner.language.schema import flow_json_schema

FOLDER = Path(__file__).resolve().parent.parent / "docs"

NOTE = "<!-- Written by scripts/gen_reference.py from the program itself: change that, not this page. -->"

Schema = Mapping[str, Any]

OTHER_NAMES = {"RetryRunDocument": "Restarts"}
"""Of two models that would be called the same."""

EVERYWHERE = ("--help", "--install-completion", "--show-completion")


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    return {"cli-reference.md": commands(), "flow-reference.md": flow()}


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """Write the pages, or check them."""
    wanted = pages()
    different = [name for name, text in wanted.items() if not _is(folder / name, text)]
    for name in different:
        if "--check" in arguments:
            print(f"docs/{name} is out of date; run scripts/gen_reference.py")
        else:
            (folder / name).write_text(wanted[name], "utf-8")
            print(f"docs/{name}")
    return 1 if different and "--check" in arguments else 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


# -- the commands ----------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments and options."""
    lines = [NOTE, "", "# Commands", ""]
    lines += [
        "All of `flowrunner`'s commands. `--help` after any of them says the same. How those that talk to a server are",
        "used is told with examples on the page about [the command line](cli.md), exit codes included.",
    ]
    top = typer.main.get_command(app)
    for name, command in sorted(getattr(top, "commands", {}).items()):
        if not command.hidden:
            lines += ["", f"## {name}", "", *_command(f"flowrunner {name}", command)]
            for inner, part in sorted(getattr(command, "commands", {}).items()):
                if not part.hidden:
                    lines += ["", f"### {name} {inner}", "", *_command(f"flowrunner {name} {inner}", part)]
    return "\n".join(lines) + "\n"


def _command(path: str, command: Any) -> Iterator[str]:
    yield from _prose(command.help or "")
    if getattr(command, "commands", None):
        return
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option" and one.opts[0] not in EVERYWHERE]
    yield ""
    yield "```text"
    yield " ".join([path, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    yield "```"
    if arguments or options:
        yield from ("", "| | | default |", "| --- | --- | --- |")
    for one in [*arguments, *options]:
        yield f"| {_spelling(one)} | {_cell(getattr(one, 'help', None) or '')} | {_default(one)} |"


def _prose(text: str) -> Iterator[str]:
    """A help text: its paragraphs, without the marks of click's."""
    yield from (line.rstrip() for line in text.replace("\b", "").replace("\f", "").strip().splitlines())


def _argument(one: Any) -> str:
    name = one.metavar or one.name.upper()
    name += "..." if one.nargs != 1 else ""
    return name if one.required else f"[{name}]"


def _spelling(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{one.metavar or one.name.upper()}`"
    names = ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])
    return f"{names}, repeatable" if getattr(one, "multiple", False) else names


def _default(one: Any) -> str:
    if one.required:
        return "required"
    default = one.default
    if default is None or default is False or default == "" or callable(default) or isinstance(default, list | tuple):
        return ""
    return "yes" if default is True else f"`{getattr(default, 'value', default)}`"


# -- the flow language -----------------------------------------------------------------------------------------------


def flow() -> str:
    """Every field of a flow, from the schema that editors use."""
    schema = flow_json_schema()
    lines = [NOTE, "", "# The flow language: every field", ""]
    lines += [
        "What the fields mean together is told by [the flow language](flow-language.md); this is the list of them,",
        "from the models that check a flow. `flowrunner schema` prints the same as JSON Schema, for editors.",
        "",
        "## The flow",
        "",
        *_fields(schema),
    ]
    order = _mentioned(schema, schema["$defs"])
    for name in order:
        model = schema["$defs"][name]
        told = [model["description"], ""] if model.get("description") else []
        lines += ["", f"## {_title(name).capitalize()}", "", *told, *_fields(model)]
    return "\n".join(lines) + "\n"


def _mentioned(schema: Schema, models: Mapping[str, Schema]) -> list[str]:
    """The models in the order in which a reader meets them."""
    found: list[str] = []
    queue: list[Schema] = [{key: value for key, value in schema.items() if key != "$defs"}]
    while queue:
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(queue.pop(0))):
            if name not in found:
                found.append(name)
                queue.append(models[name])
    return found


def _fields(schema: Schema) -> Iterator[str]:
    required = set(schema.get("required", ()))
    yield "| field | kind | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else _value(field)
        yield f"| `{name}` | {_cell(_kind(field))} | {_cell(default)} | {_cell(field.get('description', ''))} |"


def _value(field: Schema) -> str:
    default = field.get("default")
    if default in (None, "", [], {}):
        return ""
    if "duration" in _kind(field) and isinstance(default, int):
        return f"`{default // 60_000}m`" if default % 60_000 == 0 else f"`{default / 1000:g}s`"
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _kind(field: Schema) -> str:
    """The kind of values that a schema allows, in words."""
    if "$ref" in field:
        name = _title(field["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.replace(' ', '-')})"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    choices = field.get("anyOf") or field.get("oneOf")
    if choices:
        if any("(ms|s|m|h|d)" in one.get("pattern", "") for one in choices):
            return "duration"
        return " or ".join(dict.fromkeys(_kind(one) for one in choices if one.get("type") != "null"))
    return _plain(field)


def _plain(field: Schema) -> str:
    match field.get("type"):
        case "string":
            return "node id" if "{0,63}" in field.get("pattern", "") else "text"
        case "integer" | "number" as kind:
            word = "whole number" if kind == "integer" else "number"
            low, high = field.get("minimum"), field.get("maximum")
            return f"{word}, {low:,} to {high:,}" if low is not None and high is not None else word
        case "boolean":
            return "true or false"
        case "array":
            return f"list of {_kind(field.get('items', {}))}"
        case "object":
            inner = field.get("additionalProperties")
            values = [inner] if isinstance(inner, dict) else list(field.get("patternProperties", {}).values())
            return f"object of {_kind(values[0])}" if values else "object"
        case _:
            return "anything"


def _title(model: str) -> str:
    """`ScheduleTrigger` as `schedule trigger`."""
    words = re.findall(r"[A-Z][a-z]*", OTHER_NAMES.get(model, model.removesuffix("Document")))
    return " ".join(words).lower()


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
