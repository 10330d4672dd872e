"""The app of the CDK: `python infra/app.py` writes the stacks into CDK_OUTDIR, with or without the CDK's CLI."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # As a program it finds this folder on the path, where `data` or `console` could be taken for somebody else's.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    import_module("infra")  # before the CDK, which reads its environment when it is imported

from aws_cdk import App, CliCredentialsStackSynthesizer, Stack, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from infra.api import ApiStack
from infra.bundling import ROOT, ensure_layers
from infra.console import ConsoleStack
from infra.data import DataStack
from infra.engine import EngineStack
from infra.observability import ObservabilityStack
from infra.reading import BadContext
from infra.settings import Settings, read_settings


def stored_context() -> dict[str, Any]:
    """The context of cdk.json, which only the CDK's CLI would read by itself."""
    document: Mapping[str, Any] = json.loads((ROOT / "cdk.json").read_text("utf-8"))
    return dict(document.get("context", {}))


def make_app(context: Mapping[str, Any] | None = None, folder: str | None = None) -> App:
    """The app with all its stacks. What the CLI was told (CDK_CONTEXT_JSON) wins over `context`.

    Arguments: `folder`, where the templates go, if not where CDK_OUTDIR says.
    Raises `BadContext`.
    """
    app = App(context={**stored_context(), **(context or {})}, outdir=folder, default_stack_synthesizer=_synthesizer())
    settings = read_settings(app.node.get_all_context())
    ensure_layers(settings)
    add_stacks(app, settings)
    Tags.of(app).add("flowrunner:stage", settings.stage)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def add_stacks(app: App, settings: Settings) -> dict[str, Stack]:
    """The stacks by part, in the order of their deployment."""
    stacks: dict[str, Stack] = {}
    name = f"{settings.prefix}-"
    stacks["data"] = data = DataStack(app, f"{name}data", settings)
    stacks["api"] = api = ApiStack(app, f"{name}api", settings, data)
    stacks["engine"] = engine = EngineStack(app, f"{name}engine", settings, data, api)
    if settings.console:
        stacks["console"] = ConsoleStack(app, f"{name}console", settings, data, api)
    if settings.alarms or settings.dashboard:
        stacks["observability"] = ObservabilityStack(app, f"{name}observability", settings, data, api, engine)
    for part, stack in stacks.items():
        Tags.of(stack).add("flowrunner:part", part)
    return stacks


def _synthesizer() -> CliCredentialsStackSynthesizer:
    """Whoever deploys does it with their own credentials; of a bootstrapped account only the bucket is needed."""
    return CliCredentialsStackSynthesizer()


if __name__ == "__main__":
    try:
        make_app().synth()
    except BadContext as problem:
        sys.exit(f"error: {problem}")
    except RuntimeError as problem:  # what the CDK refuses: it has printed its findings, and the stack tells nothing
        sys.exit(f"error: {str(problem).splitlines()[0]}")
