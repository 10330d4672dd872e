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


def layers_folder(settings: Settings) -> Path:
    """The folder of the layers, for the Python and the processor of the deployment."""
    if settings.layers:
        return Path(settings.layers)
    return ROOT / "build" / "layers" / f"py{settings.python.replace('.', '')}-{settings.architecture}"


def ensure_layers(settings: Settings) -> None:
    """Build the layers, which takes no time when they are there and up to date. Raises `BadContext`."""
    if not settings.layers and settings.build == "auto":
        _build(settings.python, settings.architecture)
    folder = layers_folder(settings)
    for name in LAYERS:
        if not (folder / name).is_dir():
            command = f"scripts/build-layers --python {settings.python} --arch {settings.architecture}"
            raise BadContext("layers", f"there is no {folder / name}; run {command}")


def layer_code(settings: Settings, name: str) -> lambda_.AssetCode:
    """A layer: a folder that holds `python/`, and beside it the hash of all that went into it."""
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
def _build(python: str, architecture: str) -> None:
    command = [str(ROOT / "scripts" / "build-layers"), "--python", python, "--arch", architecture]
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise BadContext("build", f"{' '.join(command[:1])} failed with {done.returncode}; see above")
