"""The project's checkout, which a deployment starts from, and the synthesis of its stacks."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flowrunner
from flowrunner.cli.exits import UsageError
from flowrunner.errors import ConfigurationError
from flowrunner.ports.installer import Place

APP = "infra/app.py"
QUIET = {
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "true",
    "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "true",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "true",
}
"""A version of Node.js that is too old ends with an error; one that is merely not the newest is nobody's concern."""

OLDEST_NODE = 20
LAST_LINES = 30


def find_checkout(given: Path | None) -> Path:
    """The folder with `infra/app.py`: the one named, the current one or above, or where this program runs from.

    Raises `UsageError`: a deployment needs more than the installed package has.
    """
    installed = Path(flowrunner.__file__).resolve()
    folders = [given] if given else [Path.cwd(), *Path.cwd().parents, *installed.parents]
    for folder in folders:
        if (folder / APP).is_file() and (folder / "cdk.json").is_file():
            return folder
    raise UsageError(
        f"there is no {APP} in {given or 'this folder, or above it'}",
        hint="deploying needs a checkout of the project, with infra/, functions/ and layers/: clone it, and run "
        "`uv run flowrunner deploy` in it, or name it with --project",
    )


def read_context(pairs: Sequence[str], file: Path | None) -> dict[str, Any]:
    """The deployment's settings: of a YAML file, and over them `key=value` pairs. Raises `UsageError`."""
    context: dict[str, Any] = {}
    if file is not None:
        import yaml

        try:
            loaded = yaml.safe_load(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"{file} cannot be read: {error}") from None
        if not isinstance(loaded, dict | None):
            raise UsageError(f"{file}: must be a mapping of settings")
        context |= {str(key): value for key, value in (loaded or {}).items()}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"-c {pair}: write key=value")
        context[key] = value
    return context


def synthesize(checkout: Path, context: Mapping[str, Any], place: Place, folder: Path) -> None:
    """Write the cloud assembly of the checkout's stacks into `folder`.

    The app builds the layers first when they are not up to date. Raises `ConfigurationError` with what it said.
    """
    environment = {
        **os.environ,
        **QUIET,
        "CDK_OUTDIR": str(folder),
        "CDK_CONTEXT_JSON": json.dumps({**_context_of(checkout), **context}),
        "CDK_DEFAULT_ACCOUNT": place.account,
        "CDK_DEFAULT_REGION": place.region,
        "PYTHONPATH": str(checkout),
    }
    _check_node()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [_python(checkout), APP],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-LAST_LINES:])
        raise ConfigurationError(f"the stacks cannot be synthesized:\n{said}")


def _context_of(checkout: Path) -> dict[str, Any]:
    try:
        context = json.loads((checkout / "cdk.json").read_text("utf-8")).get("context", {})
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{checkout / 'cdk.json'} cannot be read: {error}") from None
    return dict(context)


def _python(checkout: Path) -> str:
    """An interpreter that has the CDK: this one, or that of the checkout's environment."""
    if importlib.util.find_spec("aws_cdk") is not None:
        return sys.executable
    own = checkout / ".venv/bin/python"
    if (checkout / ".venv").is_dir() and next((checkout / ".venv").glob("lib/python3*/site-packages/aws_cdk"), None):
        return str(own)
    raise ConfigurationError(
        "the AWS CDK is not installed", hint=f"run `uv sync` in {checkout}: it is a package for development"
    )


def _check_node() -> None:
    """The CDK's Python packages drive a program in JavaScript."""
    node = shutil.which("node")
    if node is None:
        raise ConfigurationError(
            "the AWS CDK needs Node.js, and there is no `node`",
            hint="install it, version 22 or newer: https://nodejs.org",
        )
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = done.stdout.strip().removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < OLDEST_NODE:
        raise ConfigurationError(f"the AWS CDK needs Node.js {OLDEST_NODE} or newer; {node} is {done.stdout.strip()}")
