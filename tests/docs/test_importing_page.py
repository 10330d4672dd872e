"""docs/importing.md shows what the importer does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flowrunner.language.importers.flowengine_reading import KINDS
from flowrunner.language.importers.registry import import_flow

from tests.engine.harness import ACCOUNT, bench
from tests.servers import RecordingServer, Reply

PAGE = (Path(__file__).resolve().parents[2] / "docs/importing.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, language
    return found[1]


def test_the_example_becomes_what_is_shown_and_runs() -> None:
    """The YAML under the JSON is what the importer writes, and it fetches, parses and logs."""
    server = RecordingServer(lambda _: Reply(200, b'{"name": "Ada"}'))
    with server, bench(allow=["127.0.0.1"]) as one:
        text = import_flow(block("json").encode(), lambda flow: one.engine.load(flow, ACCOUNT))
        assert text == block("yaml")
        run = one.start(text, {"url": server.url})
        one.work()
        assert one.output(run, "say")["message"] == '{"name": "Ada"}'


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_node_type_is_in_the_table(kind: str) -> None:
    """Somebody who looks for one finds what it becomes."""
    assert f"`{kind}`" in PAGE
