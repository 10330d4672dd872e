"""A cloud assembly, the folder that `cdk synth` writes: read without the CDK.

Its format is the CDK's `cloud-assembly-schema`: `manifest.json` names the stacks, in any order and with what they
depend on; `<stack>.assets.json` names the files that have to be in the bootstrap bucket before a stack is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from flowrunner.errors import ConfigurationError
from flowrunner.ports.installer import Place

MANIFEST = "manifest.json"
STACK = "aws:cloudformation:stack"
ASSETS = "cdk:asset-manifest"
ANYWHERE = "unknown-"
"""What begins the account and the region of a stack that may go anywhere."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, or a folder that is zipped, and where it goes; the key is a hash of its content."""

    name: str
    source: Path
    zipped: bool
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack to be deployed."""

    name: str
    template_file: Path
    template_bucket: str
    template_key: str
    assets: tuple[Asset, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False

    def template(self) -> dict[str, Any]:
        """The template as a document."""
        return _read(self.template_file)


@dataclass(frozen=True, slots=True)
class Assembly:
    """The stacks of an assembly, each after those that it depends on."""

    folder: Path
    stacks: tuple[Stack, ...]

    @classmethod
    def read(cls, folder: Path, place: Place) -> Assembly:
        """Read a folder for one place. Raises `ConfigurationError` if it is no assembly, or made for another place."""
        artifacts: Mapping[str, Any] = _read(folder / MANIFEST).get("artifacts", {})
        found = {name: one for name, one in artifacts.items() if one.get("type") == STACK}
        if not found:
            raise ConfigurationError(f"{folder}: there are no stacks in it")
        stacks = {name: _stack(folder, name, one, artifacts, place) for name, one in found.items()}
        needs = {
            name: [other for other in one.get("dependencies", ()) if other in found] for name, one in found.items()
        }
        try:
            order = list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            raise ConfigurationError(f"{folder}: stacks depend on each other in a circle: {error.args[1]}") from None
        return cls(folder, tuple(stacks[name] for name in order))


def _stack(folder: Path, name: str, artifact: Mapping[str, Any], artifacts: Mapping[str, Any], place: Place) -> Stack:
    properties = artifact.get("properties", {})
    _check_environment(name, str(artifact.get("environment", "")), place)
    manifests = [
        str(artifacts[other]["properties"]["file"])
        for other in (*artifact.get("dependencies", ()), *properties.get("additionalDependencies", ()))
        if artifacts.get(other, {}).get("type") == ASSETS
    ]
    url = place.fill(str(properties.get("stackTemplateAssetObjectUrl", "")))
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not key:
        raise ConfigurationError(f"{folder}: the template of {name} is no asset", hint="use a modern synthesizer")
    assets = [asset for file in dict.fromkeys(manifests) for asset in _assets(folder, file, place)]
    return Stack(
        name=str(properties.get("stackName", name)),
        template_file=folder / str(properties["templateFile"]),
        template_bucket=bucket,
        template_key=key,
        assets=tuple(assets),
        tags=dict(properties.get("tags") or {}),
        protected=bool(properties.get("terminationProtection")),
    )


def _check_environment(name: str, environment: str, place: Place) -> None:
    account, _, region = environment.removeprefix("aws://").partition("/")
    for wanted, given, what in ((account, place.account, "account"), (region, place.region, "region")):
        if wanted and not wanted.startswith(ANYWHERE) and wanted != given:
            raise ConfigurationError(f"{name} was made for {what} {wanted}, but this is {given}")


def _assets(folder: Path, file: str, place: Place) -> Iterator[Asset]:
    manifest = _read(folder / file)
    if manifest.get("dockerImages"):
        raise ConfigurationError(f"{file}: container images are not supported")
    for one in manifest.get("files", {}).values():
        for destination in one["destinations"].values():
            yield Asset(
                name=str(one.get("displayName") or one["source"]["path"]),
                source=folder / str(one["source"]["path"]),
                zipped=one["source"].get("packaging") == "zip",
                bucket=place.fill(str(destination["bucketName"])),
                key=place.fill(str(destination["objectKey"])),
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror}", hint="is it what cdk synth wrote?"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: is no JSON object")
    return document


def all_assets(stacks: Sequence[Stack]) -> list[Asset]:
    """The assets of stacks, each once."""
    return list({(asset.bucket, asset.key): asset for stack in stacks for asset in stack.assets}.values())
