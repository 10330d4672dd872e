"""Where the code of functions and layers is. scripts/build-layers builds the layers, without Docker."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from aws_cdk import AssetHashType, IgnoreMode
from aws_cdk import aws_lambda as lambda_

from infra.reading import BadContext
from infra.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("flowrunner", "core", "api", "ai")
LOADS_FLOWS = ("api", "executor", "dead_letter", "scheduler")
"""Functions that need the node types of a flow, those of plugins too."""
EXTRAS = {"fast": ("postgres", "wasm"), "slow": ("mcp", "postgres", "wasm")}
"""Which of the deployment's extras an executor has a use for: agents, who call tools by MCP, are slow."""


def extra_layer(settings: Settings, lane: str) -> tuple[str, ...]:
    """The layer with an executor's extras: one for all of them, since Lambda takes five layers; none without extras."""
    chosen = [name for name in EXTRAS[lane] if name in settings.extras]
    return (f"extra-{'-'.join(chosen)}",) if chosen else ()


def layers_folder(settings: Settings) -> Path:
    """The folder of the layers, for the Python and the processor of the deployment."""
    if settings.layers:
        return Path(settings.layers)
    return ROOT / "build" / "layers" / f"py{settings.python.replace('.', '')}-{settings.architecture}"


def ensure_layers(settings: Settings) -> None:
    """Build the layers, which takes no time when they are there and up to date. Raises `BadContext`."""
    lanes = [name for name in EXTRAS if name != "fast" or settings.slow_queue]  # without it one executor is all
    extras = sorted({layer for name in lanes for layer in extra_layer(settings, name)})
    options = tuple(f"--extras={','.join(layer.split('-')[1:])}" for layer in extras)
    if not settings.layers and settings.build == "auto":
        _build(settings.python, settings.architecture, options)
    if settings.plugins and not (Path(settings.plugins) / "python").is_dir():
        raise BadContext("plugins", f"there is no folder {Path(settings.plugins) / 'python'}")
    folder = layers_folder(settings)
    for name in (*LAYERS, *extras):
        if not (folder / name).is_dir():
            command = f"scripts/build-layers --python {settings.python} --arch {settings.architecture}"
            raise BadContext("layers", f"there is no {folder / name}; run {' '.join((command, *options))}")


def plugin_layer(settings: Settings, source: str) -> tuple[str, ...]:
    """The layer of the operator's plugins, for a function that loads flows; none without plugins."""
    return ("plugins",) if settings.plugins and source in LOADS_FLOWS else ()


def layer_code(settings: Settings, name: str) -> lambda_.AssetCode:
    """A layer: a folder that holds `python/`, and beside it the hash of all that went into it."""
    if name == "plugins":
        return lambda_.Code.from_asset(settings.plugins, exclude=["**/__pycache__"], ignore_mode=IgnoreMode.GIT)
    folder = layers_folder(settings) / name
    known = folder.with_name(f"{name}.hash")
    if not known.is_file():
        return lambda_.Code.from_asset(str(folder))
    return lambda_.Code.from_asset(
        str(folder), asset_hash=known.read_text("utf-8").strip(), asset_hash_type=AssetHashType.CUSTOM
    )


def function_code(name: str) -> lambda_.AssetCode:
    """A function: its handler alone, the rest is in layers."""
    folder = ROOT / "functions" / name
    if not (folder / "handler.py").is_file():
        raise BadContext("functions", f"there is no {folder / 'handler.py'}")
    # Nothing that a run on this machine left there, like a key file.
    return lambda_.Code.from_asset(str(folder), exclude=["*", "!handler.py"], ignore_mode=IgnoreMode.GIT)


@cache
def _build(python: str, architecture: str, options: tuple[str, ...]) -> None:
    command = [str(ROOT / "scripts" / "build-layers"), "--python", python, "--arch", architecture, *options]
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise BadContext("build", f"{' '.join(command[:1])} failed with {done.returncode}; see above")
