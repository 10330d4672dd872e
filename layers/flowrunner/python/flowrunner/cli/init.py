"""`flowrunner init`: a folder to start from."""

from __future__ import annotations

import json
from pathlib import Path

from flowrunner.cli.exits import UsageError
from flowrunner.language.schema import flow_json_schema

FLOW = """\
# yaml-language-server: $schema=../flow.schema.json
metadata:
  name: hello
  description: Greets everyone on a list, then counts the greetings.

inputs:
  type: object
  required: [names]
  properties:
    names: {type: array, items: {type: string}}

outputs:
  greetings: ${nodes.greet.output}
  count: ${nodes.count.output.count}

nodes:
  greet:
    type: transform
    foreach: {items: "${input.names}", as: name}
    params:
      value: Hello ${name}!
    next: count

  count:
    type: script
    hooks:
      exec: |
        log(`greeted ${input.length} people`);
        return { count: input.length };
"""

TEST = """\
flow: ../flows/hello.yaml
cases:
  - name: greets everyone
    input: {names: [Ada, Grace]}
    expect:
      output: {greetings: [Hello Ada!, Hello Grace!], count: 2}
      path: [greet, count]
  - name: greets nobody
    input: {names: []}
    expect:
      output: {greetings: [], count: 0}
"""

SETTINGS = """\
# Settings of flowrunner; `flowrunner config show` explains each.
store:
  url: sqlite:///.flowrunner/flowrunner.db
"""

IGNORE = """\
.flowrunner/
.env
"""


def init_folder(folder: Path, *, force: bool) -> None:
    """Write the files. Raises `UsageError` naming those that are there already, and writes nothing then."""
    files = {
        folder / "flows" / "hello.yaml": FLOW,
        folder / "tests" / "hello.test.yaml": TEST,
        folder / "flowrunner.yaml": SETTINGS,
        folder / ".gitignore": IGNORE,
        folder / "flow.schema.json": json.dumps(flow_json_schema(), indent=2) + "\n",
    }
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise UsageError(f"these files are there already: {', '.join(there)}", hint="--force writes over them")
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from None
    for file in files:
        print(f"wrote {file}")
    print(f"\nnow try:\n  cd {folder}")
    print('  flowrunner run flows/hello.yaml -i \'{"names": ["Ada"]}\'\n  flowrunner test tests/*.yaml')
    print("  flowrunner dev    # the console, with these flows")
