"""Cold start is a feature: what a path does not need, it does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

STORES = {"psycopg", "psycopg_pool", "sqlite3"}
SCREEN = {"rich", "typer"}
NETWORK = {"httpcore", "ssl", "asyncio"}
FORMATS = {"jsonpath", "jsonschema", "yaml", "standardwebhooks", "cronsim"}
MODELS = {"pydantic"}
MAIL = {"imap_tools", "imaplib", "smtplib"}
LLM = {"openai", "httpx2", "mcp"}
CRYPTOGRAPHY = {"aws_encryption_sdk", "botocore", "cryptography"}
WASM = {"wasmtime"}
ALL = STORES | SCREEN | NETWORK | FORMATS | MODELS | CRYPTOGRAPHY | LLM | MAIL | WASM

NEVER_LOADED = {
    "flowrunner": ALL,
    "flowrunner.core.decide": ALL | {"logging"},
    "flowrunner.language.load": ALL - MODELS - {"yaml"},
    "flowrunner.nodes.registry": ALL - MODELS,
    "flowrunner.nodes.email_fetch": NETWORK | MAIL,
    "flowrunner.nodes.email_send": NETWORK | MAIL,
    "flowrunner.nodes.notification": NETWORK | MAIL,
    "flowrunner.nodes.postgres_query": ALL - MODELS,
    "flowrunner.nodes.aws_s3": ALL - MODELS,
    "flowrunner.nodes.wasm": ALL - MODELS,
    "flowrunner.nodes.llm_chat": ALL - MODELS - {"yaml"},
    "flowrunner.nodes.ai_agent": ALL - MODELS - {"yaml"},
    "flowrunner.nodes.agent_tool": ALL - MODELS - {"yaml"},
    "flowrunner.nodes.agent_think": ALL - MODELS - {"yaml"},
    "flowrunner.engine.engine": (STORES | SCREEN | NETWORK | FORMATS | CRYPTOGRAPHY | LLM)
    - {"yaml"},  # it loads documents
    "flowrunner.bootstrap": STORES | CRYPTOGRAPHY | LLM,
    "flowrunner.api.routes.mcp": STORES | SCREEN | LLM,
    "flowrunner.adapters.local.keyring": ALL - NETWORK,
    "flowrunner.adapters.memory.backend": ALL,
    "flowrunner.adapters.sqlite.backend": ALL - {"sqlite3"},
    "flowrunner.cli.main": STORES | NETWORK | FORMATS | CRYPTOGRAPHY | LLM,
}
"""Module: what must not be loaded once it has been imported in a new process."""


@pytest.mark.parametrize(("module", "banned"), NEVER_LOADED.items(), ids=list(NEVER_LOADED))
def test_import_is_light(module: str, banned: set[str]) -> None:
    """Importing the module loads none of the heavy packages that it can do without until they are used."""
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    # Without coverage, which would measure the process and load what it needs for that.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    # The last line: whatever the module itself may print is not our subject.
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded & banned == set()


def test_the_table_names_what_is_installed() -> None:
    """A package that is not installed could never be loaded, so the table would be guarding nothing."""
    missing = sorted(name for name in ALL if find_spec(name) is None)
    assert missing == []
