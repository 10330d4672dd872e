"""The loader with this process's node types and sandbox put in."""

from __future__ import annotations

from collections.abc import Collection

from flowrunner.language.catalog import Environment
from flowrunner.nodes.registry import Registry
from flowrunner.sandbox.errors import TemplateSyntaxError
from flowrunner.sandbox.evaluator import Sandbox
from flowrunner.sandbox.templates import compile_template, references


def environment(registry: Registry, sandbox: Sandbox, secrets: Collection[str] | None = None) -> Environment:
    """What `load_flow` needs. `secrets` are the names that exist, None when that is not known."""
    return Environment(registry, compile_template, references, sandbox.check_syntax, TemplateSyntaxError, secrets)
